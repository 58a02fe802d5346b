package admin

import (
	"cmp"
	"context"
	"slices"

	"github.com/99designs/gqlgen/graphql"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/worker"
)

type query struct{ *Resolver }

func (q query) Health(context.Context) ([]*NodeState, error) { return q.States(), nil }

func (q query) ListBackups(ctx context.Context, input ListBackupsInput) ([]*Manifest, error) {
	request := worker.ListRequest{
		Location:    input.Location,
		SinceDate:   value(input.SinceDate),
		UntilDate:   value(input.UntilDate),
		LastNDays:   value(input.LastNDays),
		Credentials: credentials(input.AccessKey, input.SecretKey, input.SessionToken, input.Anonymous),
	}
	found, err := q.Node.ListBackups(ctx, request)
	if err != nil {
		return nil, err
	}
	for _, damaged := range found.Damaged {
		graphql.AddError(ctx, fault.Wrap(damaged.Err, "use backup %s", damaged.Path))
	}
	list := make([]*Manifest, len(found.Manifests))
	for i, m := range found.Manifests {
		list[i] = manifestPayload(m)
	}
	return list, nil
}

func credentials(accessKey, secretKey, sessionToken *string, anonymous *bool) destination.Credentials {
	return destination.Credentials{
		AccessKey: value(accessKey), SecretKey: value(secretKey),
		SessionToken: value(sessionToken), Anonymous: value(anonymous),
	}
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// unlessZero returns nil for a zero value: null in the answer.
func unlessZero[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func manifestPayload(m *manifest.Manifest) *Manifest {
	p := &Manifest{
		BackupID: m.BackupID, BackupNum: uint64(m.BackupNum), Encrypted: m.Encrypted, Path: m.Path,
		Since: m.Since, ReadTs: m.ReadTs, Type: m.Type, Compression: m.Compression, Version: m.Version,
		DbID: m.DBID, CreatedAt: m.CreatedAt, FinishedAt: m.FinishedAt, Parent: unlessZero(m.Parent),
		Partial: m.Partial, Selection: selectionPayload(m), KeyID: unlessZero(m.KeyID), MaxUID: m.MaxUID, AllVersions: m.AllVersions, Reason: unlessZero(m.Reason),
		Parts: m.Parts, Records: m.Records, RawBytes: m.RawBytes, StoredBytes: m.StoredBytes,
		Groups: make([]*BackupGroup, 0, len(m.Groups)),
	}
	for id, g := range m.Groups {
		p.Groups = append(p.Groups, groupPayload(id, g))
	}
	slices.SortFunc(p.Groups, func(a, b *BackupGroup) int { return cmp.Compare(a.GroupID, b.GroupID) })
	return p
}

func groupPayload(id uint32, g *manifest.Group) *BackupGroup {
	p := &BackupGroup{
		GroupID: uint64(id), Predicates: make([]string, len(g.Collections)),
		Collections: make([]*BackupCollection, len(g.Collections)),
		PartList:    &BackupObject{Name: g.PartList.Name, Bytes: g.PartList.Bytes, Sha256: g.PartList.SHA256},
		Parts:       g.Parts, Records: g.Records, RawBytes: g.RawBytes, StoredBytes: g.StoredBytes,
	}
	for i, c := range g.Collections {
		p.Predicates[i] = c.Namespace + "/" + c.Name
		p.Collections[i] = &BackupCollection{Namespace: c.Namespace, Name: c.Name, ID: c.ID, Records: c.Records}
	}
	return p
}
