package backup

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"

	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// memberCopy is the copying of one backup.
type memberCopy struct {
	*seriesCopy
	from   *manifest.Stored
	there  *manifest.Stored // at To; nil where it is not stored yet
	parent string           // digest of the manifest before, at To

	sizes map[string]int64 // of the objects in the folder at To, by base name
}

// copy makes the backup at To and returns the digest of its manifest there.
func (m *memberCopy) copy(ctx context.Context) (digest string, err error) {
	if err := m.look(ctx); err != nil {
		return "", err
	}
	groups := slices.Sorted(maps.Keys(m.from.Groups))
	if !m.NewKey.IsZero() {
		return m.rekey(ctx, groups)
	}
	var parts []archive.Part
	lists := make(map[string][]byte)
	for _, group := range groups {
		of, list, err := m.parts(ctx, group)
		if err != nil {
			return "", err
		}
		parts = append(parts, of...)
		lists[m.from.Groups[group].PartList.Name] = list
	}
	expected := slices.Collect(maps.Keys(lists))
	for i := range parts {
		expected = append(expected, parts[i].Name)
	}
	if err := m.tidy(ctx, expected); err != nil {
		return "", err
	}
	err = m.parallel(ctx, len(parts), func(ctx context.Context, i int) error { return m.part(ctx, &parts[i]) })
	if err != nil {
		return "", err
	}
	for _, name := range slices.Sorted(maps.Keys(lists)) {
		if err := m.small(ctx, name, lists[name]); err != nil {
			return "", err
		}
	}
	if m.there == nil {
		err = m.publish(ctx, m.from.Data, len(expected)+1)
	}
	return m.from.Digest, err
}

func (m *memberCopy) parallel(ctx context.Context, n int, do func(ctx context.Context, i int) error) error {
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(m.Workers)
	for i := range n {
		group.Go(func() error { return do(gctx, i) })
	}
	return group.Wait()
}

// look lists what is in the folder at To.
func (m *memberCopy) look(ctx context.Context) error {
	m.sizes = make(map[string]int64)
	return m.To.List(ctx, m.from.Path, func(info destination.Info) error {
		if !info.Dir {
			m.sizes[path.Base(info.Name)] = info.Size
		}
		return nil
	})
}

// tidy removes what another attempt has left in a folder that is no backup yet.
func (m *memberCopy) tidy(ctx context.Context, expected []string) error {
	if m.there != nil {
		return nil
	}
	if err := destination.RemoveDebris(ctx, m.To, m.from.Path); err != nil && !fault.Is(err, fault.Denied) {
		return err
	}
	for base := range m.sizes {
		if !objectPattern.MatchString(base) || slices.Contains(expected, base) {
			continue
		}
		// One that may not be removed would be counted as the backup's.
		if err := m.To.Remove(ctx, path.Join(m.from.Path, base)); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		delete(m.sizes, base)
		m.gone.Add(1)
	}
	return nil
}

// parts returns the parts of a group, and its part list as it is stored. Where
// the list cannot be decrypted, the parts have their names and sizes alone.
func (m *memberCopy) parts(ctx context.Context, group uint32) ([]archive.Part, []byte, error) {
	g := m.from.Groups[group]
	stored, err := readPartList(ctx, m.From, m.from.Manifest, group)
	if err != nil {
		return nil, nil, err
	}
	if !m.sealed {
		parts, err := m.partsBySize(ctx, group, g)
		return parts, stored, err
	}
	list, err := decodePartList(slices.Clone(stored), m.from.Manifest, group, m.key)
	if err == nil {
		err = CheckObjects(ctx, m.From, m.from.Manifest, list)
	}
	if err != nil {
		return nil, nil, err
	}
	return list.Parts, stored, nil
}

// partsBySize lists the parts of a group and holds their number and bytes
// against the manifest.
func (m *memberCopy) partsBySize(ctx context.Context, group uint32, g *manifest.Group) ([]archive.Part, error) {
	var parts []archive.Part
	var sum int64
	err := m.From.List(ctx, m.from.Path, func(info destination.Info) error {
		base := path.Base(info.Name)
		var readTs uint64
		var of uint32
		if n, _ := fmt.Sscanf(base, "r%d-g%d.", &readTs, &of); n == 2 && readTs == m.from.ReadTs && of == group && partNumber.MatchString(base) {
			parts = append(parts, archive.Part{Name: base, StoredBytes: info.Size})
			sum += info.Size
		}
		return nil
	})
	if err != nil {
		return nil, fault.Wrap(err, "list objects of backup %s", m.from.Path)
	}
	if len(parts) != g.Parts || sum != g.StoredBytes {
		return nil, fault.New(fault.Corrupt, "copy the parts of "+m.from.Path, "there are %d with %d bytes; its manifest says %d with %d",
			len(parts), sum, g.Parts, g.StoredBytes).WithHint("give the key, so that the damage can be found: brock verify")
	}
	return parts, nil
}

