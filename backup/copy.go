package backup

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Copy brings a series from one destination to another, of whatever kind: as it
// is, or encrypted with another key. From and To are required.
//
// Every byte is held against the digests that lead up to the manifest, and the
// manifest against its MAC where Keys has the key, before an object becomes
// visible at To. Parts come first, a manifest last, in the order of the series:
// what is at To is a series at any moment. What is there already and the same is
// not sent again, so a copy that was cut off goes on when it is asked for again.
type Copy struct {
	From, To destination.Destination
	BackupID string // "" means the series begun last
	All      bool   // every series, instead of BackupID

	// Keys are those of the series. To copy an encrypted series as it is none is
	// needed; then its parts are compared by number and size only, because their
	// digests are encrypted.
	Keys ee.KeyRing

	// NewKey, unless zero, is what the copy is encrypted with, under new IVs.
	NewKey ee.Key

	Workers  int    // objects that are sent at a time; 0 means all cores, at least 4
	Owner    string // who holds the lease of To meanwhile, for messages
	Progress *Progress
	Now      func() time.Time // nil means time.Now
}

// Copied is what a Copy did. Bytes are as stored.
type Copied struct {
	From   string         `json:"from"`
	To     string         `json:"to"`
	KeyID  string         `json:"key_id,omitempty"` // what it was encrypted with anew
	Series []CopiedSeries `json:"series"`
}

// CopiedSeries is what a Copy did with one series.
type CopiedSeries struct {
	BackupID string `json:"backup_id"`
	Backups  int    `json:"backups"` // that the series has
	Complete bool   `json:"complete"`
	// Authenticated tells whether every byte was held against a digest under a
	// manifest whose seal could be checked.
	Authenticated bool `json:"authenticated"`

	BackupsCopied  int   `json:"backups_copied"`
	BackupsThere   int   `json:"backups_there"` // before
	ObjectsCopied  int64 `json:"objects_copied"`
	ObjectsThere   int64 `json:"objects_there"`
	BytesCopied    int64 `json:"bytes_copied"`
	BytesThere     int64 `json:"bytes_there"`
	ObjectsRemoved int64 `json:"objects_removed"` // remains of another attempt
}

// PhaseCopy is the phase of a Copy, beside PhaseLock and PhaseDone.
const PhaseCopy = "copy"

