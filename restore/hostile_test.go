package restore_test

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// hostile is a backup without encryption whose manifest and part list somebody
// rewrites, seals included.
type hostile struct {
	*testing.T
	*sample
	m    *manifest.Manifest
	list *archive.List
}

func newHostile(t *testing.T, s *sample) *hostile {
	t.Helper()
	h := &hostile{T: t, sample: s.copy(t)}
	l := list(t, h.dst)
	h.m = l.Series[0].Members[0].Manifest
	var err error
	if h.list, err = backup.ReadPartList(t.Context(), h.dst, h.m, 1, ee.Key{}); err != nil {
		t.Fatal(err)
	}
	// Only the full: what comes after it would not follow it any more.
	if err := os.RemoveAll(filepath.Join(h.dir, l.Series[0].Members[1].Path)); err != nil {
		t.Fatal(err)
	}
	return h
}

// storeList stores the part list and makes the manifest fit.
func (h *hostile) storeList() {
	h.Helper()
	stored, err := archive.EncodeList(h.list, ee.Key{})
	if err != nil {
		h.Fatal(err)
	}
	h.storeRawList(stored)
}

func (h *hostile) storeRawList(stored []byte) {
	h.Helper()
	g := h.m.Groups[1]
	destinationtest.Put(h, h.dst, h.m.Path+"/"+g.PartList.Name, stored)
	sum := sha256.Sum256(stored)
	g.PartList.Bytes, g.PartList.SHA256 = int64(len(stored)), hex.EncodeToString(sum[:])
	h.storeManifest(h.manifestText())
}

// sumUp makes the manifest's totals those of the part list.
func (h *hostile) sumUp() {
	var sum manifest.Totals
	for _, p := range h.list.Parts {
		sum.Add(manifest.Totals{Parts: 1, Records: p.Records, RawBytes: p.RawBytes, StoredBytes: p.StoredBytes})
	}
	h.m.Totals, h.m.Groups[1].Totals = sum, sum
}

// manifestText encodes the manifest whatever is in it, without the seal and the
// bracket before that.
func (h *hostile) manifestText() string {
	h.Helper()
	text, err := json.MarshalIndent(h.m, "", "  ")
	if err != nil {
		h.Fatal(err)
	}
	return strings.TrimSuffix(string(text), "\n}")
}

func (h *hostile) storeManifest(text string) {
	h.Helper()
	sealed := fmt.Sprintf("%s,\n  \"sha256\": \"%s\"\n}\n", text, manifest.Digest([]byte(text)))
	destinationtest.Put(h, h.dst, h.sample.points[0].m.Path+"/"+manifest.FileName, []byte(sealed))
}

// wantHarmless checks that a restore and a verification refuse, with little
// memory and without leaving anything.
func (h *hostile) wantHarmless(what string, maxMiB uint64) {
	h.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h.wantRefused(h.T, what)
	runtime.ReadMemStats(&after)
	if grown := (after.TotalAlloc - before.TotalAlloc) >> 20; grown > maxMiB {
		h.Errorf("%s: %d MiB were allocated to refuse it twice", what, grown)
	}
	if _, err := os.Stat(filepath.Join(h.dir, "..", "escaped")); err == nil {
		h.Errorf("%s: a file was written outside", what)
	}
}

