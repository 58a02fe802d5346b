package ee

import (
	"encoding/hex"
	"os"
	"strings"
	"testing"
)

// vectorsOf reads the test vectors of docs/format.md: blocks of lines that begin
// with these names.
func vectorsOf(t *testing.T) (all []map[string][]byte) {
	t.Helper()
	text, err := os.ReadFile("../docs/format.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"key", "key id", "MAC key", "message", "MAC", "IV", "plaintext", "ciphertext"}
	next := 0
	for line := range strings.Lines(string(text)) {
		rest, found := strings.CutPrefix(line, "    "+names[next]+"  ")
		if !found {
			continue
		}
		value, err := hex.DecodeString(strings.TrimSpace(rest))
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		if next == 0 {
			all = append(all, map[string][]byte{})
		}
		all[len(all)-1][names[next]] = value
		next = (next + 1) % len(names)
	}
	if next != 0 {
		t.Fatalf("the last vector ends before %s", names[next])
	}
	return all
}

// TestDocumentedVectors computes what docs/format.md says again.
func TestDocumentedVectors(t *testing.T) {
	all := vectorsOf(t)
	sizes := map[int]bool{}
	for _, v := range all {
		key, err := NewKey(v["key"])
		if err != nil {
			t.Fatal(err)
		}
		sizes[len(v["key"])] = true
		encrypted := make([]byte, len(v["plaintext"]))
		key.Stream([IVSize]byte(v["IV"]), 0).XORKeyStream(encrypted, v["plaintext"])
		for name, got := range map[string]string{
			"key id": key.ID(), "MAC key": hex.EncodeToString(key.secret.material().macKey), "MAC": hex.EncodeToString(key.MAC(v["message"])),
			"ciphertext": hex.EncodeToString(encrypted),
		} {
			if want := hex.EncodeToString(v[name]); got != want {
				t.Errorf("key %x: %s is %s, docs/format.md says %s", v["key"], name, got, want)
			}
		}
		const skip = 23
		tail := make([]byte, len(encrypted)-skip)
		key.Stream([IVSize]byte(v["IV"]), skip).XORKeyStream(tail, encrypted[skip:])
		if string(tail) != string(v["plaintext"][skip:]) {
			t.Errorf("key %x: wrong from byte %d on", v["key"], skip)
		}
	}
	if len(all) < 4 || len(sizes) != 3 {
		t.Errorf("docs/format.md has %d vectors, for keys of %d sizes", len(all), len(sizes))
	}
}
