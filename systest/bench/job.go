package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/pprof"
	"strings"
	"sync/atomic"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
	"github.com/brockdb/brock/systest/dataset"
)

// job is one measured piece of work. It runs in a process of its own, so that
// its memory and CPU time are its own.
type job struct {
	Kind  string  // see jobs
	Set   string  // a, b or c
	Scale float64 // of the set's number of records
	DB    string  // directory of the source database
	Out   string  // where it writes to
	In    string  // what it restores from
	Level string  // archive level
	Sink  restore.SinkKind
	Num   int // backup number to restore

	Profiles string // directory for a CPU profile; none when empty
}

// profile is the file of the job's CPU profile.
func (j job) profile() string {
	return filepath.Join(j.Profiles, strings.ReplaceAll(fmt.Sprintf("%s-%s%s-%d.pprof", j.Kind, j.Set, j.Level, j.Sink), "/", "_"))
}

// figures are what a job measured of itself.
type figures struct {
	Wall  float64            // seconds
	CPU   float64            // seconds, user and system
	Peak  int64              // bytes of anonymous memory
	Bytes int64              // written to Out
	Named map[string]float64 // seconds, of jobs that measure several things
	Note  string
}

// jobs are the kinds of work.
var jobs = map[string]func(context.Context, job, *meter) error{
	"generate":       generate,
	"badger-backup":  badgerBackup,
	"badger-load":    badgerLoad,
	"brock-backup":   brockBackup,
	"brock-restore":  brockRestore,
	"brock-history":  brockHistory,
	"brock-verify":   brockVerify,
	"sha256-gunzip":  sha256Gunzip,
	"backup-stages":  backupStages,
	"incrementals":   incrementals,
	"after-load":     afterLoad,
	"compacted":      compacted,
	"online-writers": onlineWriters,
}

// runChild runs a job in a child process.
func runChild(ctx context.Context, j job) (figures, error) {
	spec, err := json.Marshal(j)
	if err != nil {
		return figures{}, err
	}
	self, err := os.Executable()
	if err != nil {
		return figures{}, err
	}
	cmd := exec.CommandContext(ctx, self, "job", string(spec))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return figures{}, fmt.Errorf("cannot run %s on set %s: %w", j.Kind, j.Set, err)
	}
	var f figures
	return f, json.Unmarshal(out.Bytes(), &f)
}

// beJob is the child's main.
func beJob(ctx context.Context, spec string) error {
	var j job
	if err := json.Unmarshal([]byte(spec), &j); err != nil {
		return err
	}
	run, ok := jobs[j.Kind]
	if !ok {
		return fmt.Errorf("there is no job %q", j.Kind)
	}
	m := newMeter()
	if j.Profiles != "" {
		m.profile = j.profile()
	}
	if err := run(ctx, j, m); err != nil {
		return err
	}
	if m.failed != nil {
		return m.failed
	}
	return json.NewEncoder(os.Stdout).Encode(m.figures())
}

// meter measures from start to stop. Peak memory is sampled, because the
// kernel's own high-water mark includes mapped files.
type meter struct {
	began   time.Time
	cpu     float64
	result  figures
	peak    atomic.Int64
	quit    chan struct{}
	stopped chan struct{}

	profile string   // file of the CPU profile
	to      *os.File // it, while it is written
	failed  error    // to write it
}

func newMeter() *meter { return &meter{quit: make(chan struct{}), stopped: make(chan struct{})} }

func (m *meter) start() {
	runtime.GC()
	go m.sample()
	if m.profile != "" {
		if m.to, m.failed = os.Create(m.profile); m.failed == nil {
			m.failed = pprof.StartCPUProfile(m.to)
		}
	}
	m.cpu, m.began = cpuSeconds(), time.Now()
}

func (m *meter) stop() {
	m.result.Wall, m.result.CPU = time.Since(m.began).Seconds(), cpuSeconds()-m.cpu
	if m.to != nil {
		pprof.StopCPUProfile()
		m.failed = errors.Join(m.failed, m.to.Close())
	}
	close(m.quit)
	<-m.stopped
	m.result.Peak = m.peak.Load()
}

