package backup

import (
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/systest/servers"
)

// BenchmarkBackupTo takes the same full backup, uncompressed, into a directory
// and to MinIO on this machine, whose share of the cores it bears as well.
// Bytes per second are of what is stored.
func BenchmarkBackupTo(b *testing.B) {
	db, _ := benchDB(b)
	src, err := Managed(db, ManagedOptions{ReadTs: func() uint64 { return db.MaxVersion() }})
	if err != nil {
		b.Fatal(err)
	}
	m := servers.StartMinIO(b, servers.MinIOOptions{})
	root, err := minio.New(m.Address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		b.Fatal(err)
	}
	if err := root.MakeBucket(b.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		b.Fatal(err)
	}
	o := destination.Options{Credentials: destination.Credentials{AccessKey: m.AccessKey, SecretKey: m.SecretKey}}
	for _, to := range []struct{ name, uri string }{
		{"directory", b.TempDir()}, {"minio", "minio://" + m.Address + "/backups?secure=false"},
	} {
		b.Run(to.name, func(b *testing.B) {
			dst, err := destination.Open(b.Context(), to.uri, o)
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				job := &Backup{Source: src, Destination: dst, ForceFull: true, Level: archive.NoCompression, Workers: 2}
				made, err := job.Run(b.Context())
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(made.StoredBytes)
			}
		})
	}
}
