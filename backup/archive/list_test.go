package archive

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"reflect"
	"strings"
	"testing"

	"github.com/brockdb/brock/ee"
)

var listHead = ListHead{BackupID: "abc", Group: 1, Since: 5, ReadTs: 100}

func someList(t testing.TB, key ee.Key) *List {
	t.Helper()
	recs := makeRecords(400, 40, true)
	a, _ := writePart(t, recs[:200], DefaultCompression, key, 4<<10)
	b, _ := writePart(t, recs[200:], DefaultCompression, key, 4<<10)
	b.Name = "r100-g1.0002.backup"
	return &List{Head: listHead, Parts: []Part{a, b}}
}

func TestListRoundTrip(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t)} {
		want := someList(t, key)
		stored, err := EncodeList(want, key)
		if err != nil {
			t.Fatal(err)
		}
		if !key.IsZero() && bytes.Contains(stored, []byte("key-")) {
			t.Error("an encrypted list shows keys")
		}
		got, err := DecodeList(bytes.Clone(stored), key, listHead)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
		empty := &List{Head: listHead}
		if stored, err = EncodeList(empty, key); err != nil {
			t.Fatal(err)
		}
		if got, err := DecodeList(stored, key, listHead); err != nil || len(got.Parts) != 0 {
			t.Errorf("empty list: %v, %v", got, err)
		}
	}
}

// TestListRefuses alters the JSON of a good list in ways that each must be
// noticed.
func TestListRefuses(t *testing.T) {
	for what, change := range map[string]func(*List){
		"other backup":           func(l *List) { l.Head.BackupID = "abd" },
		"other group":            func(l *List) { l.Head.Group = 2 },
		"other since":            func(l *List) { l.Head.Since = 4 },
		"part missing":           func(l *List) { l.Parts = l.Parts[:1] },
		"parts swapped":          func(l *List) { l.Parts[0], l.Parts[1] = l.Parts[1], l.Parts[0] },
		"part twice":             func(l *List) { l.Parts[1].Name = l.Parts[0].Name },
		"path escape":            func(l *List) { l.Parts[0].Name = "../r100-g1.backup" },
		"absolute path":          func(l *List) { l.Parts[0].Name = "/etc/r100-g1.backup" },
		"name of another read":   func(l *List) { l.Parts[0].Name = "r101-g1.backup" },
		"name of the manifest":   func(l *List) { l.Parts[0].Name = "manifest.json" },
		"overlap":                func(l *List) { l.Parts[0].LastKey = l.Parts[1].FirstKey },
		"first key":              func(l *List) { l.Parts[0].FirstKey = []byte("a") },
		"chunk offset":           func(l *List) { l.Parts[0].Chunks[1].Offset++ },
		"negative size":          func(l *List) { l.Parts[0].Chunks[1].StoredBytes = -1 },
		"huge chunk":             func(l *List) { l.Parts[0].Chunks[0].RawBytes = 1 << 50 },
		"no records":             func(l *List) { l.Parts[0].Chunks[0].Records = 0 },
		"chunk out of order":     func(l *List) { l.Parts[0].Chunks[1].FirstKey = []byte("a") },
		"chunk digest":           func(l *List) { l.Parts[0].Chunks[0].SHA256 = "zz" },
		"no part digest":         func(l *List) { l.Parts[0].SHA256 = "" },
		"part digest":            func(l *List) { l.Parts[0].SHA256 = l.Parts[1].SHA256 },
		"no chunks":              func(l *List) { l.Parts[0].Chunks = nil },
		"records":                func(l *List) { l.Parts[0].Records++ },
		"stored bytes":           func(l *List) { l.Parts[0].StoredBytes++ },
		"raw bytes":              func(l *List) { l.Parts[0].RawBytes-- },
		"too many in collection": func(l *List) { l.Parts[0].Collections[7] = l.Parts[0].Records },
		"negative collection":    func(l *List) { l.Parts[0].Collections[7] = -1 },
		"an IV in a plain one":   func(l *List) { l.Parts[0].IV = strings.Repeat("0", 32) },
		"largest value":          func(l *List) { l.Parts[0].LargestValue = 1 << 40 },
	} {
		l := someList(t, ee.Key{})
		count := len(l.Parts)
		change(l)
		if !strings.Contains(what, "part digest") {
			for i := range l.Parts {
				l.Parts[i].SHA256 = l.Parts[i].Digest()
			}
		}
		stored := encodeAs(t, l, count)
		if _, err := DecodeList(stored, ee.Key{}, listHead); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}

// TestListVersions: in version 1 the digest of a part was that of its bytes,
// which its chunks do without.
func TestListVersions(t *testing.T) {
	for version, good := range map[int]bool{-1: false, 1: true, 2: true, 3: false} {
		l := someList(t, ee.Key{})
		if l.Head.Version = version; version == 1 {
			l.Parts[0].SHA256, l.Parts[1].SHA256 = strings.Repeat("ab", 32), strings.Repeat("cd", 32)
		}
		if _, err := DecodeList(encodeAs(t, l, len(l.Parts)), ee.Key{}, listHead); (err == nil) != good {
			t.Errorf("version %d: %v", version, err)
		}
	}
}

// encodeAs encodes a list whose head says that it has count parts.
func encodeAs(t *testing.T, l *List, count int) []byte {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	enc := json.NewEncoder(zip)
	l.Head.Parts = count
	if l.Head.Version == 0 {
		l.Head.Version = listVersion
	}
	if err := enc.Encode(l.Head); err != nil {
		t.Fatal(err)
	}
	for i := range l.Parts {
		if err := enc.Encode(l.Parts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func FuzzList(f *testing.F) {
	plain, err := EncodeList(someList(f, ee.Key{}), ee.Key{})
	if err != nil {
		f.Fatal(err)
	}
	zip, err := gzip.NewReader(bytes.NewReader(plain))
	if err != nil {
		f.Fatal(err)
	}
	text, err := io.ReadAll(zip)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var stored bytes.Buffer
		zip := gzip.NewWriter(&stored)
		if _, err := zip.Write(text); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		l, err := DecodeList(stored.Bytes(), ee.Key{}, listHead)
		if err != nil {
			return
		}
		for i := range l.Parts {
			if strings.ContainsAny(l.Parts[i].Name, "/\\") {
				t.Fatalf("name %q leaves the folder", l.Parts[i].Name)
			}
		}
	})
}
