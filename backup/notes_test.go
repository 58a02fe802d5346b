package backup

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/ee"
)

func notedPart(name, first, last string) archive.Part {
	digest := strings.Repeat("ab", 32)
	p := archive.Part{Name: name, StoredBytes: 100, RawBytes: 200, Records: 2, FirstKey: []byte(first), LastKey: []byte(last),
		Collections: map[uint64]int64{1: 2},
		Chunks:      []archive.Chunk{{StoredBytes: 100, RawBytes: 200, Records: 2, FirstKey: []byte(first), SHA256: digest}}}
	p.SHA256 = p.Digest()
	return p
}

// FuzzNote: whatever stands in a note, reading it neither fails the program nor
// yields a part that this database did not note.
func FuzzNote(f *testing.F) {
	h := &Held{BackupID: "abc", Group: 1, ReadTs: 7, Seal: newSeal()}
	good, err := encodeNote(h, "f/resume.0001", []archive.Part{notedPart("r7-g1.backup", "a", "c")}, ee.Key{})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, false)
	f.Add(good[32:], true)
	f.Add([]byte{}, false)
	f.Fuzz(func(t *testing.T, data []byte, sealed bool) {
		if sealed { // what is behind the seal is read with the same care
			data = append(noteMAC(h, "f/resume.0001", data), data...)
		}
		parts, err := decodeNote(h, "f/resume.0001", data, ee.Key{})
		if err == nil && !sealed && !bytes.Equal(data, good) {
			t.Errorf("a note that nobody wrote has %d parts", len(parts))
		}
	})
}

// TestNoteIsBound: a note counts for one backup, one object and one database.
func TestNoteIsBound(t *testing.T) {
	h := Held{BackupID: "abc", Group: 1, ReadTs: 7, Seal: newSeal()}
	const name = "f/resume.0001"
	data, err := encodeNote(&h, name, []archive.Part{notedPart("r7-g1.backup", "a", "c")}, ee.Key{})
	if err != nil {
		t.Fatal(err)
	}
	if parts, err := decodeNote(&h, name, bytes.Clone(data), ee.Key{}); err != nil || len(parts) != 1 {
		t.Fatalf("%d parts, %v", len(parts), err)
	}
	other := h
	other.Seal = newSeal()
	if _, err := decodeNote(&other, name, bytes.Clone(data), ee.Key{}); err == nil {
		t.Error("another database reads it")
	}
	other = h
	other.ReadTs = 8
	if _, err := decodeNote(&other, name, bytes.Clone(data), ee.Key{}); err == nil {
		t.Error("it counts for another backup")
	}
	if _, err := decodeNote(&h, "f/resume.0002", bytes.Clone(data), ee.Key{}); err == nil {
		t.Error("it counts under another name")
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if _, err := decodeNote(&h, name, flipped, ee.Key{}); err == nil {
			t.Errorf("a flip in byte %d is not noticed", i)
		}
	}
}

// TestSealIsNotPrinted: not by itself, and not as a part of what is held.
func TestSealIsNotPrinted(t *testing.T) {
	h := Held{BackupID: "abc", Seal: newSeal()}
	secret, err := h.Seal.MarshalText()
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%q", "%d"} {
		for _, text := range []string{fmt.Sprintf(verb, h), fmt.Sprintf(verb, h.Seal), fmt.Sprintf(verb, &h)} {
			if strings.Contains(text, string(secret)) || !strings.Contains(text, "redacted") {
				t.Errorf("%s prints %s", verb, text)
			}
		}
	}
	stored, err := json.Marshal(h)
	var back Held
	if err == nil {
		err = json.Unmarshal(stored, &back)
	}
	if err != nil || back != h {
		t.Errorf("what is stored comes back as another seal, %v", err)
	}
}

// TestWithout: every key is in a part that is kept or in one range that is left,
// whatever the cuts.
func TestWithout(t *testing.T) {
	part := func(first, last string) archive.Part {
		return archive.Part{FirstKey: []byte(first), LastKey: []byte(last)}
	}
	for _, c := range []struct {
		cuts string
		kept []archive.Part
	}{
		{"", nil},
		{"", []archive.Part{part("b", "d")}},
		{"e", []archive.Part{part("b", "g")}},
		{"cf", []archive.Part{part("a", "a"), part("b", "h"), part("i", "z")}},
		{"bdfh", []archive.Part{part("b", "c"), part("d", "d"), part("e", "g")}},
		{"cf", []archive.Part{part("c", "f")}},
		{"cf", []archive.Part{part("a", "b"), part("f", "f")}},
		{"c", []archive.Part{part("x", "z")}},
	} {
		var cuts [][]byte
		for _, cut := range c.cuts {
			cuts = append(cuts, []byte(string(cut)))
		}
		left := without(contiguous(cuts), c.kept)
		for _, key := range strings.Split("a aa b bb c cc d dd e ee f ff g gg h hh i ii x y z zz", " ") {
			in := 0
			for _, p := range c.kept {
				if key >= string(p.FirstKey) && key <= string(p.LastKey) {
					in++
				}
			}
			for _, r := range left {
				if key >= string(r.left) && (len(r.right) == 0 || key < string(r.right)) {
					in++
				}
			}
			if in != 1 {
				t.Errorf("cuts %q, kept %v: key %q is in %d of them; left is %v", c.cuts, c.kept, key, in, left)
			}
		}
	}
}
