package backup

import (
	"bytes"
	"context"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// The lease keeps the writers of one destination apart, but a holder that slept
// may not know yet that it has lost it. What follows keeps such a one from doing
// harm: a writer looks once more before it stores its manifest, and whether all
// of its objects are still there after that; and who removes a folder goes on
// until nothing of it is left, a manifest that came late included.

// checkUnchanged compares the destination with what the backup was planned on.
func (b *Backup) checkUnchanged(ctx context.Context, l *Listing, p *plan, own string) error {
	op := "add backup " + own + " to " + b.Destination.String()
	changed := func(format string, args ...any) error {
		return fault.New(fault.Locked, op, format, args...).WithHint("somebody else wrote there meanwhile; run the backup again")
	}
	known := map[string]struct{}{own: {}}
	for _, s := range l.Series {
		for _, m := range s.Members {
			known[m.Path] = struct{}{}
		}
	}
	for _, d := range l.Damaged {
		known[d.Path] = struct{}{}
	}
	err := eachFolder(ctx, b.Destination, func(folder string) error {
		if _, ok := known[folder]; ok {
			return nil
		}
		_, err := b.Destination.Stat(ctx, path.Join(folder, manifest.FileName))
		switch {
		case err == nil:
			return changed("backup %s was stored since it began", folder)
		case !fault.Is(err, fault.NotFound):
			return err
		}
		return nil
	})
	if err != nil || p.parent == nil {
		return fault.Wrap(err, "%s", op)
	}
	parent, err := readManifest(ctx, b.Destination, p.parent.Path)
	switch {
	case fault.Is(err, fault.NotFound) || fault.Is(err, fault.Corrupt):
		return changed("the backup before, %s, is gone or was altered since it began: %w", p.parent.Path, err)
	case err == nil && parent.Digest != p.parent.Digest:
		return changed("the backup before, %s, was altered since it began", p.parent.Path)
	}
	return fault.Wrap(err, "%s", op)
}

// checkStored finds out whether all objects of a backup are there.
func (b *Backup) checkStored(ctx context.Context, m *manifest.Manifest) error {
	objects, err := ownObjects(ctx, b.Destination, m.Path)
	if err != nil {
		return fault.Wrap(err, "check what was stored of backup %s", m.Path)
	}
	objects = slices.DeleteFunc(objects, func(name string) bool { return notePattern.MatchString(path.Base(name)) })
	want := m.Parts + len(m.Groups) + 1 // part lists and manifest
	if len(objects) == want {
		return nil
	}
	return fault.New(fault.Locked, "check what was stored of backup "+m.Path, "%d of its %d objects are there", len(objects), want).
		WithHint("somebody else took the destination for free and cleaned up there; run the backup again")
}

// eachFolder visits the folders that can be backups.
func eachFolder(ctx context.Context, d destination.Destination, visit func(folder string) error) error {
	return d.List(ctx, "", func(info destination.Info) error {
		if _, ok := manifest.FolderTime(info.Name); ok && info.Dir {
			return visit(info.Name)
		}
		return nil
	})
}

// objectPattern is what backups put into their folders.
var objectPattern = regexp.MustCompile(`^(manifest\.json|resume\.[0-9]{4,9}|r[0-9]+-g[0-9]+(\.[0-9]+)?\.(backup|parts))$`)

// ownObjects returns the objects in a folder that a backup makes, the manifest
// first.
func ownObjects(ctx context.Context, d destination.Destination, folder string) ([]string, error) {
	var names []string
	err := d.List(ctx, folder, func(info destination.Info) error {
		if base := path.Base(info.Name); info.Dir || !objectPattern.MatchString(base) {
			return nil
		} else if base == manifest.FileName {
			names = append([]string{info.Name}, names...)
		} else {
			names = append(names, info.Name)
		}
		return nil
	})
	return names, err
}

// removeUnfinished removes folders without a manifest. Where credentials may
// write and not delete they stay, and do no harm. The lease must be held.
func removeUnfinished(ctx context.Context, d destination.Destination, folders []string) error {
	for _, folder := range folders {
		_, err := d.Stat(ctx, path.Join(folder, manifest.FileName))
		if err == nil {
			return fault.New(fault.Locked, "clean up at "+d.String(), "backup %s was stored this moment", folder).
				WithHint("somebody else writes there; run the backup again")
		}
		if fault.Is(err, fault.NotFound) {
			err = removeDebris(ctx, d, folder)
		}
		if err != nil && !fault.Is(err, fault.Denied) {
			return fault.Wrap(err, "clean up at %s", d)
		}
	}
	return nil
}

// removeDebris removes a folder that is no backup, the manifest first, so that
// it does not become one again. Objects that no backup makes are left alone. The
// lease must be held.
func removeDebris(ctx context.Context, d destination.Destination, folder string) error {
	return removeFolder(ctx, d, folder, "remove what a failed backup left in "+folder)
}

func removeFolder(ctx context.Context, d destination.Destination, folder, op string) error {
	// A writer that does not know yet that it has lost may add some more.
	const rounds = 5
	for range rounds {
		names, err := ownObjects(ctx, d, folder)
		for i := 0; err == nil && i < len(names); i++ {
			if err = d.Remove(ctx, names[i]); fault.Is(err, fault.NotFound) {
				err = nil
			}
		}
		switch {
		case err != nil:
			return fault.Wrap(err, "%s", op)
		case len(names) == 0:
			return fault.Wrap(destination.RemoveDebris(ctx, d, folder), "%s", op)
		}
	}
	return fault.New(fault.Locked, op, "somebody goes on writing there")
}

const (
	probePrefix = "brock.probe-"
	// probeMaxAge is older than any probe of a process that lives.
	probeMaxAge = time.Hour
)

// probe writes a small object, reads it back, sees that it cannot be written
// twice, and removes it, and those that processes left which died in between.
func probe(ctx context.Context, d destination.Destination, now time.Time) error {
	name := probePrefix + randomHex(8)
	content := []byte("brock checks that it can write here\n")
	err := storeObject(ctx, d, name, content)
	if err == nil {
		err = checkProbe(ctx, d, name, content)
	}
	cleanup, cancel := detached(ctx)
	defer cancel()
	removed := d.Remove(cleanup, name)
	switch {
	case err != nil:
		return fault.Wrap(err, "write to destination %s", d)
	case removed != nil && !fault.Is(removed, fault.Denied):
		return fault.Wrap(removed, "remove from destination %s", d)
	}
	var old []string
	err = d.List(ctx, "", func(info destination.Info) error {
		if strings.HasPrefix(info.Name, probePrefix) && !info.Dir && now.Sub(info.Modified) > probeMaxAge {
			old = append(old, info.Name)
		}
		return nil
	})
	for _, name := range old {
		if rerr := d.Remove(ctx, name); rerr != nil && !fault.Is(rerr, fault.NotFound) && !fault.Is(rerr, fault.Denied) {
			err = rerr
		}
	}
	return fault.Wrap(err, "remove old probes from destination %s", d)
}

// checkProbe reads what was written, and tries to write it once more: backups
// rest on the refusal.
func checkProbe(ctx context.Context, d destination.Destination, name string, content []byte) error {
	got, err := readObject(ctx, d, name, int64(len(content)))
	if err == nil && !bytes.Equal(got, content) {
		err = fault.New(fault.Corrupt, "read "+name, "other bytes come back than were written")
	}
	if err != nil {
		return err
	}
	err = storeObject(ctx, d, name, content)
	switch {
	case fault.Is(err, fault.Exists):
		return nil
	case err == nil:
		return fault.New(fault.Usage, "create "+name+" only where it is missing", "it was written twice").
			WithHint("the storage ignores conditional writes (If-None-Match), which keep two writers apart: use one that does not")
	}
	return err
}
