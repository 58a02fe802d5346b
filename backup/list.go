package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path"

	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Listing is what stands at a destination.
type Listing struct {
	Series     []manifest.Series // the one begun last comes last
	Damaged    []Damaged         // manifests that cannot be used, by folder
	Unfinished []string          // folders without a manifest: no backups
}

// Damaged is a backup whose manifest cannot be used.
type Damaged struct {
	Path string // its folder
	Err  error
}

// listReaders bounds how many manifests are read at once: an object store takes
// tens of milliseconds for each.
const listReaders = 64

// List reads the manifests at a destination. A manifest that is damaged is
// listed as such; one that cannot be read at all (permissions, I/O) fails the
// listing, because what cannot be seen cannot be judged.
func List(ctx context.Context, d destination.Destination) (*Listing, error) {
	var folders []string
	err := eachFolder(ctx, d, func(folder string) error {
		folders = append(folders, folder)
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, "list backups at %s", d)
	}
	results := make([]struct {
		stored manifest.Stored
		err    error
	}, len(folders))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(listReaders)
	for i, folder := range folders {
		group.Go(func() error {
			results[i].stored, results[i].err = readManifest(gctx, d, folder)
			if k := fault.KindOf(results[i].err); results[i].err == nil || k == fault.Corrupt || k == fault.NotFound || k == fault.Usage {
				return nil
			}
			return results[i].err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, fault.Wrap(err, "list backups at %s", d)
	}
	l := new(Listing)
	var found []manifest.Stored
	for i, r := range results {
		switch {
		case r.err == nil:
			found = append(found, r.stored)
		case fault.Is(r.err, fault.NotFound):
			l.Unfinished = append(l.Unfinished, folders[i])
		default:
			l.Damaged = append(l.Damaged, Damaged{folders[i], r.err})
		}
	}
	l.Series = manifest.InSeries(found)
	return l, nil
}

func readManifest(ctx context.Context, d destination.Destination, folder string) (manifest.Stored, error) {
	data, err := readObject(ctx, d, path.Join(folder, manifest.FileName), manifest.MaxBytes)
	if err != nil {
		return manifest.Stored{}, err
	}
	m, err := manifest.Decode(data, folder)
	return manifest.Stored{Manifest: m, Data: data, Digest: manifest.Digest(data)}, err
}

// readObject reads a whole object of at most limit bytes, with one request.
func readObject(ctx context.Context, d destination.Destination, name string, limit int64) ([]byte, error) {
	body, err := d.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err := errors.Join(err, body.Close()); err != nil {
		return nil, fault.Wrap(err, "read %s", name)
	}
	if int64(len(data)) > limit {
		return nil, fault.New(fault.Corrupt, "read "+name, "it has more than %d bytes, the limit", limit)
	}
	return data, nil
}

// maxPartList bounds a stored part list: 16 TB of data in 2 MiB chunks.
const maxPartList = 1 << 30

// ReadPartList reads the part list of one group of a backup and holds it
// against the manifest, whose key must have been checked. Every byte is
// authenticated by the manifest's digest of it.
func ReadPartList(ctx context.Context, d destination.Destination, m *manifest.Manifest, group uint32, key ee.Key) (*archive.List, error) {
	stored, err := readPartList(ctx, d, m, group)
	if err != nil {
		return nil, err
	}
	return decodePartList(stored, m, group, key)
}

func damagedList(m *manifest.Manifest, group uint32, format string, args ...any) error {
	return fault.New(fault.Corrupt, "read part list "+path.Join(m.Path, m.Groups[group].PartList.Name), format, args...).
		WithHint("bring the object back from a copy, or restore an earlier backup")
}

// readPartList reads a part list as it is stored, and holds it against the
// manifest's digest of it.
func readPartList(ctx context.Context, d destination.Destination, m *manifest.Manifest, group uint32) ([]byte, error) {
	want := m.Groups[group].PartList
	stored, err := readObject(ctx, d, path.Join(m.Path, want.Name), min(want.Bytes, maxPartList))
	switch {
	case fault.Is(err, fault.NotFound):
		return nil, damagedList(m, group, "it is missing: %w", err)
	case err != nil:
		return nil, err
	case int64(len(stored)) != want.Bytes:
		return nil, damagedList(m, group, "it has %d bytes, the manifest says %d", len(stored), want.Bytes)
	case manifest.Digest(stored) != want.SHA256:
		return nil, damagedList(m, group, "it was altered: its SHA-256 is not the manifest's")
	}
	return stored, nil
}

// decodePartList decodes what readPartList returned, which it overwrites.
func decodePartList(stored []byte, m *manifest.Manifest, group uint32, key ee.Key) (*archive.List, error) {
	list, err := archive.DecodeList(stored, key, archive.ListHead{
		BackupID: m.BackupID, Group: group, Since: m.Since, ReadTs: m.ReadTs})
	if err != nil {
		return nil, damagedList(m, group, "%w", err)
	}
	if err := checkTotals(list, m.Groups[group]); err != nil {
		return nil, damagedList(m, group, "%w", err)
	}
	return list, nil
}

// checkTotals holds a part list's sums against the manifest's.
func checkTotals(list *archive.List, g *manifest.Group) error {
	var sum manifest.Totals
	counts := make(map[uint64]int64)
	for i := range list.Parts {
		p := &list.Parts[i]
		sum.Add(manifest.Totals{Parts: 1, Records: p.Records, RawBytes: p.RawBytes, StoredBytes: p.StoredBytes})
		for id, n := range p.Collections {
			counts[id] += n
		}
	}
	if sum != g.Totals {
		return fmt.Errorf("its parts sum up to %+v, the manifest says %+v", sum, g.Totals)
	}
	for _, c := range g.Collections {
		if counts[c.ID] != c.Records {
			return fmt.Errorf("it has %d records of %s/%s, the manifest says %d", counts[c.ID], c.Namespace, c.Name, c.Records)
		}
	}
	return nil
}

// CheckObjects finds missing, short or overlong parts without reading them.
func CheckObjects(ctx context.Context, d destination.Destination, m *manifest.Manifest, list *archive.List) error {
	sizes := make(map[string]int64)
	err := d.List(ctx, m.Path, func(info destination.Info) error {
		sizes[info.Name] = info.Size
		return nil
	})
	if err != nil {
		return fault.Wrap(err, "list objects of backup %s", m.Path)
	}
	for i := range list.Parts {
		name := path.Join(m.Path, list.Parts[i].Name)
		size, ok := sizes[name]
		if ok && size == list.Parts[i].StoredBytes {
			continue
		}
		e := fault.New(fault.Corrupt, "use part "+name, "it is missing")
		if ok {
			e = fault.New(fault.Corrupt, "use part "+name, "it has %d bytes, its part list says %d", size, list.Parts[i].StoredBytes)
		}
		return e.WithHint("bring the object back from a copy, or restore an earlier backup")
	}
	return nil
}
