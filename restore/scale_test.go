package restore_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// longSeries takes full and incremental backups of a database, as
// backup.Backup does, but without reading all manifests before each: that
// alone would be half a million of them.
type longSeries struct {
	t       *testing.T
	db      *backuptest.DB
	dst     destination.Destination
	key     ee.Key
	random  *rand.Rand
	newest  *manifest.Manifest
	head    backup.Head // of newest
	started time.Time
}

func newLongSeries(t *testing.T, dir string) *longSeries {
	t.Helper()
	s := &longSeries{t: t, db: backuptest.New(t, true, nil), dst: unsynced{backuptest.OpenDir(t, dir)}, key: backuptest.Key(t, 32),
		random: rand.New(rand.NewPCG(1, 1000)), started: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)}
	for i := range 500 {
		s.db.Set(longKey(i), backuptest.Entry{Value: "first"})
	}
	return s
}

func longKey(i int) string { return fmt.Sprintf("key/%04d", i) }

// change overwrites a few records and deletes one.
func (s *longSeries) change() {
	for range 2 {
		s.db.Set(longKey(s.random.IntN(600)), backuptest.Entry{Value: backuptest.RandomText(s.random, 40), UserMeta: byte(s.random.IntN(256))})
	}
	s.db.Delete(longKey(s.random.IntN(600)))
}

// take adds a backup to the series.
func (s *longSeries) take() {
	s.t.Helper()
	ctx := s.t.Context()
	if s.newest != nil {
		if reason, err := s.db.Source.Extendable(ctx, s.head); reason != "" || err != nil {
			s.t.Fatalf("backup %d cannot be extended: %s %v", s.newest.BackupNum, reason, err)
		}
	}
	snap, err := s.db.Source.Begin(ctx)
	if err != nil {
		s.t.Fatal(err)
	}
	defer snap.Close()
	s.db.Model[backuptest.MarkerKey] = backuptest.Entry{}
	s.started = s.started.Add(time.Minute)
	m := &manifest.Manifest{
		Type: manifest.Full, BackupID: "0a1b2c3d4e5f", BackupNum: 1, ReadTs: snap.ReadTs, Path: manifest.FolderName(s.started),
		Encrypted: true, KeyID: s.key.ID(), Compression: manifest.CompressionGzip, Version: manifest.FormatVersion,
		DBID: s.db.Source.Identity(), CreatedAt: s.started, FinishedAt: s.started,
	}
	if p := s.newest; p != nil {
		m.Type, m.BackupNum, m.Since, m.Parent = manifest.Incremental, p.BackupNum+1, p.ReadTs, s.head.Digest
	}
	group, err := backup.RunGroup(ctx, backup.GroupRequest{
		Group: 1, BackupID: m.BackupID, Folder: m.Path, Snapshot: snap, Since: m.Since,
		Destination: s.dst, Key: s.key, ChunkBytes: 64 << 10, Workers: 1})
	if err != nil {
		s.t.Fatal(err)
	}
	m.Groups, m.Totals = map[uint32]*manifest.Group{1: group}, group.Totals
	data, err := m.Encode(s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	head := backup.Head{Destination: s.dst.String(), BackupID: m.BackupID, BackupNum: m.BackupNum, Digest: manifest.Digest(data), ReadTs: m.ReadTs}
	if err := s.db.Source.Prepare(ctx, snap, head); err != nil {
		s.t.Fatal(err)
	}
	if err := writeFile(filepath.Join(s.dst.String(), m.Path, manifest.FileName), data); err != nil {
		s.t.Fatal(err)
	}
	if err := s.db.Source.Committed(ctx, head); err != nil {
		s.t.Fatal(err)
	}
	s.newest, s.head = m, head
}

// unsynced is a directory destination that does not wait for the disk when it
// stores objects, of which a test makes thousands.
type unsynced struct {
	destination.Destination
}

func (u unsynced) Create(_ context.Context, name string, _ destination.Mode) (destination.Writer, error) {
	return &unsyncedWriter{name: filepath.Join(u.String(), name)}, nil
}

type unsyncedWriter struct {
	bytes.Buffer
	name string
}

func (w *unsyncedWriter) Commit(context.Context) error { return writeFile(w.name, w.Bytes()) }
func (w *unsyncedWriter) Abort() error                 { return nil }

// manyFilesDir returns a new directory, in memory where the system has such a
// file system: on a busy disk, making 20,000 files and folders can take longer
// than everything else.
func manyFilesDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "brock-scale-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func writeFile(name string, data []byte) error {
	if err := os.Mkdir(filepath.Dir(name), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return os.WriteFile(name, data, 0o600)
}

// watched counts the objects that are open, and this process's files.
type watched struct {
	destination.Destination
	mu            sync.Mutex
	open, mostNow int
	mostFiles     int // in the process, where the system tells
}

func (w *watched) Open(ctx context.Context, name string, offset, length int64) (io.ReadCloser, error) {
	body, err := w.Destination.Open(ctx, name, offset, length)
	if err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.open++
	w.mostNow = max(w.mostNow, w.open)
	return &watchedReader{body, w}, nil
}

type watchedReader struct {
	io.ReadCloser
	w *watched
}

func (r *watchedReader) Close() error {
	r.w.mu.Lock()
	r.w.open--
	r.w.mu.Unlock()
	return r.ReadCloser.Close()
}

// watch counts the process's files until the returned function is called.
func (w *watched) watch() (stop func()) {
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Millisecond)
		defer tick.Stop()
		for {
			w.mostFiles = max(w.mostFiles, openFiles())
			select {
			case <-quit:
				return
			case <-tick.C:
			}
		}
	}()
	return func() {
		close(quit)
		<-done
	}
}

