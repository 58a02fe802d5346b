package backup

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"runtime"
	"time"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Backup takes one backup of a Source: a full one when there is nothing at the
// destination that an increment could safely stand on, else an incremental.
// Source and Destination are required.
type Backup struct {
	Source      Source
	Destination destination.Destination
	ForceFull   bool   // begin a new series
	Key         ee.Key // zero: not encrypted
	Group       uint32 // 0 means 1

	// Selection chooses what is backed up, from a Selector; the zero Selection is
	// all. A series is of one selection.
	Selection manifest.Selection

	// AllVersions keeps every version in (since, read_ts], for databases that
	// are read at old timestamps. Otherwise the newest of each key is kept.
	AllVersions bool

	Level      archive.Level
	ChunkBytes int    // raw bytes per compressed chunk; 0 means 2 MiB
	PartBytes  int64  // stored bytes after which a part ends; 0 means DefaultPartBytes
	Workers    int    // parallel scanners; 0 means half the cores, at least one
	Owner      string // who holds the lease meanwhile, for messages

	// NoteInterval is how often at most the backup notes at the destination what
	// is finished, so that it can go on there when it is cut off. 0 means
	// DefaultNoteInterval, negative never. It counts for a Resumer only.
	NoteInterval time.Duration

	Progress *Progress // may be nil
	Now      func() time.Time
}

// DefaultChunkBytes is the raw size of a compressed chunk. Between 1 and 4 MiB
// neither ratio nor speed change.
const DefaultChunkBytes = 2 << 20

// DefaultPartBytes ends a part that its key range alone, of 1 GiB of tables at
// most, has not ended. S3 takes 10,000 uploads of 8 MiB for one object.
const DefaultPartBytes = 16 << 30

