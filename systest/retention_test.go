package systest

import (
	"encoding/json"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// TestRetention backs up with --retention: every object of a backup is locked,
// the lease and the probes around it are not in the way, and a bucket without
// object lock is refused before anything is queued.
func TestRetention(t *testing.T) {
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	root, err := minio.New(m.Address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	for bucket, locking := range map[string]bool{"locked": true, "plain": false} {
		if err := root.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{ObjectLocking: locking}); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("MINIO_ROOT_USER", m.AccessKey)
	t.Setenv("MINIO_ROOT_PASSWORD", m.SecretKey)
	location := "minio://" + m.Address + "/locked?secure=false"
	a := startAlpha(t, t.TempDir(), "--retention", "30d", "--retention_mode", "compliance")
	model := model{}
	var last task
	for _, key := range []string{"a", "b", "c"} {
		a.store(t, model, bankRef, putRecord{key, json.RawMessage(`1`)})
		last = a.backup(t, location, false)
	}
	if last.BackupNum != 3 {
		t.Errorf("the last backup is %+v", last)
	}
	_, err = a.submit(t, "minio://"+m.Address+"/plain?secure=false", false)
	wantRefusal(t, err, fault.Usage, "the bucket has no object lock", "--retention")
	a.stop(t)

	good(t, "verify", "-l", location, "--level", "full")
	restored := startAlpha(t, restoreBackup(t, location, last.BackupID, 3).dir)
	restored.check(t, model, "restored from a locked bucket")
	restored.stop(t)
	locked := 0
	for o := range root.ListObjectsIter(t.Context(), "locked", minio.ListObjectsOptions{Prefix: last.Path + "/", Recursive: true}) {
		mode, until, err := root.GetObjectRetention(t.Context(), "locked", o.Key, "")
		if err != nil || *mode != minio.Compliance || until.Before(last.FinishedAt.AddDate(0, 0, 29)) {
			t.Errorf("%s: mode %v until %v, %v", o.Key, mode, until, err)
		}
		locked++
	}
	if locked < 3 { // a part, the part list, the manifest
		t.Errorf("%d objects are locked", locked)
	}
}