// openFiles returns how many files the process has open, 0 where the system
// does not tell.
func openFiles() int {
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return 0
	}
	return len(files)
}

// seriesTimes are how long the steps of a restore took.
type seriesTimes struct{ list, chain, plan, restore time.Duration }

func (s seriesTimes) String() string {
	return fmt.Sprintf("list %v, chain %v, plan %v, restore %v", s.list.Round(time.Millisecond), s.chain.Round(time.Millisecond),
		s.plan.Round(time.Millisecond), s.restore.Round(time.Millisecond))
}

// measure lists, plans and restores the newest backup in a directory, holds
// the result against want, and returns the times. Restore includes the plan.
func (s *longSeries) measure(dir string, num int, want backuptest.State, kind restore.SinkKind) (t seriesTimes) {
	s.t.Helper()
	dst := &watched{Destination: backuptest.OpenDir(s.t, dir)}
	step := func(took *time.Duration, run func() error) {
		s.t.Helper()
		began := time.Now()
		if err := run(); err != nil {
			s.t.Fatal(err)
		}
		*took = time.Since(began)
	}
	ctx := s.t.Context()
	step(&t.list, func() error {
		if n := len(paths(list(s.t, dst))); n != num {
			return fmt.Errorf("%d backups are listed, not %d", n, num)
		}
		return nil
	})
	step(&t.chain, func() error {
		_, err := restore.Chain(ctx, dst, "", 0, ee.NewKeyRing(s.key))
		return err
	})
	r := &restore.Restore{Source: dst, Keys: ee.NewKeyRing(s.key), Dir: filepath.Join(s.t.TempDir(), "out"), Workers: 2, Sink: kind}
	step(&t.plan, func() error {
		_, err := r.Plan(ctx)
		return err
	})
	before, stop := openFiles(), dst.watch()
	step(&t.restore, func() error {
		_, err := r.Run(ctx)
		return err
	})
	stop()
	const mostFiles = 100
	if files := dst.mostFiles - before; files >= mostFiles || dst.mostNow >= mostFiles {
		s.t.Errorf("a restore of %d backups had %d files open, %d of them objects", num, files, dst.mostNow)
	}
	if dst.open != 0 {
		s.t.Errorf("%d objects were left open", dst.open)
	}
	backuptest.Equal(s.t, fmt.Sprintf("the restore of %d backups", num), backuptest.ReadDir(s.t, filepath.Join(r.Dir, "p1")), want)
	s.t.Logf("%d backups: %v; at most %d objects open", num, t, dst.mostNow)
	return t
}

