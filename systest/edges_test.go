package systest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// TestEdges takes what is small, large or strange through the whole way, plain
// and encrypted: what comes out is what went in, byte by byte.
func TestEdges(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keyBytes int
		restored []int // backups
	}{{0, []int{0, 2, 3}}, {24, []int{1, 5}}} {
		t.Run(fmt.Sprintf("key of %d bytes", c.keyBytes), func(t *testing.T) {
			t.Parallel()
			h := &history{destination: t.TempDir(), model: model{}, points: map[string]model{}}
			var key []string
			if c.keyBytes > 0 {
				key = []string{"--encryption_key_file", keyFile(t, c.keyBytes)}
			}
			a := startAlpha(t, t.TempDir(), key...)
			backup := func(what string, mostBytes int64) {
				t.Helper()
				m := manifestOf(t, h.destination, a.backup(t, h.destination, false))
				h.see(t)
				stored := m.StoredBytes
				for _, g := range m.Groups {
					stored += g.PartList.Bytes
				}
				if stored > mostBytes {
					t.Errorf("the backup of %s has %d bytes", what, stored)
				}
			}
			const tiny, noLimit = 2_000, 1 << 40
			backup("an empty database", tiny)
			backup("an empty database once more", tiny)
			a.create(t, h.model, ref{"default", "empty"}, "")
			a.create(t, h.model, ref{"default", "described"}, `{"title":"nothing in it","max":18446744073709551616}`)
			backup("two empty collections", tiny)
			for into, lines := range strange() {
				a.load(t, h.model, into, lines)
			}
			backup("strange records", noLimit)
			backup("no change", tiny)
			again := ref{"ünïcode\u540d\u524d", "емкость 💧"}
			a.drop(t, h.model, again)
			a.store(t, h.model, again, putRecord{"of the second", json.RawMessage(`"with this name"`)})
			a.remove(t, h.model, ref{"default", "large"}, "large 0", "large 1")
			backup("a name that is used again, and large values removed", 100_000)
			a.check(t, h.model, "at the end")
			a.stop(t)
			h.restore(t, c.restored, key...)
		})
	}
}

// strange returns records that somebody might think of.
func strange() map[ref]records {
	random := rand.New(rand.NewPCG(1, 2))
	long := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte('a' + random.IntN(26))
		}
		return string(b)
	}
	keys := records{
		" ": "1", "/": "2", "\x00": "3", "\x00\x00": "4", "\u007f": "5", "\"\\": "6", "a\nb\r\t\b\f": "7",
		"\u2028\u2029": "8", "\ufeffmark": "9", "\ufffd": "10", "\U0010ffff": "11", "<script>&amp;": "12",
		"0x1": "13", "0xffffffffffffffff": "14", "null": "15", "é": "16", "e\u0301": "17",
		long(60_000): "18", long(64_000): "19", strings.Repeat("\u540d", 64_000/3): "20", strings.Repeat("k", 63_999): "21",
		strings.Repeat("k", 64_000): "22",
	}
	for i := range 300 { // long keys that differ at their ends only
		keys[strings.Repeat("long", 1000)+fmt.Sprint(i)] = `"n"`
	}
	values := records{}
	for i, text := range []string{
		"null", "true", "false", "0", "-0", "-0.0", "1e400", "1E+2", "0.1000", "123456789012345678901234567890.00000000000000001",
		"18446744073709551615", "-9223372036854775809", `""`, `"\u0000\u001f\ud83d\ude00\/"`, `"😀"`, `"` + "\u2028\u2029\u007f\ufffd" + `"`,
		"[]", "{}", `[[[[[]]]],{"":{"":""}}]`, `{"b":1,"a":2,"b":3}`, `"<>&'"`, `{"key":"k","value":"v"}`,
		strings.Repeat("[", 1000) + strings.Repeat("]", 1000),
	} {
		values[fmt.Sprintf("value %d", i)] = text
	}
	const mebibyte = 1 << 20
	large := records{}
	for i, size := range []int{mebibyte - 1, mebibyte, 8 * mebibyte} {
		large[fmt.Sprintf("large %d", i)] = `"` + long(size-2) + `"`
	}
	return map[ref]records{
		{"default", "keys"}:                   keys,
		{"default", "values"}:                 values,
		{"default", "large"}:                  large,
		{"default", strings.Repeat("n", 256)}: {"k": `"in a long name"`},
		{strings.Repeat("ß", 128), "c"}:       {"k": `"in a long namespace"`},
		{"ünïcode\u540d\u524d", "емкость 💧"}:  {"of the first": `"with this name"`, "k": "1"},
	}
}