// defaults returns c with its zero fields set, or says what is wrong.
func (c *Copy) defaults() (*Copy, error) {
	d := *c
	switch {
	case d.From == nil || d.To == nil:
		return nil, fault.New(fault.Usage, "copy backups", "From and To must be set")
	case d.From.String() == d.To.String():
		return nil, fault.New(fault.Usage, "copy backups from "+d.From.String(), "it is the destination as well").
			WithHint("name another destination")
	case d.All && d.BackupID != "":
		return nil, fault.New(fault.Usage, "copy backups", "all series are asked for, and series %.80q", d.BackupID)
	case d.Workers < 0:
		return nil, fault.New(fault.Usage, "copy backups", "Workers is %d", d.Workers)
	}
	if d.Workers == 0 {
		d.Workers = max(4, runtime.GOMAXPROCS(0)) // it waits for the network more than it works
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Owner == "" {
		d.Owner = "copy from " + d.From.String()
	}
	return &d, nil
}

// Check tells at once what Run would refuse: a series that is not there or not
// sound, a key that is missing, a destination that cannot be listed or has
// something else under the same id.
func (c *Copy) Check(ctx context.Context) error {
	d, err := c.defaults()
	if err != nil {
		return err
	}
	chains, err := d.wanted(ctx)
	if err != nil {
		return err
	}
	there, err := List(ctx, d.To)
	if err != nil {
		return err
	}
	for i := range chains {
		if err := (&seriesCopy{Copy: d, chain: &chains[i], there: there}).conflicts(); err != nil {
			return err
		}
	}
	return nil
}

// Run copies and reports. An error comes with a report of what was done before:
// it stays, and the next Run goes on from there.
func (c *Copy) Run(ctx context.Context) (*Copied, error) {
	d, err := c.defaults()
	if err != nil {
		return nil, err
	}
	d.Progress.Enter(PhaseLock)
	series, err := d.wanted(ctx)
	if err != nil {
		return nil, err
	}
	newest := make([]*manifest.Manifest, 0, len(series))
	for _, one := range series {
		newest = append(newest, one.members[len(one.members)-1].Manifest)
	}
	mark, err := Reading(ctx, d.From, "copy", newest...)
	if err != nil {
		return nil, fault.Wrap(err, "copy from %s", d.From)
	}
	defer func() { _ = mark.Release(context.WithoutCancel(ctx)) }() // it expires
	lease, err := destination.AcquireLease(ctx, d.To, destination.LeaseOptions{Owner: d.Owner, Purpose: "copy"})
	if err != nil {
		return nil, fault.Wrap(err, "copy to %s", d.To)
	}
	report, err := d.leased(ctx, lease, series)
	cleanup, cancel := detached(ctx)
	defer cancel()
	if rerr := lease.Release(cleanup); err == nil && rerr != nil {
		err = fault.Wrap(rerr, "release the lease of %s (the copy is complete)", d.To)
	}
	if err == nil {
		d.Progress.Enter(PhaseDone)
	}
	return report, err
}

// chain is a series at From that was found sound.
type chain struct {
	members []manifest.Stored
	key     ee.Key
	sealed  bool // its seals were checked
}

// wanted reads the manifests at From, checks them, and says what is to be copied.
func (c *Copy) wanted(ctx context.Context) ([]chain, error) {
	listing, err := List(ctx, c.From)
	if err != nil {
		return nil, err
	}
	series := listing.Series
	if !c.All || len(series) == 0 {
		one, err := manifest.Find(series, c.BackupID, c.From.String())
		if err != nil {
			return nil, err
		}
		series = []manifest.Series{*one}
	} else if len(listing.Damaged) > 0 {
		return nil, fault.Wrap(listing.Damaged[0].Err, "copy all series from %s", c.From)
	}
	chains := make([]chain, 0, len(series))
	var bytes int64
	for i := range series {
		one, err := c.checked(&series[i])
		if err != nil {
			return nil, err
		}
		for _, m := range one.members {
			bytes += m.StoredBytes
		}
		chains = append(chains, one)
	}
	c.Progress.Expect(bytes)
	return chains, nil
}

// checked checks a series as far as the keys allow.
func (c *Copy) checked(s *manifest.Series) (chain, error) {
	members, err := s.Chain(0)
	if err != nil {
		return chain{}, err
	}
	op := "copy series " + s.BackupID
	one := chain{members: members}
	if members[0].Encrypted && c.Keys.IsZero() && c.NewKey.IsZero() {
		return one, nil
	}
	for _, m := range members {
		if one.key, err = m.CheckKey(m.Data, c.Keys); err != nil {
			return chain{}, fault.Wrap(err, "%s", op)
		}
	}
	one.sealed = true
	if !c.NewKey.IsZero() && one.key.ID() == c.NewKey.ID() {
		return chain{}, fault.New(fault.Usage, op, "it is encrypted with key %s already", c.NewKey.ID()).
			WithHint("copy it, or give another new key")
	}
	return one, nil
}

// leased copies while the lease of To is held.
func (c *Copy) leased(ctx context.Context, lease *destination.Lease, chains []chain) (*Copied, error) {
	ctx, stop := withLease(ctx, lease)
	defer stop()
	report := &Copied{From: c.From.String(), To: c.To.String(), KeyID: c.NewKey.ID(), Series: []CopiedSeries{}}
	there, err := List(ctx, c.To)
	if err != nil {
		return report, err
	}
	c.Progress.Enter(PhaseCopy)
	for i := range chains {
		run := &seriesCopy{Copy: c, chain: &chains[i], lease: lease, there: there}
		err := run.all(ctx)
		report.Series = append(report.Series, run.report(err == nil))
		if err != nil {
			return report, fault.Wrap(cause(ctx, err), "copy series %s to %s", chains[i].members[0].BackupID, c.To)
		}
	}
	return report, nil
}

// seriesCopy is the copying of one series.
type seriesCopy struct {
	*Copy
	*chain
	lease *destination.Lease
	there *Listing // what stood at To

	backupsCopied, backupsThere   int
	objectsCopied, objectsThere   atomic.Int64
	bytesCopied, bytesThere, gone atomic.Int64
}

func (s *seriesCopy) report(complete bool) CopiedSeries {
	return CopiedSeries{
		BackupID: s.members[0].BackupID, Backups: len(s.members), Complete: complete, Authenticated: s.sealed,
		BackupsCopied: s.backupsCopied, BackupsThere: s.backupsThere,
		ObjectsCopied: s.objectsCopied.Load(), ObjectsThere: s.objectsThere.Load(),
		BytesCopied: s.bytesCopied.Load(), BytesThere: s.bytesThere.Load(), ObjectsRemoved: s.gone.Load(),
	}
}

// all copies the members in their order. parent is the digest of the manifest
// before at To, which is another one where the key is.
func (s *seriesCopy) all(ctx context.Context) error {
	if err := s.conflicts(); err != nil {
		return err
	}
	parent := ""
	for i := range s.members {
		m := &s.members[i]
		stored, err := s.storedThere(m.Path)
		if err != nil {
			return err
		}
		member := &memberCopy{seriesCopy: s, from: m, there: stored, parent: parent}
		if parent, err = member.copy(ctx); err != nil {
			return fault.Wrap(err, "copy backup %s", m.Path)
		}
		if stored != nil {
			s.backupsThere++
		} else {
			s.backupsCopied++
		}
	}
	return nil
}

// storedThere returns the manifest in a folder at To, nil where there is none.
func (s *seriesCopy) storedThere(folder string) (*manifest.Stored, error) {
	for _, damaged := range s.there.Damaged {
		if damaged.Path == folder {
			e := &fault.Error{Kind: fault.Corrupt, Op: "use what is in " + folder + " at " + s.To.String(), Err: damaged.Err}
			return nil, e.WithHint("remove that folder, and copy again")
		}
	}
	for _, series := range s.there.Series {
		for i := range series.Members {
			if series.Members[i].Path == folder {
				return &series.Members[i], nil
			}
		}
	}
	return nil, nil
}

// conflicts refuses a destination where something else stands under the same
// backup id, or in the same folders.
func (s *seriesCopy) conflicts() error {
	id := s.members[0].BackupID
	refuse := func(format string, args ...any) error {
		return fault.New(fault.Mixed, "add series "+id+" to "+s.To.String(), format, args...).
			WithHint("copy it to another destination")
	}
	for _, series := range s.there.Series {
		for _, m := range series.Members {
			at := slices.IndexFunc(s.members, func(own manifest.Stored) bool { return own.Path == m.Path })
			switch {
			case series.BackupID != id && at >= 0:
				return refuse("its folder %s holds a backup of series %s there", m.Path, series.BackupID)
			case series.BackupID == id && at < 0:
				return refuse("another series of that id is there: it has a backup %s, which %s has not", m.Path, s.From)
			case series.BackupID == id && s.differs(&s.members[at], &m) != nil:
				return refuse("another series of that id is there: of backup %s, %w", m.Path, s.differs(&s.members[at], &m))
			}
		}
	}
	return nil
}

// differs tells why the manifest at To is not that of a copy, as far as can be
// told without its part lists.
func (s *seriesCopy) differs(from, to *manifest.Stored) error {
	if s.NewKey.IsZero() {
		if from.Digest != to.Digest {
			return fmt.Errorf("the manifests differ")
		}
		return nil
	}
	if to.KeyID != s.NewKey.ID() {
		return fmt.Errorf("the key is not the new one, %s", s.NewKey.ID())
	}
	if _, err := to.CheckKey(to.Data, ee.NewKeyRing(s.NewKey)); err != nil {
		return err
	}
	if from.BackupNum != to.BackupNum || from.DBID != to.DBID || from.Since != to.Since || from.ReadTs != to.ReadTs ||
		from.Records != to.Records || from.RawBytes != to.RawBytes || from.Parts != to.Parts || !from.CreatedAt.Equal(to.CreatedAt) {
		return fmt.Errorf("what they hold differs")
	}
	return nil
}