// TestLongSeries restores series of 250 and of 1,000 backups: exactly, with few
// files open, and in time that grows about linearly. It runs alone, because it
// measures.
func TestLongSeries(t *testing.T) {
	const short, long = 250, 1000
	root := manyFilesDir(t)
	dir, copied := filepath.Join(root, "long"), filepath.Join(root, "short")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	s := newLongSeries(t, dir)
	var wantShort backuptest.State
	for num := 1; num <= long; num++ {
		s.take()
		if num == short {
			wantShort = s.db.Model.Clone()
			if err := os.CopyFS(copied, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
		}
		if num < long {
			s.change()
		}
	}
	a := s.measure(copied, short, wantShort, restore.SinkStream)
	b := s.measure(dir, long, s.db.Model, restore.SinkStream)
	s.measure(dir, long, s.db.Model, restore.SinkTables)
	// Four times the backups take about four times as long. Were it quadratic,
	// it would be 16 times; below pause nothing is measured well.
	const most, pause = 10, 100 * time.Millisecond
	for _, c := range []struct {
		what        string
		short, long time.Duration
	}{{"list", a.list, b.list}, {"chain", a.chain, b.chain}, {"plan", a.plan, b.plan}, {"restore", a.restore, b.restore}} {
		if c.long > most*(c.short+pause) {
			t.Errorf("%s takes %v for %d backups and %v for %d", c.what, c.short, short, c.long, long)
		}
	}
}

// writeSeries stores the manifests of a series, and nothing else of it.
func writeSeries(dir string, number, members int) error {
	started := time.Date(2026, 1, 1, number, 0, 0, 0, time.UTC)
	totals := manifest.Totals{Parts: 2, Records: 30, RawBytes: 3000, StoredBytes: 900}
	parent := ""
	for num := 1; num <= members; num++ {
		started = started.Add(time.Second)
		readTs := uint64(num * 10)
		m := &manifest.Manifest{
			Type: manifest.Full, BackupID: fmt.Sprintf("series-%03d", number), BackupNum: num, ReadTs: readTs,
			Path: manifest.FolderName(started), Compression: manifest.CompressionGzip, Version: manifest.FormatVersion,
			DBID: backuptest.Identity, CreatedAt: started, FinishedAt: started, Totals: totals,
			Groups: map[uint32]*manifest.Group{1: {Totals: totals,
				PartList:    manifest.Object{Name: manifest.PartListName(readTs, 1), Bytes: 300, SHA256: strings.Repeat("cd", 32)},
				Collections: []manifest.Collection{{ID: 1, Namespace: "default", Name: "cities", Records: 30}}}},
		}
		if num > 1 {
			m.Type, m.Since, m.Parent = manifest.Incremental, readTs-10, parent
		}
		data, err := m.Encode(ee.Key{})
		if err != nil {
			return err
		}
		parent = manifest.Digest(data)
		if err := writeFile(filepath.Join(dir, m.Path, manifest.FileName), data); err != nil {
			return err
		}
	}
	return nil
}

// TestManyBackups lists a destination with 10,000 backups in 100 series, and
// finds one series among them.
func TestManyBackups(t *testing.T) {
	const series, members = 100, 100
	dir := manyFilesDir(t)
	for i := range series {
		if err := writeSeries(dir, i, members); err != nil {
			t.Fatal(err)
		}
	}
	dst := &watched{Destination: backuptest.OpenDir(t, dir)}
	limit := 2 * time.Second
	if raceDetector {
		limit *= 10
	}
	var l *backup.Listing
	took := limit + 1
	for try := 0; took > limit && try < 3; try++ { // the machine may be busy
		began := time.Now()
		l = list(t, dst)
		took = time.Since(began)
	}
	if took > limit {
		t.Errorf("listing takes %v; the limit is %v", took, limit)
	}
	t.Logf("10,000 backups: list %v, at most %d objects open", took, dst.mostNow)
	if len(l.Series) != series || len(l.Damaged) != 0 || len(l.Unfinished) != 0 {
		t.Fatalf("%d series, %d damaged, %d unfinished are listed", len(l.Series), len(l.Damaged), len(l.Unfinished))
	}
	for i := range l.Series {
		if chain, err := l.Series[i].Chain(0); err != nil || len(chain) != members {
			t.Fatalf("series %d has %d members, %v", i, len(chain), err)
		}
	}
	if chain, err := restore.Chain(t.Context(), dst, "series-042", 17, ee.KeyRing{}); err != nil || len(chain) != 17 {
		t.Errorf("%d backups of a series were found, %v", len(chain), err)
	}
}