// TestHostileBackups: names that try to leave the folder, sizes that would fill
// the memory, counts that do not fit. No test here runs beside others, which
// would allocate too.
func TestHostileBackups(t *testing.T) {
	s := newSample(t, 0, 1)
	for what, change := range map[string]func(h *hostile){
		"list name": func(h *hostile) { h.m.Groups[1].PartList.Name = "../escaped" },
		"path":      func(h *hostile) { h.m.Path = "../escaped" },
		"list size": func(h *hostile) { h.m.Groups[1].PartList.Bytes = 1 << 60 },
		"group 0":   func(h *hostile) { h.m.Groups[0] = h.m.Groups[1] },
		"group without list": func(h *hostile) {
			h.m.Groups[7] = &manifest.Group{PartList: manifest.Object{Name: manifest.PartListName(h.m.ReadTs, 7), Bytes: 1 << 40, SHA256: strings.Repeat("0", 64)}}
		},
		"records": func(h *hostile) { h.m.Records++; h.m.Groups[1].Records++ },
	} {
		h := newHostile(t, s)
		change(h)
		h.storeManifest(h.manifestText())
		h.wantHarmless("manifest: "+what, 32)
	}
	for what, change := range map[string]func(p *archive.Part, c *archive.Chunk){
		"path escape":   func(p *archive.Part, _ *archive.Chunk) { p.Name = "../escaped" },
		"absolute path": func(p *archive.Part, _ *archive.Chunk) { p.Name = "/etc/passwd" },
		"manifest":      func(p *archive.Part, _ *archive.Chunk) { p.Name = manifest.FileName },
		"other backup":  func(p *archive.Part, _ *archive.Chunk) { p.Name = "r9-g1.backup" },
		"stored size": func(p *archive.Part, c *archive.Chunk) {
			c.StoredBytes += 1 << 30
			p.StoredBytes += 1 << 30
		},
		"raw size": func(p *archive.Part, c *archive.Chunk) {
			c.RawBytes += 1 << 30
			p.RawBytes += 1 << 30
		},
		"records": func(p *archive.Part, c *archive.Chunk) {
			c.Records += 3
			p.Records += 3
		},
		"first key":     func(p *archive.Part, c *archive.Chunk) { p.FirstKey, c.FirstKey = []byte("a"), []byte("a") },
		"last key":      func(p *archive.Part, _ *archive.Chunk) { p.LastKey = []byte("zzz") },
		"part digest":   func(p *archive.Part, _ *archive.Chunk) { p.SHA256 = strings.Repeat("0", 64) },
		"chunk digest":  func(_ *archive.Part, c *archive.Chunk) { c.SHA256 = strings.Repeat("0", 64) },
		"negative":      func(p *archive.Part, c *archive.Chunk) { c.StoredBytes, p.StoredBytes = -1, -1 },
		"key in no way": func(p *archive.Part, _ *archive.Chunk) { p.LastKey = nil },
	} {
		h := newHostile(t, s)
		part := &h.list.Parts[0]
		change(part, &part.Chunks[0])
		if what != "part digest" {
			part.SHA256 = part.Digest()
		}
		h.sumUp()
		h.storeList()
		if what == "last key" {
			// A restore does not need it; verify finds it.
			_, err := (&restore.Verify{Source: h.dst, Level: restore.Every}).Run(t.Context())
			if !fault.Is(err, fault.Corrupt) {
				t.Errorf("part list: %s: %v", what, err)
			}
			continue
		}
		h.wantHarmless("part list: "+what, 32)
	}
}

// TestHostileParts: parts whose digests are right and whose records are not what
// a backup may hold.
func TestHostileParts(t *testing.T) {
	t.Parallel()
	s := newSample(t, 0, 1)
	record := func(key string, version uint64) archive.Record {
		return archive.Record{Key: []byte(key), Value: []byte("v"), Version: version}
	}
	for what, c := range map[string]struct {
		good    bool
		records []archive.Record
	}{
		"as it should be":    {true, []archive.Record{record("a", 2), record("b", 1), record("c", 3)}},
		"two versions":       {true, []archive.Record{record("a", 2), record("a", 1)}},
		"version 0":          {false, []archive.Record{record("a", 2), record("b", 0)}},
		"version too high":   {false, []archive.Record{record("a", 1<<40)}},
		"keys out of order":  {false, []archive.Record{record("b", 1), record("a", 2)}},
		"versions ascending": {false, []archive.Record{record("a", 1), record("a", 2)}},
		"a version twice":    {false, []archive.Record{record("a", 1), record("a", 1)}},
	} {
		h := newHostile(t, s)
		h.storePart(c.records)
		_, verified, restored := h.verdict(t, h.dst, restore.Every)
		if c.good != (verified == nil) || c.good != (restored == nil) || !c.good && (!fault.Is(verified, fault.Corrupt) || !fault.Is(restored, fault.Corrupt)) {
			t.Errorf("%s: verify: %v; restore: %v", what, verified, restored)
		}
	}
}

