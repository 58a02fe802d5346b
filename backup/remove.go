package backup

import (
	"context"
	"path"
	"strings"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Remove removes what a backup has put into a folder, the manifest first: from
// then on it is no backup, and what a crash leaves is debris that Remove takes
// up again. Objects that no backup makes are left alone. The lease must be held,
// and nobody may read the backup.
func Remove(ctx context.Context, d destination.Destination, folder string) error {
	return removeFolder(ctx, d, folder, "remove backup "+folder)
}

// Present tells how a backup's objects differ from what its manifest says, as
// far as names and sizes show it and without a key; nil when they do not. The
// error is of kind Corrupt then.
func Present(ctx context.Context, d destination.Destination, m *manifest.Manifest) error {
	sizes := make(map[string]int64)
	err := d.List(ctx, m.Path, func(info destination.Info) error {
		if !info.Dir {
			sizes[path.Base(info.Name)] = info.Size
		}
		return nil
	})
	if err != nil {
		return fault.Wrap(err, "list objects of backup %s", m.Path)
	}
	for id, group := range m.Groups {
		var parts int
		var bytes int64
		list := group.PartList
		first := strings.TrimSuffix(manifest.PartName(m.ReadTs, id, 1), ".backup")
		for name, size := range sizes {
			if strings.HasPrefix(name, first+".") && strings.HasSuffix(name, ".backup") {
				parts++
				bytes += size
			}
		}
		size, ok := sizes[list.Name]
		switch {
		case !ok:
			return fault.New(fault.Corrupt, "use backup "+m.Path, "its part list %s is missing", list.Name)
		case size != list.Bytes:
			return fault.New(fault.Corrupt, "use backup "+m.Path, "its part list %s has %d bytes, not %d", list.Name, size, list.Bytes)
		case parts != group.Parts || bytes != group.StoredBytes:
			return fault.New(fault.Corrupt, "use backup "+m.Path, "%d parts with %d bytes are there of group %d, its manifest says %d with %d",
				parts, bytes, id, group.Parts, group.StoredBytes)
		}
	}
	return nil
}
