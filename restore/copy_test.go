package restore_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// These tests copy series, as they are and under another key, and restore what
// was made.

// newCopySample is a full and two incrementals of several parts each.
func newCopySample(t testing.TB, keySize int) (*sample, *backuptest.DB) {
	t.Helper()
	s := &sample{dir: t.TempDir(), key: backuptest.Key(t, keySize)}
	s.dst = backuptest.OpenDir(t, s.dir)
	d := backuptest.New(t, true, nil)
	r := rand.New(rand.NewPCG(uint64(keySize), 3))
	for i := range 160 {
		d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: backuptest.RandomText(r, 100)})
	}
	s.addInParts(d)
	for round := range 2 {
		for i := range 50 {
			d.Set(fmt.Sprintf("k%03d", i*3+round), backuptest.Entry{Value: backuptest.RandomText(r, 60)})
			if i%5 == 0 {
				d.Delete(fmt.Sprintf("k%03d", i*2+1))
			}
		}
		s.addInParts(d)
	}
	return s, d
}

func (s *sample) addInParts(d *backuptest.DB) {
	m := d.Backup(s.dst, func(b *backup.Backup) { b.Key, b.ChunkBytes, b.PartBytes = s.key, 4<<10, 2<<10 })
	s.points = append(s.points, point{m, d.Model.Clone()})
}

// newKey returns a key that no sample has.
func newKey(t testing.TB) ee.Key {
	t.Helper()
	key, err := ee.NewKey(bytes.Repeat([]byte{9}, 32))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// good checks that all that stands in dir belongs to sound backups that hold what
// s was taken of.
func (s *sample) good(t *testing.T, what, dir string, key ee.Key) {
	t.Helper()
	d := backuptest.OpenDir(t, dir)
	v := &restore.Verify{Source: d, Keys: ee.NewKeyRing(key), Level: restore.Every, Workers: 2}
	if _, err := v.Run(t.Context()); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	l := list(t, d)
	if got, want := paths(l), paths(list(t, s.dst)); !slices.Equal(got, want) {
		t.Fatalf("%s: there are %q, want %q", what, got, want)
	}
	if got, want := filesIn(t, dir), objectsOf(t, d, l, key); !slices.Equal(got, want) {
		t.Fatalf("%s: there is\n%q, want\n%q", what, got, want)
	}
}

// TestCopy: a copy is the series, byte by byte; copying again sends nothing, and
// after another backup only that.
func TestCopy(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		keySize int
		key     bool
	}{{0, false}, {32, true}, {32, false}} {
		t.Run(fmt.Sprintf("key of %d bytes, given: %v", c.keySize, c.key), func(t *testing.T) {
			t.Parallel()
			s, d := newCopySample(t, c.keySize)
			to := filepath.Join(t.TempDir(), "to")
			job := &backup.Copy{From: s.dst, To: backuptest.OpenDir(t, to), Progress: new(backup.Progress)}
			if c.key {
				job.Keys = ee.NewKeyRing(s.key)
			}
			for round := range 3 {
				report, err := job.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.good(t, "copy", to, s.key)
				if err := sameFiles(s.dir, to); err != nil {
					t.Error(err)
				}
				got := report.Series[0]
				wantCopied := []int{3, 0, 1}[round]
				if got.BackupsCopied != wantCopied || got.BackupsCopied+got.BackupsThere != len(s.points) || !got.Complete ||
					got.Authenticated != (c.key || c.keySize == 0) || (got.BytesCopied == 0) != (wantCopied == 0) {
					t.Errorf("round %d: %+v", round, got)
				}
				if v := job.Progress.View(); v.Fraction != 1 {
					t.Errorf("progress: %+v", v)
				}
				if round == 1 {
					d.Set("another", backuptest.Entry{Value: "one"})
					s.addInParts(d)
				}
			}
			wantRestored(t, job.To, s.points[3], s.key, restore.SinkTables)
		})
	}
}

