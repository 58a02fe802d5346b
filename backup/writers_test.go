package backup_test

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// once returns a Hook that calls fn before the first object is created whose
// name ends so.
func once(d destination.Destination, suffix string, fn func(name string)) *backuptest.Hook {
	var first sync.Once
	return &backuptest.Hook{Destination: d, BeforeCreate: func(name string) {
		if strings.HasSuffix(name, suffix) {
			first.Do(func() { fn(name) })
		}
	}}
}

// folders returns the folders of the listed backups, and checks that nothing
// else is there.
func folders(t *testing.T, d destination.Destination) (paths []string) {
	t.Helper()
	l, err := backup.List(t.Context(), d)
	if err != nil || len(l.Damaged)+len(l.Unfinished) != 0 {
		t.Fatalf("listed: %+v, %v", l, err)
	}
	for _, s := range l.Series {
		if _, err := s.Chain(0); err != nil {
			t.Fatal(err)
		}
		for _, m := range s.Members {
			paths = append(paths, m.Path)
			for group := range m.Groups {
				list, err := backup.ReadPartList(t.Context(), d, m.Manifest, group, backuptest.Key(t, 0))
				if err == nil {
					err = backup.CheckObjects(t.Context(), d, m.Manifest, list)
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	return paths
}

// stealLease does what an operator does who believes that the holder died.
func stealLease(t *testing.T, dir string) {
	t.Helper()
	if err := os.RemoveAll(filepath.Join(dir, "brock.lease")); err != nil {
		t.Error(err)
	}
}

// TestSecondWriterIsLocked: while a backup runs, another at the same destination
// is refused, whatever it wants; then it succeeds.
func TestSecondWriterIsLocked(t *testing.T) {
	t.Parallel()
	for _, forceFull := range []bool{true, false} {
		dir := t.TempDir()
		dst := backuptest.OpenDir(t, dir)
		a, b := backuptest.New(t, false, nil), backuptest.New(t, true, nil)
		for _, d := range []*backuptest.DB{a, b} {
			d.Set("k", backuptest.Entry{Value: "v"})
		}
		second := b.Job(dst, func(j *backup.Backup) { j.ForceFull = forceFull })
		a.Backup(once(dst, ".backup", func(string) {
			_, err := second.Run(t.Context())
			if !fault.Is(err, fault.Locked) || fault.HintOf(err) == "" || !strings.Contains(err.Error(), a.Source.Identity()) {
				t.Errorf("the second writer: %v", err)
			}
		}), nil)
		_, err := second.Run(t.Context())
		if forceFull && err != nil {
			t.Errorf("after the first was done: %v", err)
		}
		if !forceFull && (!fault.Is(err, fault.Mixed) || fault.HintOf(err) == "") {
			t.Errorf("after the first was done, into its series: %v", err)
		}
		folders(t, dst)
	}
}

// TestManyWriters lets backups of two databases run into each other.
func TestManyWriters(t *testing.T) {
	t.Parallel()
	dst := backuptest.OpenDir(t, t.TempDir())
	var all sync.WaitGroup
	var mu sync.Mutex
	var made []string
	for _, d := range []*backuptest.DB{backuptest.New(t, false, nil), backuptest.New(t, false, nil), backuptest.New(t, true, nil)} {
		d.Set("k", backuptest.Entry{Value: "v"})
		all.Go(func() {
			for range 6 {
				m, err := d.Job(dst, func(j *backup.Backup) { j.ForceFull = true }).Run(t.Context())
				if err != nil && !fault.Is(err, fault.Locked) {
					t.Error(err)
				}
				if err == nil {
					mu.Lock()
					made = append(made, m.Path)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	slices.Sort(made)
	if got := folders(t, dst); !slices.Equal(got, made) || len(made) == 0 {
		t.Errorf("listed: %v; made: %v", got, made)
	}
}

// TestStolenLease takes the lease away from a running backup, at each of its
// steps, and lets another backup run then: it is the only one that there is.
func TestStolenLease(t *testing.T) {
	t.Parallel()
	for _, at := range []string{".backup", ".parts", manifest.FileName} {
		for _, incremental := range []bool{false, true} {
			dir := t.TempDir()
			dst := backuptest.OpenDir(t, dir)
			d := backuptest.New(t, false, nil)
			d.Set("k", backuptest.Entry{Value: "v"})
			var want []string
			if incremental {
				want = append(want, d.Backup(dst, nil).Path)
				d.Set("k", backuptest.Entry{Value: "w"})
			}
			var thief string
			other := d.NewSource()
			_, err := d.Job(once(dst, at, func(string) {
				stealLease(t, dir)
				thief = d.Backup(dst, func(j *backup.Backup) { j.Source = other }).Path
			}), nil).Run(t.Context())
			if !fault.Is(err, fault.Locked) || fault.HintOf(err) == "" {
				t.Errorf("robbed at %s: %v (%q)", at, err, fault.HintOf(err))
			}
			if got := folders(t, dst); !slices.Equal(got, append(want, thief)) {
				t.Errorf("robbed at %s: listed %v, not %v", at, got, append(want, thief))
			}
			d.Set("k", backuptest.Entry{Value: "x"})
			if m := d.Backup(dst, nil); m.Type == manifest.Full && m.Reason == "" {
				t.Errorf("after that: %+v", m)
			}
		}
	}
}

// TestDestinationChangedMeanwhile: a backup that was stored, and a parent that
// was removed or altered, since a backup was planned.
func TestDestinationChangedMeanwhile(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(t *testing.T, dst destination.Destination, parent, own string){
		"another backup": func(t *testing.T, dst destination.Destination, parent, _ string) {
			started, _ := manifest.FolderTime(parent)
			destinationtest.Put(t, dst, manifest.FolderName(started.AddDate(0, 0, 1))+"/"+manifest.FileName, []byte("{}"))
		},
		"parent gone": func(t *testing.T, dst destination.Destination, parent, _ string) {
			if err := dst.Remove(t.Context(), parent+"/"+manifest.FileName); err != nil {
				t.Error(err)
			}
		},
		"parent altered": func(t *testing.T, dst destination.Destination, parent, _ string) {
			destinationtest.Put(t, dst, parent+"/"+manifest.FileName, []byte("{}"))
		},
		"own part gone": func(t *testing.T, dst destination.Destination, _, own string) {
			for _, name := range destinationtest.Names(t, dst, own) {
				if strings.HasSuffix(name, ".backup") {
					if err := dst.Remove(t.Context(), name); err != nil {
						t.Error(err)
					}
				}
			}
		},
	} {
		dst := backuptest.OpenDir(t, t.TempDir())
		d := backuptest.New(t, false, nil)
		d.Set("k", backuptest.Entry{Value: "v"})
		parent := d.Backup(dst, nil)
		d.Set("k", backuptest.Entry{Value: "w"})
		own := ""
		m, err := d.Job(once(dst, ".parts", func(name string) {
			own, _, _ = strings.Cut(name, "/")
			change(t, dst, parent.Path, own)
		}), nil).Run(t.Context())
		if m != nil || !fault.Is(err, fault.Locked) || fault.HintOf(err) == "" {
			t.Errorf("%s: %+v, %v (%q)", what, m, err, fault.HintOf(err))
		}
		if names := destinationtest.Names(t, dst, own); len(names) != 0 || own == "" {
			t.Errorf("%s: left: %v", what, names)
		}
	}
}

// lateSource calls late when a backup is planned.
type lateSource struct {
	backup.Source
	late func()
}

func (s *lateSource) Extendable(ctx context.Context, head backup.Head) (string, error) {
	s.late()
	return s.Source.Extendable(ctx, head)
}

// TestUnfinishedBecomesBackup: a folder that had no manifest when it was listed
// has one when it is to be cleaned up.
func TestUnfinishedBecomesBackup(t *testing.T) {
	t.Parallel()
	dst := backuptest.OpenDir(t, t.TempDir())
	d := backuptest.New(t, false, nil)
	d.Set("k", backuptest.Entry{Value: "v"})
	m := d.Backup(dst, nil)
	started, _ := manifest.FolderTime(m.Path)
	late := manifest.FolderName(started.AddDate(0, 0, 1))
	destinationtest.Put(t, dst, late+"/r9-g1.parts", []byte("x"))
	source := &lateSource{d.Source, func() { destinationtest.Put(t, dst, late+"/"+manifest.FileName, []byte("{}")) }}
	_, err := (&backup.Backup{Source: source, Destination: dst}).Run(t.Context())
	if !fault.Is(err, fault.Locked) {
		t.Errorf("got %v", err)
	}
	if names := destinationtest.Names(t, dst, late); len(names) != 2 {
		t.Errorf("there is only %v", names)
	}
}

// TestForeignObjectsStay: what no backup makes is not cleaned up.
func TestForeignObjectsStay(t *testing.T) {
	t.Parallel()
	dst := backuptest.OpenDir(t, t.TempDir())
	d := backuptest.New(t, false, nil)
	foreign := []string{"brock.20200101.000000.000/notes.txt", "brock.2020/r1-g1.backup", "other/manifest.json", "readme"}
	for _, name := range append(foreign, "brock.20200101.000000.000/r7-g1.0002.backup") {
		destinationtest.Put(t, dst, name, []byte("mine"))
	}
	m := d.Backup(dst, nil)
	var left []string
	for _, name := range destinationtest.Names(t, dst, "") {
		if !strings.HasPrefix(name, m.Path) && !strings.HasPrefix(name, "brock.lease/") {
			left = append(left, name)
		}
	}
	slices.Sort(foreign)
	if !slices.Equal(left, foreign) {
		t.Errorf("left: %v, not %v", left, foreign)
	}
}