func (m *meter) sample() {
	defer close(m.stopped)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		m.peak.Store(max(m.peak.Load(), anonymousBytes()))
		select {
		case <-m.quit:
			return
		case <-tick.C:
		}
	}
}

func (m *meter) figures() figures { return m.result }

func openSource(dir string) (*badger.DB, error) {
	return badger.Open(badger.DefaultOptions(dir).WithLogger(nil))
}

// generate writes a set in random order, as an application would have.
func generate(_ context.Context, j job, m *meter) error {
	set, err := dataset.Find(j.Set, j.Scale)
	if err != nil {
		return err
	}
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	m.start()
	wb := db.NewWriteBatch()
	for i := range set.Records {
		if err := wb.SetEntry(set.Entry(set.Shuffled(i), 0)); err != nil {
			return err
		}
	}
	if err := wb.Flush(); err != nil {
		return err
	}
	m.stop()
	return db.Close()
}

// badgerBackup is the peer: DB.Backup to a file, neither compressed nor
// encrypted nor synced.
func badgerBackup(_ context.Context, j job, m *meter) error {
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	f, err := os.Create(j.Out)
	if err != nil {
		return err
	}
	w := bufio.NewWriterSize(f, 1<<20)
	m.start()
	if _, err := db.Backup(w, 0); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	m.stop()
	m.result.Bytes = sizeOf(j.Out)
	return db.Close()
}

// badgerLoad is the peer: DB.Load of a plain backup, and Close.
func badgerLoad(_ context.Context, j job, m *meter) error {
	if err := os.RemoveAll(j.Out); err != nil {
		return err
	}
	db, err := openSource(j.Out)
	if err != nil {
		return err
	}
	f, err := os.Open(j.In)
	if err != nil {
		return err
	}
	defer f.Close() // only read
	m.start()
	if err := db.Load(bufio.NewReaderSize(f, 1<<20), 256); err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	m.stop()
	m.result.Bytes = sizeOf(j.Out)
	return nil
}

// benchKey is an AES-256 key; which one makes no difference.
func benchKey() (ee.Key, error) { return ee.NewKey(bytes.Repeat([]byte{0x5a}, 32)) }

// brockBackup takes one full backup, encrypted with AES-256, on all cores.
func brockBackup(ctx context.Context, j job, m *meter) error {
	if err := os.RemoveAll(j.Out); err != nil {
		return err
	}
	db, err := openSource(j.DB)
	if err != nil {
		return err
	}
	src, err := backup.Unmanaged(db)
	if err != nil {
		return err
	}
	b, err := newBackup(ctx, src, j)
	if err != nil {
		return err
	}
	m.start()
	if _, err := b.Run(ctx); err != nil {
		return err
	}
	m.stop()
	src.Close()
	m.result.Bytes = sizeOf(j.Out)
	return db.Close()
}

func newBackup(ctx context.Context, src backup.Source, j job) (*backup.Backup, error) {
	key, err := benchKey()
	if err != nil {
		return nil, err
	}
	level, err := archive.ParseLevel(j.Level)
	if err != nil {
		return nil, err
	}
	dst, err := destination.Open(ctx, j.Out, destination.Options{})
	if err != nil {
		return nil, err
	}
	return &backup.Backup{Source: src, Destination: dst, Key: key, Level: level, Workers: runtime.GOMAXPROCS(0)}, nil
}

// brockRestore restores offline on all cores.
func brockRestore(ctx context.Context, j job, m *meter) error {
	if err := os.RemoveAll(j.Out); err != nil {
		return err
	}
	key, err := benchKey()
	if err != nil {
		return err
	}
	dst, err := destination.Open(ctx, j.In, destination.Options{})
	if err != nil {
		return err
	}
	r := &restore.Restore{Source: dst, Dir: j.Out, Keys: ee.NewKeyRing(key), BackupNum: j.Num, Sink: j.Sink}
	m.start()
	if _, err := r.Run(ctx); err != nil {
		return err
	}
	m.stop()
	m.result.Bytes = sizeOf(j.Out)
	return nil
}

// sizeOf returns the bytes below a path, sparse files counted by their blocks.
func sizeOf(path string) (total int64) {
	_ = filepath.Walk(path, func(_ string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().IsRegular() {
			total += diskBytes(info)
		}
		return nil
	})
	return total
}
