package destination

import (
	"context"
	"strings"

	"github.com/minio/minio-go/v7"

	"github.com/brockdb/brock/backup/fault"
)

var _ Debris = (*s3Store)(nil)

// RemoveDebris implements Debris: it aborts the multipart uploads that are not
// complete. In the folder of leases it aborts those of all backups: who has just
// taken the lease is alone, and an upload whose folder has no object yet is found
// nowhere else.
func (s *s3Store) RemoveDebris(ctx context.Context, dir string) error {
	const verb = "remove debris of"
	if err := ctx.Err(); err != nil {
		return s.fail(ctx, verb, dir, "", err)
	}
	prefix := s.key(dir)
	if dir != "" {
		if err := CheckName(dir); err != nil {
			return err
		}
	}
	if prefix != "" {
		prefix += "/"
	}
	if dir == leaseDir {
		prefix = s.key(backupPrefix)
	}
	uploads, err := s.uploads(ctx, dir, prefix, prefix)
	if err == nil && !s.isAmazon() && prefix != "" {
		// MinIO takes a prefix for a whole key, and lists all uploads without one.
		var more []minio.ObjectMultipartInfo
		more, err = s.uploads(ctx, dir, "", prefix)
		uploads = append(uploads, more...)
	}
	if err != nil {
		return err
	}
	for _, u := range uploads {
		// Deeper down may be another destination.
		if dir == leaseDir && strings.Count(u.Key, "/") != strings.Count(prefix, "/")+1 {
			continue
		}
		if err := s.abortUpload(ctx, verb, dir, u.Key, u.UploadID); err != nil {
			return err
		}
	}
	return nil
}

// backupPrefix is how the names of all folders of backups and leases begin.
const backupPrefix = "brock."

// abortOthers aborts the uploads of an object beside the one with an id, "" for
// none: what a request has begun whose answer was lost.
func (s *s3Store) abortOthers(ctx context.Context, verb, name, key, id string) error {
	uploads, err := s.uploads(ctx, name, key, key)
	for _, u := range uploads {
		if err == nil && u.Key == key && u.UploadID != id {
			err = s.abortUpload(ctx, verb, name, key, u.UploadID)
		}
	}
	return err
}

// uploads lists the uploads under way whose keys begin with want, asking for
// those that begin with prefix.
func (s *s3Store) uploads(ctx context.Context, dir, prefix, want string) (found []minio.ObjectMultipartInfo, err error) {
	const pages, perPage = 100, 1000
	keyMarker, idMarker := "", ""
	for range pages {
		page, err := s.core.ListMultipartUploads(ctx, s.location.Bucket, prefix, keyMarker, idMarker, "", perPage)
		if err != nil {
			err = s.fail(ctx, "remove debris of", dir, "s3:ListBucketMultipartUploads", err)
			if fault.Is(err, fault.NotFound) {
				return nil, nil // a missing folder is not an error
			}
			return nil, err
		}
		for _, u := range page.Uploads {
			if strings.HasPrefix(u.Key, want) {
				found = append(found, u)
			}
		}
		if !page.IsTruncated || page.NextKeyMarker == "" {
			break
		}
		keyMarker, idMarker = page.NextKeyMarker, page.NextUploadIDMarker
	}
	return found, nil
}

// isAmazon reports whether the endpoint is S3 itself.
func (s *s3Store) isAmazon() bool {
	host := s.location.Host
	return strings.HasSuffix(host, ".amazonaws.com") || strings.HasSuffix(host, ".amazonaws.com.cn")
}
