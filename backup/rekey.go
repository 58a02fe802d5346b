package backup

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Encrypting a series with another key makes new parts (the same compressed
// chunks, under new IVs), new part lists with their digests, and new manifests,
// each naming the digest of the new one before it.

// rekey makes the backup at To under the new key and returns the digest of its
// manifest there.
func (m *memberCopy) rekey(ctx context.Context, groups []uint32) (digest string, err error) {
	lists := make(map[uint32]*archive.List, len(groups))
	var expected []string
	for _, group := range groups {
		list, err := ReadPartList(ctx, m.From, m.from.Manifest, group, m.key)
		if err == nil {
			err = CheckObjects(ctx, m.From, m.from.Manifest, list)
		}
		if err != nil {
			return "", err
		}
		lists[group] = list
		for i := range list.Parts {
			expected = append(expected, list.Parts[i].Name)
		}
	}
	if m.there != nil {
		return m.rekeyed(ctx, lists)
	}
	if err := m.tidy(ctx, expected); err != nil { // part lists too: they are made anew
		return "", err
	}
	next := *m.from.Manifest
	next.Encrypted, next.KeyID, next.Parent = true, m.NewKey.ID(), m.parent
	next.Groups, next.Totals = make(map[uint32]*manifest.Group, len(groups)), manifest.Totals{}
	for _, group := range groups {
		g, err := m.rekeyGroup(ctx, group, lists[group])
		if err != nil {
			return "", err
		}
		next.Groups[group] = g
		next.Add(g.Totals)
	}
	data, err := next.Encode(m.NewKey)
	if err != nil {
		return "", err
	}
	return manifest.Digest(data), m.publish(ctx, data, len(expected)+len(groups)+1)
}

// rekeyGroup makes the parts of a group, and its part list.
func (m *memberCopy) rekeyGroup(ctx context.Context, group uint32, list *archive.List) (*manifest.Group, error) {
	old := m.from.Groups[group]
	next := &archive.List{Head: list.Head, Parts: make([]archive.Part, len(list.Parts))}
	err := m.parallel(ctx, len(list.Parts), func(ctx context.Context, i int) (err error) {
		next.Parts[i], err = m.rekeyPart(ctx, &list.Parts[i])
		return err
	})
	if err != nil {
		return nil, err
	}
	stored, err := archive.EncodeList(next, m.NewKey)
	if err != nil {
		return nil, err
	}
	name := old.PartList.Name
	if err := storeObject(ctx, m.To, path.Join(m.from.Path, name), stored); err != nil {
		return nil, fault.Wrap(err, "store part list %s", name)
	}
	m.sent(int64(len(stored)))
	sum := sha256.Sum256(stored)
	g := &manifest.Group{
		PartList:    manifest.Object{Name: name, Bytes: int64(len(stored)), SHA256: hex.EncodeToString(sum[:])},
		Collections: slices.Clone(old.Collections),
	}
	for i := range next.Parts {
		p := &next.Parts[i]
		g.Add(manifest.Totals{Parts: 1, Records: p.Records, RawBytes: p.RawBytes, StoredBytes: p.StoredBytes})
	}
	return g, nil
}

// rekeyPart makes one part, unless another attempt has.
func (m *memberCopy) rekeyPart(ctx context.Context, p *archive.Part) (archive.Part, error) {
	name := path.Join(m.from.Path, p.Name)
	if size, there := m.sizes[p.Name]; there {
		next, same, err := m.rekeyedPart(ctx, p, name, size)
		if err != nil {
			return archive.Part{}, err
		}
		if same {
			m.keep(next.StoredBytes)
			m.Progress.Add(p.Records, p.StoredBytes, p.StoredBytes)
			return next, nil
		}
		if err := m.To.Remove(ctx, name); err != nil {
			return archive.Part{}, err
		}
		m.gone.Add(1)
	}
	w, err := m.To.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return archive.Part{}, fault.Wrap(err, "store %s", name)
	}
	next, err := m.recode(ctx, p, name, w, ee.NewIV())
	if err == nil {
		err = w.Commit(ctx)
	}
	if err != nil {
		return archive.Part{}, fault.Wrap(errors.Join(err, w.Abort()), "encrypt part %s anew", name)
	}
	m.sent(next.StoredBytes)
	m.Progress.Add(p.Records, p.StoredBytes, p.StoredBytes)
	return next, nil
}

