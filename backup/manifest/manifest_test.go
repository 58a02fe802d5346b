package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

var day = time.Date(2026, 11, 20, 18, 15, 2, 354e6, time.UTC)

func someKey(t testing.TB, fill byte) ee.Key {
	t.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{fill}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// full returns a valid full backup's manifest.
func full(key ee.Key) *Manifest {
	totals := Totals{Parts: 2, Records: 30, RawBytes: 3000, StoredBytes: 900}
	return &Manifest{
		Type: Full, ReadTs: 32, BackupID: "0a1b2c3d4e5f", BackupNum: 1, Path: FolderName(day),
		Encrypted: !key.IsZero(), KeyID: key.ID(), Compression: CompressionGzip, Version: FormatVersion,
		DBID: strings.Repeat("ab", 16), CreatedAt: day, FinishedAt: day.Add(time.Second), MaxUID: 17,
		Reason: "first", Totals: totals,
		Groups: map[uint32]*Group{1: {Totals: totals,
			PartList:    Object{Name: "r32-g1.parts", Bytes: 300, SHA256: strings.Repeat("cd", 32)},
			Collections: []Collection{{ID: 1, Namespace: "default", Name: "cities", Records: 30}}}},
	}
}

// next returns a valid increment on top of a stored manifest.
func next(t testing.TB, parent Stored, key ee.Key) *Manifest {
	t.Helper()
	m := full(key)
	started, _ := FolderTime(parent.Path)
	m.Type, m.Since, m.ReadTs, m.Parent = Incremental, parent.ReadTs, parent.ReadTs+10, parent.Digest
	m.BackupID, m.BackupNum, m.Path = parent.BackupID, parent.BackupNum+1, FolderName(started.Add(time.Hour))
	m.Groups[1].PartList.Name = PartListName(m.ReadTs, 1)
	m.Reason = ""
	return m
}

func store(t testing.TB, m *Manifest, key ee.Key) Stored {
	t.Helper()
	data, err := m.Encode(key)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(data, m.Path)
	if err != nil {
		t.Fatal(err)
	}
	return Stored{Manifest: back, Data: data, Digest: Digest(data)}
}

func TestRoundTrip(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t, 1)} {
		m := full(key)
		s := store(t, m, key)
		again, err := s.Encode(key)
		if err != nil || !bytes.Equal(again, s.Data) {
			t.Errorf("encoding what was decoded gives other bytes: %v", err)
		}
		if _, err := s.CheckKey(s.Data, ee.NewKeyRing(key)); err != nil {
			t.Error(err)
		}
		if !json.Valid(s.Data) {
			t.Error("not JSON")
		}
	}
}

// TestEveryByteIsSealed flips every bit of a manifest: either it does not
// decode, or the MAC is wrong.
func TestEveryByteIsSealed(t *testing.T) {
	for _, key := range []ee.Key{{}, someKey(t, 1)} {
		everyByte(t, key)
	}
}

func everyByte(t *testing.T, key ee.Key) {
	t.Helper()
	s := store(t, full(key), key)
	for i := range s.Data {
		for bit := range 8 {
			bad := bytes.Clone(s.Data)
			bad[i] ^= 1 << bit
			m, err := Decode(bad, s.Path)
			if err == nil {
				_, err = m.CheckKey(bad, ee.NewKeyRing(key))
			}
			if err == nil {
				t.Fatalf("byte %d, bit %d: accepted %q", i, bit, bad[max(0, i-20):min(len(bad), i+20)])
			}
		}
	}
	for i := range s.Data {
		if _, err := Decode(s.Data[:i], s.Path); !fault.Is(err, fault.Corrupt) {
			t.Fatalf("cut at %d: %v", i, err)
		}
	}
}

func TestCheckKeyKinds(t *testing.T) {
	a, b := someKey(t, 1), someKey(t, 2)
	encrypted, plain := store(t, full(a), a), store(t, full(ee.Key{}), ee.Key{})
	for _, c := range []struct {
		s    Stored
		key  ee.Key
		kind fault.Kind
	}{
		{encrypted, ee.Key{}, fault.KeyMissing},
		{encrypted, b, fault.WrongKey},
		{plain, a, fault.Mixed},
	} {
		if _, err := c.s.CheckKey(c.s.Data, ee.NewKeyRing(c.key)); !fault.Is(err, c.kind) || fault.HintOf(err) == "" {
			t.Errorf("got %v, want kind %v with a hint", err, c.kind)
		}
	}
	forged := bytes.Clone(encrypted.Data)
	at := bytes.Index(forged, []byte(`"max_uid": 17`))
	copy(forged[at:], `"max_uid": 18`)
	m, err := Decode(forged, encrypted.Path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.CheckKey(forged, ee.NewKeyRing(a)); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a forged manifest: %v", err)
	}
}

// sealed encodes a plain backup's manifest without checking it.
func sealed(t *testing.T, m *Manifest) []byte {
	t.Helper()
	data, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	data = bytes.TrimSuffix(data, []byte("\n}"))
	return fmt.Appendf(data, "%s%s%s", sumHead, Digest(data), sealFoot)
}