// sameFiles compares all files but the lease's.
func sameFiles(a, b string) error {
	return filepath.WalkDir(a, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() || strings.Contains(name, "brock.lease") {
			return err
		}
		rel, err := filepath.Rel(a, name)
		if err != nil {
			return err
		}
		x, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		y, err := os.ReadFile(filepath.Join(b, rel))
		if err == nil && !bytes.Equal(x, y) {
			err = fmt.Errorf("%s differs", rel)
		}
		return err
	})
}

// TestRekey: a series under another key holds the same, and nothing of the old
// ciphertext.
func TestRekey(t *testing.T) {
	t.Parallel()
	for _, keySize := range []int{0, 16} {
		t.Run(fmt.Sprintf("from a key of %d bytes", keySize), func(t *testing.T) {
			t.Parallel()
			s, d := newCopySample(t, keySize)
			to := filepath.Join(t.TempDir(), "to")
			key := newKey(t)
			job := &backup.Copy{From: s.dst, To: backuptest.OpenDir(t, to), Keys: ee.NewKeyRing(s.key), NewKey: key}
			for round := range 3 {
				report, err := job.Run(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				s.good(t, "rekeyed", to, key)
				if got, want := report.Series[0].BackupsCopied, []int{3, 0, 1}[round]; got != want || report.KeyID != key.ID() {
					t.Errorf("round %d: %+v", round, report)
				}
				if round == 1 {
					d.Set("another", backuptest.Entry{Value: "one"})
					s.addInParts(d)
				}
			}
			for _, p := range s.points {
				wantRestored(t, job.To, p, key, restore.SinkTables)
			}
			wantNewIVs(t, s, job, key)
			_, err := (&restore.Restore{Source: job.To, Keys: ee.NewKeyRing(backuptest.Key(t, 16)), Dir: t.TempDir()}).Run(t.Context())
			if !fault.Is(err, fault.WrongKey) {
				t.Errorf("restore with the old key: %v", err)
			}
			job.From, job.To, job.Keys = job.To, backuptest.OpenDir(t, t.TempDir()), ee.NewKeyRing(key)
			if _, err := job.Run(t.Context()); !fault.Is(err, fault.Usage) {
				t.Errorf("the same key again: %v", err)
			}
		})
	}
}

// wantNewIVs checks that no IV stands twice, here or there.
func wantNewIVs(t *testing.T, s *sample, job *backup.Copy, key ee.Key) {
	t.Helper()
	ivs := map[string]string{}
	for i, d := range []struct {
		l   *backup.Listing
		key ee.Key
	}{{list(t, s.dst), s.key}, {list(t, job.To), key}} {
		for _, m := range d.l.Series[0].Members {
			src := s.dst
			if i == 1 {
				src = job.To
			}
			parts, err := backup.ReadPartList(t.Context(), src, m.Manifest, 1, d.key)
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range parts.Parts {
				if p.IV != "" && ivs[p.IV] != "" {
					t.Errorf("%s/%s has the IV of %s", m.Path, p.Name, ivs[p.IV])
				}
				ivs[p.IV] = m.Path + "/" + p.Name
			}
		}
	}
	if len(ivs) < 6 {
		t.Errorf("only %d IVs were compared", len(ivs))
	}
}

// TestCopyCutOff crashes copies at calls of the destination, harms what they have
// left, and copies again: the result is whole, and what was sound was not sent
// again.
func TestCopyCutOff(t *testing.T) {
	t.Parallel()
	for _, rekey := range []bool{false, true} {
		t.Run(fmt.Sprintf("rekey=%v", rekey), func(t *testing.T) {
			t.Parallel()
			s, _ := newCopySample(t, 32)
			key := s.key
			job := &backup.Copy{From: s.dst, Keys: ee.NewKeyRing(s.key), Workers: 2}
			if rekey {
				key, job.NewKey = newKey(t), newKey(t)
			}
			count := destinationtest.NewFaulty(backuptest.OpenDir(t, filepath.Join(t.TempDir(), "to")))
			job.To = count
			if _, err := job.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			calls, saved := count.Count(destinationtest.AnyOp), int64(0)
			for n := 2; n < calls; n += 5 {
				what := fmt.Sprintf("crash at call %d of %d", n, calls)
				to := filepath.Join(t.TempDir(), "to")
				faulty := destinationtest.NewFaulty(backuptest.OpenDir(t, to))
				job.To = faulty
				faulty.CrashAt(n)
				if _, err := job.Run(t.Context()); err == nil {
					t.Fatalf("%s: it survived", what)
				}
				faulty.Heal()
				if err := os.RemoveAll(filepath.Join(to, "brock.lease")); err != nil {
					t.Fatal(err)
				}
				harmed := n%10 == 2 && harmAPart(t, to)
				report, err := job.Run(t.Context())
				if err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				s.good(t, what, to, key)
				got := report.Series[0]
				saved += got.ObjectsThere
				if harmed && got.ObjectsRemoved == 0 {
					t.Errorf("%s: a part that was altered was kept: %+v", what, got)
				}
			}
			if saved < int64(calls/5) {
				t.Errorf("%d objects were not sent again, too few to show anything", saved)
			}
		})
	}
}

// harmAPart flips a bit of a part in a folder that is no backup yet, and leaves a
// part there that belongs to nothing.
func harmAPart(t *testing.T, dir string) bool {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(dir, "brock.2*", "*.backup"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range found {
		if _, err := os.Stat(filepath.Join(filepath.Dir(name), manifest.FileName)); err == nil {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		data[len(data)/2] ^= 1
		for _, to := range []string{name, filepath.Join(filepath.Dir(name), "r1-g1.0999.backup")} {
			if err := os.WriteFile(to, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return true
	}
	return false
}

// TestCopyOfDamaged flips a bit in every object of a series: it is noticed, and
// nothing that is damaged becomes a backup at the destination.
func TestCopyOfDamaged(t *testing.T) {
	t.Parallel()
	whole, _ := newCopySample(t, 32)
	for _, name := range whole.objects(t) {
		for _, mode := range []string{"copy", "copy without the key", "rekey"} {
			s := whole.copy(t)
			file := filepath.Join(s.dir, name)
			data, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			data[len(data)*2/3] ^= 4
			if err := os.WriteFile(file, data, 0o600); err != nil {
				t.Fatal(err)
			}
			to := filepath.Join(t.TempDir(), "to")
			job := &backup.Copy{From: s.dst, To: backuptest.OpenDir(t, to), Keys: ee.NewKeyRing(s.key)}
			switch mode {
			case "copy without the key":
				newest := whole.points[len(whole.points)-1].m.Path + "/" + manifest.FileName
				if job.Keys = (ee.KeyRing{}); strings.HasSuffix(name, ".backup") || name == newest {
					continue // its digest cannot be read, or nothing has its digest
				}
			case "rekey":
				job.NewKey = newKey(t)
			}
			if _, err := job.Run(t.Context()); !fault.Is(err, fault.Corrupt) {
				t.Errorf("%s with %s altered: %v", mode, name, err)
			}
			l := list(t, job.To)
			if slices.Contains(paths(l), filepath.Dir(name)) || len(l.Damaged) > 0 {
				t.Errorf("%s with %s altered: it is a backup at the destination", mode, name)
			}
		}
	}
}

// TestCopyRefuses: what would mix two series, and what makes no sense.
func TestCopyRefuses(t *testing.T) {
	t.Parallel()
	s, _ := newCopySample(t, 0)
	to := filepath.Join(t.TempDir(), "to")
	job := &backup.Copy{From: s.dst, To: backuptest.OpenDir(t, to)}
	if _, err := job.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	other := s.copy(t)
	newest := list(t, s.dst).Series[0].Newest()
	forged := *newest.Manifest
	forged.MaxUID++
	data, err := forged.Encode(ee.Key{})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(other.dir, forged.Path, manifest.FileName), data, 0o600); err != nil {
		t.Fatal(err)
	}
	job.From = other.dst
	before := filesIn(t, to)
	if _, err := job.Run(t.Context()); !fault.Is(err, fault.Mixed) || fault.HintOf(err) == "" {
		t.Errorf("another series of the same id: %v", err)
	}
	job.From, job.NewKey = s.dst, newKey(t)
	if _, err := job.Run(t.Context()); !fault.Is(err, fault.Mixed) {
		t.Errorf("rekey onto the plain copy: %v", err)
	}
	if err := os.RemoveAll(filepath.Join(other.dir, forged.Path)); err != nil {
		t.Fatal(err)
	}
	job.From, job.NewKey = other.dst, ee.Key{}
	if _, err := job.Run(t.Context()); !fault.Is(err, fault.Mixed) {
		t.Errorf("a series with fewer backups: %v", err)
	}
	if !slices.Equal(filesIn(t, to), before) {
		t.Error("a refused copy has changed the destination")
	}
	job.To = job.From
	if _, err := job.Run(t.Context()); !fault.Is(err, fault.Usage) {
		t.Errorf("onto itself: %v", err)
	}
	job.To, job.BackupID = backuptest.OpenDir(t, t.TempDir()), "nothing"
	if _, err := job.Run(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

// TestRecode: for every pair of keys, a part comes back from another key as it
// was, and a flip anywhere is noticed.
func TestRecode(t *testing.T) {
	t.Parallel()
	s, _ := newCopySample(t, 24)
	m := s.points[0].m
	parts, err := backup.ReadPartList(t.Context(), s.dst, m, 1, s.key)
	if err != nil {
		t.Fatal(err)
	}
	p := &parts.Parts[0]
	stored := destinationtest.Get(t, s.dst, m.Path+"/"+p.Name)
	recode := func(in []byte, p *archive.Part, from, to ee.Key) ([]byte, archive.Part, error) {
		var out bytes.Buffer
		q, err := archive.Recode(bytes.NewReader(in), p, from, &out, to, ee.NewIV())
		return out.Bytes(), q, err
	}
	plain, q, err := recode(stored, p, s.key, ee.Key{})
	if err != nil {
		t.Fatal(err)
	}
	other, r, err := recode(plain, &q, ee.Key{}, newKey(t))
	if err != nil || bytes.Equal(other, stored) {
		t.Fatal(err)
	}
	again, _, err := recode(other, &r, newKey(t), ee.Key{})
	if err != nil || !bytes.Equal(again, plain) {
		t.Errorf("there and back: %v", err)
	}
	for i := 0; i < len(stored); i += 7 {
		stored[i] ^= 1
		if _, _, err := recode(stored, p, s.key, newKey(t)); err == nil {
			t.Errorf("a flip at %d is not noticed", i)
		}
		stored[i] ^= 1
	}
	if _, _, err := recode(stored[:len(stored)-1], p, s.key, newKey(t)); err == nil {
		t.Error("a cut is not noticed")
	}
}

// TestCopyIsLocked: two copies to one destination do not meet.
func TestCopyIsLocked(t *testing.T) {
	t.Parallel()
	s, _ := newCopySample(t, 0)
	to := filepath.Join(t.TempDir(), "to")
	var second error
	job := &backup.Copy{From: s.dst, To: backuptest.OpenDir(t, to)}
	hook := &backuptest.Hook{Destination: backuptest.OpenDir(t, to), BeforeCreate: func(name string) {
		if strings.HasSuffix(name, ".parts") && second == nil {
			_, second = job.Run(context.WithoutCancel(t.Context()))
		}
	}}
	if _, err := (&backup.Copy{From: s.dst, To: hook}).Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !fault.Is(second, fault.Locked) {
		t.Errorf("a copy beside the first one: %v", second)
	}
	s.good(t, "copy", to, s.key)
}
