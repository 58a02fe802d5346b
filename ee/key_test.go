package ee

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

func testKey(t *testing.T, size int) (Key, []byte) {
	t.Helper()
	raw := make([]byte, size)
	for i := range raw {
		raw[i] = byte(i*7 + 1)
	}
	key, err := NewKey(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	return key, raw
}

func TestKeySizes(t *testing.T) {
	for size := 0; size <= 64; size++ {
		_, err := NewKey(make([]byte, size))
		good := size == 16 || size == 24 || size == 32
		if good != (err == nil) {
			t.Errorf("%d bytes: error %v", size, err)
		}
		if err != nil && (!fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), fmt.Sprint(size))) {
			t.Errorf("%d bytes: error does not say the size: %v", size, err)
		}
	}
}

func TestKeyFile(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		name, content, want string
	}{
		{"16", strings.Repeat("k", 16), ""},
		{"24", strings.Repeat("k", 24), ""},
		{"32", strings.Repeat("k", 32), ""},
		{"newline", strings.Repeat("k", 32) + "\n", "newline"},
		{"newline16", strings.Repeat("k", 16) + "\n", "newline"},
		{"newline as 32nd byte", strings.Repeat("k", 31) + "\n", ""},
		{"two newlines", strings.Repeat("k", 32) + "\n\n", "34 bytes"},
		{"short", "secret-content", "14 bytes"},
		{"empty", "", "0 bytes"},
		{"huge", strings.Repeat("k", 5000), "not a file of 16"},
	} {
		path := filepath.Join(dir, c.name)
		if err := os.WriteFile(path, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := ReadKeyFile(path)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
		if err != nil && c.content != "" && strings.Contains(err.Error()+fault.HintOf(err), c.content) {
			t.Errorf("%s: the error echoes the file's content", c.name)
		}
	}
	if _, err := ReadKeyFile(filepath.Join(dir, "missing")); err == nil {
		t.Error("a missing key file is no error")
	}
}

func TestStreamAtEveryOffset(t *testing.T) {
	for _, size := range []int{16, 24, 32} {
		key, raw := testKey(t, size)
		block, err := aes.NewCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		for _, iv := range [][IVSize]byte{{}, {15: 0xff}, {8: 0xff, 9: 0xff, 10: 0xff, 11: 0xff, 12: 0xff, 13: 0xff, 14: 0xff, 15: 0xfe}} {
			want := make([]byte, 200)
			cipher.NewCTR(block, iv[:]).XORKeyStream(want, want)
			for offset := range want {
				got := make([]byte, len(want)-offset)
				key.Stream(iv, int64(offset)).XORKeyStream(got, got)
				if !bytes.Equal(got, want[offset:]) {
					t.Fatalf("AES-%d at offset %d of IV %x: wrong key stream", size*8, offset, iv)
				}
			}
		}
	}
}

func TestIDAndMAC(t *testing.T) {
	a, _ := testKey(t, 16)
	b, _ := testKey(t, 32)
	if a.ID() == b.ID() || len(a.ID()) != 16 {
		t.Errorf("ids %q, %q", a.ID(), b.ID())
	}
	mac := a.MAC([]byte("data"))
	if !a.CheckMAC([]byte("data"), mac) || a.CheckMAC([]byte("Data"), mac) || b.CheckMAC([]byte("data"), mac) {
		t.Error("MAC does not depend on key and data")
	}
}

// TestVectors pins the derivations: they are part of the format.
func TestVectors(t *testing.T) {
	key, _ := testKey(t, 32)
	if got := key.ID(); got != vectorKeyID {
		t.Errorf("key id %s, want %s", got, vectorKeyID)
	}
	if got := hex.EncodeToString(key.MAC([]byte("brock"))); got != vectorMAC {
		t.Errorf("MAC %s, want %s", got, vectorMAC)
	}
}

func TestKeyNeverPrints(t *testing.T) {
	raw := []byte("0123456789abcdef")
	key, err := NewKey(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		Key  Key
		Ptr  *Key
		List []Key
	}{key, &key, []Key{key}}
	js, err := json.Marshal(holder)
	if err != nil {
		t.Fatal(err)
	}
	out := string(js)
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		out += fmt.Sprintf(verb, key) + fmt.Sprintf(verb, holder)
	}
	for _, secret := range []string{string(raw), hex.EncodeToString(raw), "MDEyMzQ1Njc4OWFiY2RlZg", "48 49 50"} {
		if strings.Contains(out, secret) {
			t.Errorf("printing reveals %q", secret)
		}
	}
	if !strings.Contains(out, "[redacted]") {
		t.Error("printing says nothing")
	}
}

// Computed independently (RFC 5869 and RFC 2104 over the key 01 08 0f 16 …).
const (
	vectorKeyID = "5915aaa208070a3a"
	vectorMAC   = "4743c28b9a40ff0b7a9223bb275411a81f0174a14a0c578228bb0ce6adc9021b"
)