func TestRefuses(t *testing.T) {
	for what, change := range map[string]func(*Manifest){
		"type":                func(m *Manifest) { m.Type = "half" },
		"id with slash":       func(m *Manifest) { m.BackupID = "../x" },
		"num 0":               func(m *Manifest) { m.BackupNum = 0 },
		"full number 2":       func(m *Manifest) { m.BackupNum = 2 },
		"full with since":     func(m *Manifest) { m.Since = 3 },
		"read_ts not above":   func(m *Manifest) { m.ReadTs = 0 },
		"db id":               func(m *Manifest) { m.DBID = "x" },
		"key id without key":  func(m *Manifest) { m.KeyID = strings.Repeat("0", 16) },
		"compression":         func(m *Manifest) { m.Compression = "lzma" },
		"no groups":           func(m *Manifest) { m.Groups = nil },
		"nil group":           func(m *Manifest) { m.Groups[2] = nil },
		"list path escape":    func(m *Manifest) { m.Groups[1].PartList.Name = "../r32-g1.parts" },
		"list of other group": func(m *Manifest) { m.Groups[1].PartList.Name = "r32-g2.parts" },
		"list without bytes":  func(m *Manifest) { m.Groups[1].PartList.Bytes = 0 },
		"list digest":         func(m *Manifest) { m.Groups[1].PartList.SHA256 = "x" },
		"totals":              func(m *Manifest) { m.Records++ },
		"negative":            func(m *Manifest) { m.Groups[1].Records, m.Records = -1, -1 },
		"collection twice": func(m *Manifest) {
			m.Groups[1].Collections = append(m.Groups[1].Collections, Collection{2, "default", "cities", 0})
		},
		"collection id twice": func(m *Manifest) {
			m.Groups[1].Collections = append(m.Groups[1].Collections, Collection{1, "default", "b", 0})
		},
		"collection without":   func(m *Manifest) { m.Groups[1].Collections[0].Name = "" },
		"path escape":          func(m *Manifest) { m.Path = "../brock.20261120.181502.354" },
		"path is no time":      func(m *Manifest) { m.Path = "brock.20261399.181502.354" },
		"older format version": func(m *Manifest) { m.Version = 0 },
	} {
		m := full(ee.Key{})
		change(m)
		if _, err := Decode(sealed(t, m), m.Path); !fault.Is(err, fault.Corrupt) || strings.Contains(err.Error(), "seal") {
			t.Errorf("%s: %v", what, err)
		}
	}
	m := full(ee.Key{})
	s := store(t, m, ee.Key{})
	if _, err := Decode(s.Data, FolderName(day.Add(time.Minute))); !fault.Is(err, fault.Corrupt) {
		t.Errorf("a manifest in another folder: %v", err)
	}
	m.Version = FormatVersion + 1
	if _, err := Decode(sealed(t, m), m.Path); !fault.Is(err, fault.Usage) || fault.HintOf(err) == "" {
		t.Errorf("a newer format: %v", err)
	}
}

func TestChain(t *testing.T) {
	key := someKey(t, 1)
	one := store(t, full(key), key)
	two := store(t, next(t, one, key), key)
	three := store(t, next(t, two, key), key)
	twin := next(t, one, key) // another number 2
	twin.Path = FolderName(day.Add(90 * time.Minute))
	fork := store(t, twin, key)
	series := func(members ...Stored) *Series { s := InSeries(members); return &s[0] }

	for num := range 4 {
		chain, err := series(three, one, two).Chain(num)
		want := num
		if num == 0 {
			want = 3
		}
		if err != nil || len(chain) != want || chain[want-1].BackupNum != want {
			t.Errorf("chain up to %d: %d members, %v", num, len(chain), err)
		}
	}
	altered := two
	altered.Digest = strings.Repeat("0", 64)
	for what, c := range map[string]struct {
		s    *Series
		num  int
		kind fault.Kind
		text string
	}{
		"number too high": {series(one, two), 3, fault.NotFound, "no backup number 3"},
		"negative":        {series(one, two), -1, fault.NotFound, "no backup number -1"},
		"full missing":    {series(two, three), 0, fault.Corrupt, "number 1 is missing"},
		"hole":            {series(one, three), 0, fault.Corrupt, "number 2 is missing"},
		"fork":            {series(one, two, fork), 0, fault.Corrupt, "forked"},
		"fork below":      {series(one, two, fork, three), 3, fault.Corrupt, "forked"},
		"altered parent":  {series(one, altered, three), 0, fault.Corrupt, "digest"},
	} {
		_, err := c.s.Chain(c.num)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.text) || fault.HintOf(err) == "" {
			t.Errorf("%s: %v (hint %q)", what, err, fault.HintOf(err))
		}
	}
	if chain, err := series(one, three).Chain(1); err != nil || len(chain) != 1 {
		t.Errorf("up to the hole: %v", err)
	}
	if chain, err := series(one, two, fork).Chain(1); err != nil || len(chain) != 1 {
		t.Errorf("up to the fork: %v", err)
	}
}

func TestFolderNames(t *testing.T) {
	if got := FolderName(day); got != "brock.20261120.181502.354" {
		t.Errorf("FolderName = %s", got)
	}
	for name, good := range map[string]bool{
		"brock.20261120.181502.354": true, "brock.20261320.181502.354": false, "brock.20261120.181502": false,
		"brock.20261120.181502.354/x": false, "xbrock.20261120.181502.354": false, "": false,
	} {
		if _, ok := FolderTime(name); ok != good {
			t.Errorf("FolderTime(%q) = %v", name, ok)
		}
	}
}

func FuzzManifest(f *testing.F) {
	for _, key := range []ee.Key{{}, someKey(f, 1)} {
		f.Add(store(f, full(key), key).Data)
	}
	folder := FolderName(day)
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Decode(data, folder)
		if err != nil {
			return
		}
		for id, g := range m.Groups {
			if g.PartList.Name != PartListName(m.ReadTs, id) || strings.ContainsAny(m.Path, "/\\") {
				t.Fatalf("a name leaves the folder: %q, %q", m.Path, g.PartList.Name)
			}
		}
		s := InSeries([]Stored{{Manifest: m, Data: data, Digest: Digest(data)}})
		_, _ = s[0].Chain(0) // must not panic
	})
}