func (m *memberCopy) recode(ctx context.Context, p *archive.Part, name string, out io.Writer, iv [ee.IVSize]byte) (archive.Part, error) {
	body, err := m.From.Open(ctx, name, 0, p.StoredBytes)
	if err != nil {
		return archive.Part{}, err
	}
	defer body.Close() // only read
	next, err := archive.Recode(body, p, m.key, out, m.NewKey, iv)
	if errors.Is(err, archive.ErrAltered) {
		err = fault.New(fault.Corrupt, "read part "+name+" at "+m.From.String(), "%w", err).
			WithHint("bring the object back from another copy")
	}
	return next, err
}

// rekeyedPart reads a part that is at To, and tells whether it is what encrypting
// p anew under its IV makes. That also computes its digests.
func (m *memberCopy) rekeyedPart(ctx context.Context, p *archive.Part, name string, size int64) (next archive.Part, same bool, err error) {
	body, err := m.To.Open(ctx, name, 0, size)
	if err != nil {
		return next, false, err
	}
	defer body.Close() // only read
	var iv [ee.IVSize]byte
	if _, err := io.ReadFull(body, iv[:]); err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return next, false, nil // shorter than its IV
		}
		return next, false, err
	}
	stored := &comparing{r: io.MultiReader(bytes.NewReader(iv[:]), body)}
	next, err = m.recode(ctx, p, name, stored, iv)
	if errors.Is(err, errDiffers) {
		return next, false, nil
	}
	return next, err == nil && next.StoredBytes == size, err
}

// comparing is a Writer that takes only what its reader has.
type comparing struct {
	r   io.Reader
	buf []byte
}

var errDiffers = errors.New("it differs")

func (c *comparing) Write(p []byte) (int, error) {
	c.buf = slices.Grow(c.buf[:0], len(p))[:len(p)]
	_, err := io.ReadFull(c.r, c.buf)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || err == nil && !bytes.Equal(p, c.buf):
		return 0, errDiffers
	case err != nil:
		return 0, err
	}
	return len(p), nil
}

// rekeyed holds a backup that is stored at To against the one at From, by their
// part lists and the sizes of their objects.
func (m *memberCopy) rekeyed(ctx context.Context, lists map[uint32]*archive.List) (digest string, err error) {
	refuse := func(err error) (string, error) {
		return "", fault.New(fault.Mixed, "use backup "+m.from.Path+" at "+m.To.String(), "it is not this one: %w", err).
			WithHint("copy to another destination")
	}
	if m.there.Parent != m.parent {
		return refuse(fmt.Errorf("it does not follow the backup before"))
	}
	if !slices.Equal(slices.Sorted(maps.Keys(m.there.Groups)), slices.Sorted(maps.Keys(lists))) {
		return refuse(fmt.Errorf("its groups differ"))
	}
	for group, want := range lists {
		got, err := ReadPartList(ctx, m.To, m.there.Manifest, group, m.NewKey)
		if err == nil {
			err = CheckObjects(ctx, m.To, m.there.Manifest, got)
		}
		if err != nil {
			return "", err
		}
		if !slices.EqualFunc(got.Parts, want.Parts, sameContent) {
			return refuse(fmt.Errorf("its parts differ"))
		}
		for i := range got.Parts {
			m.keep(got.Parts[i].StoredBytes)
			m.Progress.Add(want.Parts[i].Records, want.Parts[i].StoredBytes, want.Parts[i].StoredBytes)
		}
		m.keep(m.there.Groups[group].PartList.Bytes)
	}
	return m.there.Digest, nil
}

// sameContent compares what two parts say of their content, whatever they are
// encrypted with.
func sameContent(a, b archive.Part) bool {
	return a.Name == b.Name && a.RawBytes == b.RawBytes && a.Records == b.Records &&
		bytes.Equal(a.FirstKey, b.FirstKey) && bytes.Equal(a.LastKey, b.LastKey) && maps.Equal(a.Collections, b.Collections) &&
		slices.EqualFunc(a.Chunks, b.Chunks, func(c, d archive.Chunk) bool {
			return c.StoredBytes == d.StoredBytes && c.RawBytes == d.RawBytes && c.Records == d.Records && bytes.Equal(c.FirstKey, d.FirstKey)
		})
}