// storePart replaces the backup's part by one with these records, in this order.
func (h *hostile) storePart(records []archive.Record) {
	h.Helper()
	enc, err := archive.NewEncoder(archive.DefaultCompression)
	if err != nil {
		h.Fatal(err)
	}
	var out bytes.Buffer
	name := h.list.Parts[0].Name
	w, err := archive.NewPartWriter(&out, name, enc, archive.PartOptions{ChunkBytes: 1 << 20}, nil)
	if err != nil {
		h.Fatal(err)
	}
	for i := range records {
		if err := w.Add(&records[i], true, 0); err != nil {
			h.Fatal(err)
		}
	}
	part, _, err := w.Finish()
	if err != nil {
		h.Fatal(err)
	}
	if bytes.Compare(part.FirstKey, part.LastKey) > 0 {
		part.LastKey = []byte("zzz") // or the list alone would give it away
	}
	destinationtest.Put(h, h.dst, h.m.Path+"/"+name, out.Bytes())
	h.list.Parts = []archive.Part{part}
	h.sumUp()
	h.storeList()
}

// TestBombs: a part list of a few kilobytes that unpacks to more than any line of
// one may have.
func TestBombs(t *testing.T) {
	s := newSample(t, 0, 1)
	for what, head := range map[string]string{"spaces": " ", "a name": `{"name":"`, "an array": `{"chunks":[`, "lines": "{}\n"} {
		h := newHostile(t, s)
		h.storeRawList(bomb(t, h, head))
		h.wantHarmless("bomb of "+what, 200)
	}
}

// bomb returns a part list whose second line goes on with the last byte of
// start for 40 MiB, or lines that are all like start.
func bomb(t *testing.T, h *hostile, start string) []byte {
	t.Helper()
	var out bytes.Buffer
	zip, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
	if err != nil {
		t.Fatal(err)
	}
	head, err := json.Marshal(h.list.Head)
	if err != nil {
		t.Fatal(err)
	}
	filler := bytes.Repeat([]byte(start[len(start)-1:]), 1<<20)
	if strings.HasSuffix(start, "\n") {
		filler = bytes.Repeat([]byte(start), 1<<20/len(start))
	}
	for _, piece := range [][]byte{head, []byte("\n"), []byte(start)} {
		if _, err := zip.Write(piece); err != nil {
			t.Fatal(err)
		}
	}
	for range 40 {
		if _, err := zip.Write(filler); err != nil {
			t.Fatal(err)
		}
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestDuplicateKeys: a manifest that says a thing twice is read like one that
// says the last of them, everywhere, or refused.
func TestDuplicateKeys(t *testing.T) {
	s := newSample(t, 0, 1)
	for _, first := range []string{`"path": "../escaped"`, `"type": "incremental"`, `"encrypted": true`, `"version": 7`,
		`"groups": {"2": null}`, `"read_ts": 1`, `"PATH": "/etc"`} {
		h := newHostile(t, s)
		h.storeManifest(strings.Replace(h.manifestText(), "{\n", "{\n  "+first+",\n", 1))
		state, _, restored := h.verdict(t, h.dst, "")
		if restored == nil {
			if len(state) != len(s.points[0].state) {
				t.Errorf("%s twice: %d records, not %d", first, len(state), len(s.points[0].state))
			}
		} else if !fault.Is(restored, fault.Corrupt) {
			t.Errorf("%s twice: %v", first, restored)
		}
	}
}