// part brings one part to To as it is.
func (m *memberCopy) part(ctx context.Context, p *archive.Part) error {
	name := path.Join(m.from.Path, p.Name)
	there, err := m.has(ctx, p)
	if err != nil {
		return err
	}
	if there {
		m.keep(p.StoredBytes)
	} else {
		if err := sendObject(ctx, m.From, m.To, name, p.StoredBytes, sumOf(p)); err != nil {
			return err
		}
		m.sent(p.StoredBytes)
	}
	m.Progress.Add(p.Records, p.StoredBytes, p.StoredBytes)
	return nil
}

// sumOf returns the checksum of a part. Without the key there is no part list,
// and so nothing to hold its bytes against.
func sumOf(p *archive.Part) checksum {
	if len(p.Chunks) == 0 {
		return anySum{}
	}
	return archive.NewPartSum(p)
}

func (m *memberCopy) keep(bytes int64) {
	m.objectsThere.Add(1)
	m.bytesThere.Add(bytes)
}

func (m *memberCopy) sent(bytes int64) {
	m.objectsCopied.Add(1)
	m.bytesCopied.Add(bytes)
}

// has reports whether a part is at To and the same. Of a backup that is stored
// there its size is enough; else it is read, and removed where it differs.
func (m *memberCopy) has(ctx context.Context, p *archive.Part) (bool, error) {
	size, there := m.sizes[p.Name]
	if !there {
		return false, nil
	}
	name := path.Join(m.from.Path, p.Name)
	if m.there != nil {
		if size != p.StoredBytes {
			return false, fault.New(fault.Corrupt, "use "+name+" at "+m.To.String(), "it has %d bytes, not %d", size, p.StoredBytes).
				WithHint("the copy was damaged: remove that object, and copy again")
		}
		return true, nil
	}
	sum := sumOf(p)
	if len(p.Chunks) == 0 {
		digest, err := digestOf(ctx, m.From, name, p.StoredBytes)
		if err != nil {
			return false, err
		}
		sum = newDigestSum(digest)
	}
	good, err := intact(ctx, m.To, name, p.StoredBytes, sum)
	if err != nil || good {
		return good, err
	}
	m.gone.Add(1)
	return false, m.To.Remove(ctx, name)
}

// small stores an object whose bytes are known, unless it is there.
func (m *memberCopy) small(ctx context.Context, base string, data []byte) error {
	name := path.Join(m.from.Path, base)
	if size, there := m.sizes[base]; there {
		good, err := intact(ctx, m.To, name, int64(len(data)), newDigestSum(manifest.Digest(data)))
		switch {
		case err != nil:
			return err
		case good:
			m.keep(size)
			return nil
		case m.there != nil:
			return fault.New(fault.Corrupt, "use "+name+" at "+m.To.String(), "it is not what was copied").
				WithHint("the copy was damaged: remove that object, and copy again")
		}
		if err := m.To.Remove(ctx, name); err != nil {
			return err
		}
		m.gone.Add(1)
	}
	if err := storeObject(ctx, m.To, name, data); err != nil {
		return fault.Wrap(err, "store %s", name)
	}
	m.sent(int64(len(data)))
	return nil
}

// publish stores the manifest, when all the other objects of the folder are
// there.
func (m *memberCopy) publish(ctx context.Context, data []byte, objects int) error {
	if err := m.lease.Check(ctx); err != nil {
		return err
	}
	if err := storeObject(ctx, m.To, path.Join(m.from.Path, manifest.FileName), data); err != nil {
		return fault.Wrap(err, "store its manifest")
	}
	m.sent(int64(len(data)))
	names, err := ownObjects(ctx, m.To, m.from.Path)
	if err != nil {
		return err
	}
	if len(names) != objects {
		return fault.New(fault.Locked, "check what was stored", "there are %d objects instead of %d", len(names), objects).
			WithHint("somebody else writes there; copy again")
	}
	return nil
}
