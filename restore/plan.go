package restore

import (
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Plan is what a restore will do. It is made without touching the disk.
type Plan struct {
	Location string
	BackupID string
	Chain    []manifest.Stored // the full and its incrementals
	Groups   []GroupPlan
}

// GroupPlan is one group's share of a Plan.
type GroupPlan struct {
	Group   uint32
	Target  string // the directory to make; "" when restoring into an open DB
	members []member
	marks   []Mark
	schema  Schema  // nil: every key is kept
	only    []Range // nil: every key is read
	bytes   int64   // what of the members is read, before compression
}

// member is one group's part list of one backup of the chain.
type member struct {
	manifest *manifest.Manifest
	list     *archive.List
	key      ee.Key
}

// readMember reads the part list of one group of a backup and finds its parts.
func readMember(ctx context.Context, src destination.Destination, m manifest.Stored, group uint32, keys ee.KeyRing) (*member, error) {
	key, err := m.CheckKey(m.Data, keys)
	if err != nil {
		return nil, err
	}
	list, err := backup.ReadPartList(ctx, src, m.Manifest, group, key)
	if err != nil {
		return nil, err
	}
	if err := backup.CheckObjects(ctx, src, m.Manifest, list); err != nil {
		return nil, err
	}
	return &member{m.Manifest, list, key}, nil
}

// Newest returns the last backup that is restored.
func (p *Plan) Newest() *manifest.Manifest { return p.Chain[len(p.Chain)-1].Manifest }

// RawBytes returns how much is read, uncompressed: an upper bound of what the
// restored directories take, but for Badger's indexes.
func (p *Plan) RawBytes() (n int64) {
	for i := range p.Groups {
		n += p.Groups[i].bytes
	}
	return n
}

// Print writes the plan for people.
func (p *Plan) Print(w io.Writer) error {
	newest := p.Newest()
	_, err := fmt.Fprintf(w, "Restoring series %s from %s: backups 1 to %d, version %d, taken %s\n",
		p.BackupID, p.Location, newest.BackupNum, newest.ReadTs, newest.CreatedAt.Format(time.RFC3339))
	if newest.Partial && err == nil {
		_, err = fmt.Fprintf(w, "  It is partial: it was made with %s, and other collections are not in it\n", newest.Selection)
	}
	for _, m := range p.Chain {
		if err == nil {
			_, err = fmt.Fprintf(w, "  %4d  %-11s  %s  %12d records  %12d bytes\n", m.BackupNum, m.Type, m.Path, m.Records, m.StoredBytes)
		}
	}
	for _, g := range p.Groups {
		if err == nil && g.Target != "" {
			_, err = fmt.Fprintf(w, "  group %d -> %s%s\n", g.Group, g.Target, g.share(newest))
		}
	}
	return err
}

// share says how much of a backup is restored, where that is not all.
func (g *GroupPlan) share(newest *manifest.Manifest) string {
	if g.only == nil {
		return ""
	}
	chosen := 0
	for _, r := range g.only {
		chosen += len(r.Collections)
	}
	return fmt.Sprintf(" (%d of %d collections)", chosen, len(newest.Groups[g.Group].Collections))
}

// Plan reads and checks everything that can be checked before the disk is
// touched. Its errors are those that Run would give.
func (r *Restore) Plan(ctx context.Context) (*Plan, error) {
	if err := r.check(); err != nil {
		return nil, err
	}
	p, err := r.plan(ctx)
	if err != nil {
		return nil, err
	}
	for i := range p.Groups {
		if r.DB == nil {
			p.Groups[i].Target = filepath.Join(r.Dir, fmt.Sprintf("p%d", p.Groups[i].Group))
		}
	}
	return p, r.checkTargets(p)
}

// plan is Plan without the targets.
func (r *Restore) plan(ctx context.Context) (*Plan, error) {
	chain, err := ChainAt(ctx, r.Source, Point{r.BackupID, r.BackupNum, r.Until, r.Expect}, r.Keys)
	if err != nil {
		return nil, err
	}
	p := &Plan{Location: r.Source.String(), BackupID: chain[0].BackupID, Chain: chain}
	for _, group := range slices.Sorted(maps.Keys(chain[0].Groups)) {
		g := GroupPlan{Group: group}
		for _, m := range chain {
			one, err := readMember(ctx, r.Source, m, group, r.Keys)
			if err != nil {
				return nil, err
			}
			g.members = append(g.members, *one)
		}
		if err := r.readSchema(ctx, p, &g); err != nil {
			return nil, err
		}
		g.bytes = g.rawBytes()
		p.Groups = append(p.Groups, g)
	}
	return p, nil
}

// checkTargets refuses directories with content, and disks that are too small.
func (r *Restore) checkTargets(p *Plan) error {
	if r.DB != nil {
		if len(p.Groups) != 1 {
			return fault.New(fault.Usage, "restore into an open database", "the series has %d groups", len(p.Groups))
		}
		return checkEmpty(r.DB)
	}
	if _, err := os.Stat(filepath.Join(r.Dir, badger.ManifestFilename)); err == nil {
		return fault.New(fault.Usage, "restore to "+r.Dir, "it is a Badger directory itself; p1, p2… are made inside the directory that is named").
			WithHint("name another directory, which need not exist")
	}
	for _, g := range p.Groups {
		if err := checkTarget(g.Target); err != nil {
			return err
		}
	}
	if r.IgnoreFreeSpace {
		return nil
	}
	dir := existingParent(r.Dir)
	free, known, err := freeBytes(dir)
	if err != nil {
		return fault.Wrap(err, "find the free space of %s", dir)
	}
	if need := p.RawBytes(); known && free < need {
		return fault.New(fault.NoSpace, "restore to "+r.Dir, "up to %d bytes are needed and %d are free", need, free).
			WithHint("free some space or choose another directory; if you know that the data compresses well, --ignore_free_space")
	}
	return nil
}

// checkTarget refuses a target that exists with content, and a temporary
// directory that is not an interrupted restore's.
func checkTarget(target string) error {
	entries, err := os.ReadDir(target)
	switch {
	case err == nil && len(entries) > 0:
		return fault.New(fault.Exists, "restore to "+target, "the directory is not empty").
			WithHint("choose another directory with -p, or move this one away; restore never changes a directory with content")
	case err != nil && !os.IsNotExist(err):
		return fault.Wrap(err, "restore to %s", target)
	}
	return checkTemp(target + tempSuffix)
}

func existingParent(dir string) string {
	for {
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			return dir
		}
		dir = filepath.Dir(dir)
	}
}