// defaults returns b with its zero fields set, or says what is missing.
func (b *Backup) defaults() (*Backup, error) {
	c := *b
	if c.Source == nil || c.Destination == nil {
		return nil, fault.New(fault.Usage, "back up", "Source and Destination must be set")
	}
	if c.Group == 0 {
		c.Group = 1
	}
	if c.ChunkBytes == 0 {
		c.ChunkBytes = DefaultChunkBytes
	}
	const minChunk, maxChunk = 4 << 10, 512 << 20
	if c.ChunkBytes < minChunk || c.ChunkBytes > maxChunk {
		return nil, fault.New(fault.Usage, "back up", "ChunkBytes is %d; it must be from %d to %d", c.ChunkBytes, minChunk, maxChunk)
	}
	if c.PartBytes < 0 {
		return nil, fault.New(fault.Usage, "back up", "PartBytes is %d", c.PartBytes)
	}
	if c.Workers == 0 {
		c.Workers = max(1, runtime.GOMAXPROCS(0)/2)
	}
	if c.Workers < 0 {
		return nil, fault.New(fault.Usage, "back up", "Workers is %d", c.Workers)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Owner == "" {
		c.Owner = "backup of database " + c.Source.Identity()
	}
	return &c, c.choose()
}

// Check tells at once what Run would refuse: a destination that cannot be
// listed or written, a series that this backup does not fit. It leaves nothing
// behind but the destination's own folder.
func (b *Backup) Check(ctx context.Context) error {
	c, err := b.defaults()
	if err != nil {
		return err
	}
	listing, err := List(ctx, c.Destination)
	if err != nil {
		return err
	}
	if _, err := c.plan(ctx, listing); err != nil {
		return err
	}
	return probe(ctx, c.Destination, c.Now())
}

// Next tells what Run would make now: reason is "" for an incremental, else why
// it would be a full. The error is what would be refused. Nothing is written at
// the destination; the source may learn that its last backup is stored.
func (b *Backup) Next(ctx context.Context) (reason string, err error) {
	c, err := b.defaults()
	if err != nil {
		return "", err
	}
	listing, err := List(ctx, c.Destination)
	if err != nil {
		return "", err
	}
	p, err := c.plan(ctx, listing)
	if err != nil {
		return "", err
	}
	return p.reason, nil
}

// Run takes the backup and returns its manifest. An error without a manifest
// says that there is no backup: what was stored has been removed or, when that
// failed too or the process died, is removed by the next backup there. An error
// with a manifest says that the backup is stored and sound, and what failed
// after that.
func (b *Backup) Run(ctx context.Context) (*manifest.Manifest, error) {
	c, err := b.defaults()
	if err != nil {
		return nil, err
	}
	c.Progress.Enter(PhaseLock)
	lease, err := destination.AcquireLease(ctx, c.Destination, destination.LeaseOptions{Owner: c.Owner, Purpose: "backup"})
	if err != nil {
		return nil, fault.Wrap(err, "back up to %s", c.Destination)
	}
	m, err := c.leased(ctx, lease)
	cleanup, cancel := detached(ctx)
	defer cancel()
	if rerr := lease.Release(cleanup); err == nil && rerr != nil {
		// The backup is stored and sound; a lease left behind expires.
		err = fault.Wrap(rerr, "release the lease of %s (the backup %s is stored)", c.Destination, m.Path)
	}
	if err == nil {
		c.Progress.Enter(PhaseDone)
	}
	return m, err
}

// leased runs the backup while the lease is held.
func (b *Backup) leased(ctx context.Context, lease *destination.Lease) (*manifest.Manifest, error) {
	ctx, stop := withLease(ctx, lease)
	defer stop()
	resumer, held := b.held() // before plan, which may find that it is committed
	listing, err := List(ctx, b.Destination)
	if err != nil {
		return nil, err
	}
	p, err := b.plan(ctx, listing)
	if err != nil {
		return nil, err
	}
	old, err := b.resume(ctx, listing, p, resumer, held)
	if err != nil {
		return nil, cause(ctx, err)
	}
	run, err := b.open(ctx, lease, listing, p, old)
	if err != nil {
		return nil, err
	}
	defer run.snap.Close()
	stored, err := run.write(ctx)
	if err != nil {
		return nil, run.giveUp(ctx, cause(ctx, err))
	}
	// It exists: who cancels it now is too late.
	ending, cancel := detached(ctx)
	defer cancel()
	m := run.manifest
	if err := b.Source.Committed(ending, b.head(m, manifest.Digest(stored))); err != nil {
		return m, fault.Wrap(err, "record in the database that backup %s is stored", m.Path)
	}
	return m, run.notes.end(ending)
}

// withLease cancels the context when the lease is lost.
func withLease(ctx context.Context, lease *destination.Lease) (context.Context, func()) {
	ctx, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	go func() {
		select {
		case <-lease.Lost():
			cancel(fault.New(fault.Locked, "go on with the backup", "the lease of the destination was lost"))
		case <-done:
		}
	}()
	return ctx, func() {
		close(done)
		cancel(nil)
	}
}

// cause puts the reason for a cancellation in place of "context canceled".
func cause(ctx context.Context, err error) error {
	if c := context.Cause(ctx); c != nil && errors.Is(err, context.Canceled) && !errors.Is(c, context.Canceled) {
		return c
	}
	return err
}

// begin returns the manifest as far as it is known before the snapshot.
func (b *Backup) begin(p *plan) *manifest.Manifest {
	started := b.Now().UTC().Truncate(time.Millisecond)
	// Folders sort by time, also when a clock was set back or two backups
	// begin within a millisecond.
	if newest, ok := manifest.FolderTime(p.newest); ok && !started.After(newest) {
		started = newest.Add(time.Millisecond)
	}
	m := &manifest.Manifest{
		Type: manifest.Full, BackupID: randomHex(6), BackupNum: 1, Reason: p.reason,
		Path: manifest.FolderName(started), CreatedAt: started,
		Encrypted: !b.Key.IsZero(), KeyID: b.Key.ID(), Compression: manifest.CompressionGzip,
		Version: manifest.FormatVersion, DBID: b.Source.Identity(), AllVersions: b.AllVersions,
		Partial: !b.Selection.IsZero(), Selection: b.Selection,
	}
	if parent := p.parent; parent != nil {
		m.Type, m.Since, m.Parent = manifest.Incremental, parent.ReadTs, parent.Digest
		m.BackupID, m.BackupNum = parent.BackupID, parent.BackupNum+1
	}
	return m
}

func (b *Backup) head(m *manifest.Manifest, digest string) Head {
	return Head{Destination: b.Destination.String(), BackupID: m.BackupID, BackupNum: m.BackupNum, Digest: digest, ReadTs: m.ReadTs}
}

func randomHex(n int) string {
	b := make([]byte, n)
	_, _ = rand.Read(b) // never fails: crypto/rand aborts the program instead
	return hex.EncodeToString(b)
}
