package ee

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
)

// FuzzKey: any bytes are a key or an error, a key decrypts what it encrypted
// from any offset on, and neither prints the bytes.
func FuzzKey(f *testing.F) {
	f.Add([]byte("0123456789abcdef"), []byte("some text that is encrypted"), uint16(5))
	f.Add(bytes.Repeat([]byte{0xff}, 32), bytes.Repeat([]byte{1}, 100), uint16(33))
	f.Add([]byte("short"), []byte{}, uint16(0))
	f.Fuzz(func(t *testing.T, raw, text []byte, at uint16) {
		key, err := NewKey(bytes.Clone(raw))
		shown := fmt.Sprintf("%v %+v %#v %x %v", key, NewKeyRing(key), struct{ k Key }{key}, key, err)
		if len(raw) >= 12 && (strings.Contains(shown, string(raw)) || strings.Contains(shown, hex.EncodeToString(raw))) {
			t.Errorf("the key is shown: %s", shown)
		}
		if err != nil {
			if good := len(raw) == 16 || len(raw) == 24 || len(raw) == 32; good {
				t.Errorf("%d bytes: %v", len(raw), err)
			}
			return
		}
		iv := [IVSize]byte(key.MAC(text)) // any
		sealed, err := io.ReadAll(key.Reader(bytes.NewReader(text), iv, 0))
		if err != nil {
			t.Fatal(err)
		}
		block, err := aes.NewCipher(raw)
		if err != nil {
			t.Fatal(err)
		}
		want := make([]byte, len(text))
		cipher.NewCTR(block, iv[:]).XORKeyStream(want, text)
		if !bytes.Equal(sealed, want) {
			t.Error("it is not AES-CTR")
		}
		from := int(at) % (len(text) + 1)
		var back bytes.Buffer
		if _, err := key.Writer(&back, iv, int64(from)).Write(sealed[from:]); err != nil || !bytes.Equal(back.Bytes(), text[from:]) {
			t.Errorf("from byte %d on: %v", from, err)
		}
		if !key.CheckMAC(text, key.MAC(text)) || key.CheckMAC(append([]byte{1}, text...), key.MAC(text)) {
			t.Error("the MAC does not say what was altered")
		}
	})
}

// TestKeyIsShared: many goroutines use one ring at once.
func TestKeyIsShared(t *testing.T) {
	var raws [][]byte
	var keys []Key
	for size := 16; size <= 32; size += 8 {
		raw := bytes.Repeat([]byte{byte(size)}, size)
		key, err := NewKey(raw)
		if err != nil {
			t.Fatal(err)
		}
		raws, keys = append(raws, raw), append(keys, key)
	}
	ring := NewKeyRing(keys...)
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			for i := range 100 {
				key, err := ring.Need(keys[(n+i)%3].ID(), "test")
				if err != nil {
					t.Error(err)
					return
				}
				text := bytes.Repeat([]byte{byte(i)}, i)
				got := bytes.Clone(text)
				iv := NewIV()
				key.Stream(iv, 0).XORKeyStream(got, got)
				key.Stream(iv, 0).XORKeyStream(got, got)
				if !bytes.Equal(got, text) || !key.CheckMAC(text, key.MAC(text)) {
					t.Errorf("key %d does not undo what it did", (n+i)%3)
				}
				if shown := fmt.Sprint(ring, key, ring.With(key).Join(ring)); strings.Contains(shown, string(raws[0])) {
					t.Errorf("shown: %s", shown)
				}
			}
		})
	}
	all.Wait()
}

// TestNewIV: no IV comes twice, and every bit of it is used.
func TestNewIV(t *testing.T) {
	seen := map[[IVSize]byte]bool{}
	var ones, zeros [IVSize]byte
	for range 10_000 {
		iv := NewIV()
		if seen[iv] {
			t.Fatalf("the IV %x came twice", iv)
		}
		seen[iv] = true
		for i := range iv {
			ones[i] |= iv[i]
			zeros[i] |= ^iv[i]
		}
	}
	for i := range ones {
		if ones[i] != 0xff || zeros[i] != 0xff {
			t.Errorf("byte %d of an IV is not random", i)
		}
	}
}
