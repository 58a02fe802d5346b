package restore_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// sample is a full and an incremental that get damaged.
type sample struct {
	dir    string
	out    string // to restore to
	dst    destination.Destination
	key    ee.Key
	points []point
}

func newSample(t testing.TB, keySize int, seed uint64) *sample {
	t.Helper()
	s := &sample{dir: t.TempDir(), out: filepath.Join(t.TempDir(), "out"), key: backuptest.Key(t, keySize)}
	s.dst = backuptest.OpenDir(t, s.dir)
	d := backuptest.New(t, true, nil)
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range 120 {
		d.Set(fmt.Sprintf("k%03d", i), backuptest.Entry{Value: backuptest.RandomText(r, 80)})
	}
	s.add(d)
	for i := range 20 {
		d.Set(fmt.Sprintf("k%03d", i*5), backuptest.Entry{Value: backuptest.RandomText(r, 20)})
		d.Delete(fmt.Sprintf("k%03d", i*3+1))
	}
	s.add(d)
	return s
}

func (s *sample) add(d *backuptest.DB) {
	m := d.Backup(s.dst, func(b *backup.Backup) { b.Key, b.ChunkBytes = s.key, 4<<10 })
	s.points = append(s.points, point{m, d.Model.Clone()})
}

// copy returns the sample in a directory of its own.
func (s *sample) copy(t testing.TB) *sample {
	t.Helper()
	c := *s
	c.dir = filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(c.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	c.dst = backuptest.OpenDir(t, c.dir)
	return &c
}

// objects returns the names of all objects but the lease.
func (s *sample) objects(t testing.TB) []string { return filesIn(t, s.dir) }

// verdict is what a verification and a restore of the newest backup make of a
// damaged destination.
func (s *sample) verdict(t testing.TB, d destination.Destination, level restore.Level) (state backuptest.State, verified, restored error) {
	t.Helper()
	if level != "" {
		_, verified = (&restore.Verify{Source: d, Keys: ee.NewKeyRing(s.key), Level: level, Workers: 1}).Run(t.Context())
	}
	_, restored = (&restore.Restore{Source: d, Keys: ee.NewKeyRing(s.key), Dir: s.out, Workers: 1, Sink: restore.SinkTables}).Run(t.Context())
	if restored != nil {
		wantNothingIn(t, s.out)
		return nil, verified, restored
	}
	state = backuptest.ReadDir(t, filepath.Join(s.out, "p1"))
	if err := os.RemoveAll(s.out); err != nil {
		t.Fatal(err)
	}
	return state, verified, nil
}

// TestEveryByteFlipped flips every byte of manifests and part lists, and bytes
// all over the parts: verify finds it, and a restore fails or is exact.
func TestEveryByteFlipped(t *testing.T) {
	for _, keySize := range []int{0, 32} {
		t.Run(fmt.Sprintf("key=%d", keySize), func(t *testing.T) {
			t.Parallel()
			s := newSample(t, keySize, 1)
			for _, name := range s.objects(t) {
				s.flipped(t, name)
			}
		})
	}
}

func (s *sample) flipped(t *testing.T, name string) {
	t.Helper()
	size := int64(len(destinationtest.Get(t, s.dst, name)))
	faulty := destinationtest.NewFaulty(s.dst)
	part := strings.HasSuffix(name, ".backup")
	step := int64(1)
	if part {
		step = 61
	}
	for offset := int64(0); offset < size; offset += step {
		what := fmt.Sprintf("%s: byte %d of %d flipped", name, offset, size)
		faulty.Flip(name, offset, 1<<(offset%8))
		level := restore.Level("")
		if part || offset%16 == 0 {
			level = restore.Every
		}
		state, verified, restored := s.verdict(t, faulty, level)
		faulty.Heal()
		if level != "" && !s.damageKind(verified) {
			t.Fatalf("%s: verify says %v (%v)", what, verified, fault.KindOf(verified))
		}
		ivOnly := part && !s.key.IsZero() && offset < ee.IVSize // the part list has it too
		if restored == nil && ivOnly {
			backuptest.Equal(t, what, state, s.points[1].state)
		} else if !s.damageKind(restored) {
			t.Fatalf("%s: restore says %v (%v)", what, restored, fault.KindOf(restored))
		}
	}
	for _, left := range []int64{0, 1, 16, size / 2, size - 1} {
		faulty.Cut(name, left)
		_, verified, restored := s.verdict(t, faulty, restore.Every)
		faulty.Heal()
		if !s.damageKind(verified) || !s.damageKind(restored) {
			t.Fatalf("%s cut to %d bytes: %v, %v", name, left, verified, restored)
		}
	}
}

// damageKind reports whether an error says that the backup is damaged. A key id
// that was altered shows as another key, and the version of an encrypted
// manifest, whose MAC only somebody with the key can check, as a newer format.
func (s *sample) damageKind(err error) bool {
	return fault.Is(err, fault.Corrupt) || fault.Is(err, fault.WrongKey) ||
		!s.key.IsZero() && fault.Is(err, fault.Usage) && strings.Contains(err.Error(), "format version")
}

// TestObjectsLostOrMixedUp deletes, lengthens and exchanges whole objects.
func TestObjectsLostOrMixedUp(t *testing.T) {
	for _, keySize := range []int{0, 32} {
		t.Run(fmt.Sprintf("key=%d", keySize), func(t *testing.T) {
			t.Parallel()
			s, other := newSample(t, keySize, 1), newSample(t, keySize, 2)
			objects := s.objects(t)
			for _, name := range objects {
				s.lost(t, name)
				s.lengthened(t, name)
				for _, with := range objects {
					if with > name && path.Ext(with) == path.Ext(name) {
						s.exchanged(t, name, with)
					}
				}
				s.replaced(t, name, destinationtest.Get(t, other.dst, other.counterpart(t, s, name)))
			}
			s.exchanged(t, s.points[0].m.Path, s.points[1].m.Path)
		})
	}
}

// counterpart returns the object of o that has the place of s's object name.
func (o *sample) counterpart(t *testing.T, s *sample, name string) string {
	t.Helper()
	at := slices.Index(s.objects(t), name)
	return o.objects(t)[at]
}

func (s *sample) lost(t *testing.T, name string) {
	t.Helper()
	c := s.copy(t)
	if err := os.Remove(filepath.Join(c.dir, name)); err != nil {
		t.Fatal(err)
	}
	state, verified, restored := c.verdict(t, c.dst, restore.Quick)
	if name == c.points[1].m.Path+"/"+manifest.FileName {
		// A folder without a manifest is no backup, so the one before is the newest.
		if verified != nil || restored != nil {
			t.Fatalf("without %s: %v, %v", name, verified, restored)
		}
		backuptest.Equal(t, "without "+name, state, c.points[0].state)
		return
	}
	if !fault.Is(verified, fault.Corrupt) || !fault.Is(restored, fault.Corrupt) || fault.HintOf(restored) == "" {
		t.Errorf("without %s: verify: %v; restore: %v", name, verified, restored)
	}
}

func (s *sample) lengthened(t *testing.T, name string) {
	t.Helper()
	c := s.copy(t)
	content := destinationtest.Get(t, c.dst, name)
	for _, more := range [][]byte{{0}, []byte("\n"), content} {
		destinationtest.Put(t, c.dst, name, append(bytes.Clone(content), more...))
		c.wantRefused(t, name+" with more bytes")
	}
}

// exchanged exchanges two objects, or two folders.
func (s *sample) exchanged(t *testing.T, a, b string) {
	t.Helper()
	c := s.copy(t)
	from, to, third := filepath.Join(c.dir, a), filepath.Join(c.dir, b), filepath.Join(c.dir, "third")
	for _, move := range [][2]string{{from, third}, {to, from}, {third, to}} {
		if err := os.Rename(move[0], move[1]); err != nil {
			t.Fatal(err)
		}
	}
	c.wantRefused(t, a+" exchanged with "+b)
}

func (s *sample) replaced(t *testing.T, name string, content []byte) {
	t.Helper()
	c := s.copy(t)
	destinationtest.Put(t, c.dst, name, content)
	c.wantRefused(t, name+" replaced by another database's")
}

func (s *sample) wantRefused(t *testing.T, what string) {
	t.Helper()
	_, verified, restored := s.verdict(t, s.dst, restore.Every)
	if !fault.Is(verified, fault.Corrupt) || !fault.Is(restored, fault.Corrupt) {
		t.Errorf("%s: verify: %v; restore: %v", what, verified, restored)
	}
}

// TestUndamagedBackupsStayUsable: a damaged manifest blocks what could mean it,
// and nothing that is asked for by id and number.
func TestUndamagedBackupsStayUsable(t *testing.T) {
	t.Parallel()
	for _, keySize := range []int{0, 32} {
		s := newSample(t, keySize, 1)
		name := s.points[1].m.Path + "/" + manifest.FileName
		content := destinationtest.Get(t, s.dst, name)
		at := bytes.Index(content, []byte(s.points[1].m.BackupID))
		if content[at]++; content[at] == '9'+1 || content[at] == 'f'+1 {
			content[at] = '0'
		} // now of another series
		destinationtest.Put(t, s.dst, name, content)
		for _, id := range []string{"", s.points[0].m.BackupID} {
			_, err := (&restore.Restore{Source: s.dst, Keys: ee.NewKeyRing(s.key), BackupID: id, Dir: t.TempDir()}).Run(t.Context())
			if !fault.Is(err, fault.Corrupt) || fault.HintOf(err) == "" {
				t.Errorf("the newest backup of series %q: %v", id, err)
			}
		}
		wantRestored(t, s.dst, s.points[0], s.key, restore.SinkAuto)
	}
}
