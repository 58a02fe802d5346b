package systest

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/minio/madmin-go/v3"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// policyOfDocs returns the minimal policy of docs/providers.md.
func policyOfDocs(t *testing.T) []byte {
	t.Helper()
	page := readFile(t, filepath.Join("..", "docs", "providers.md"))
	block := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(page)
	if block == nil || !json.Valid(block[1]) {
		t.Fatal("docs/providers.md has no policy")
	}
	return block[1]
}

// minioUser starts MinIO with a bucket called backups and a user that may do
// exactly what a policy says.
func minioUser(t *testing.T, policy []byte) (m *servers.MinIO, access, secret string) {
	t.Helper()
	m = servers.StartMinIO(t, servers.MinIOOptions{})
	root, err := minio.New(m.Address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := root.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	admin, err := madmin.NewWithOptions(m.Address, &madmin.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	access, secret = "brock-user", "brock-user-secret-key"
	if err := admin.AddUser(t.Context(), access, secret); err != nil {
		t.Fatal(err)
	}
	if err := admin.AddCannedPolicy(t.Context(), "brock", policy); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.AttachPolicy(t.Context(), madmin.PolicyAssociationReq{Policies: []string{"brock"}, User: access}); err != nil {
		t.Fatal(err)
	}
	return m, access, secret
}

// TestMinimalPolicy takes a full backup and incrementals to MinIO under exactly
// the policy of the documentation, with the credentials of each request, and
// lists, verifies and restores them with those of the environment.
func TestMinimalPolicy(t *testing.T) {
	m, access, secret := minioUser(t, policyOfDocs(t))
	location := "minio://" + m.Address + "/backups/db 1?secure=false"
	a := startAlpha(t, t.TempDir(), "--encryption_key_file", keyFile(t, 32))
	given := map[string]any{"destination": location, "accessKey": access, "secretKey": secret}
	model := model{}
	var last task
	for round := range 3 {
		a.store(t, model, bankRef, putRecord{fmt.Sprint("k", round), []byte(`"v"`)}, putRecord{"same", fmt.Appendf(nil, "%d", round)})
		var queued struct{ Backup struct{ TaskID string } }
		err := a.Admin(t.Context(), `mutation($i: BackupInput!) { backup(input: $i) { taskId } }`, map[string]any{"i": given}, &queued)
		if err != nil {
			t.Fatal(err, "; ", fault.HintOf(err))
		}
		if last = a.await(t, queued.Backup.TaskID, task.over); last.Status != "Success" || last.BackupNum != uint64(round+1) {
			t.Fatalf("%+v", last)
		}
	}
	var listed struct{ ListBackups []struct{ BackupNum int } }
	list1 := map[string]any{"location": location, "accessKey": access, "secretKey": secret}
	err := a.Admin(t.Context(), `query($i: ListBackupsInput!) { listBackups(input: $i) { backupNum } }`, map[string]any{"i": list1}, &listed)
	if err != nil || len(listed.ListBackups) != 3 {
		t.Errorf("%+v, %v", listed, err)
	}
	list1["secretKey"] = "not the secret key"
	err = a.Admin(t.Context(), `query($i: ListBackupsInput!) { listBackups(input: $i) { backupNum } }`, map[string]any{"i": list1}, &listed)
	wantRefusal(t, err, fault.Denied, "the secret key of access key br… is wrong", "check the secret key")
	_, err = a.submit(t, location, false) // without credentials
	wantRefusal(t, err, fault.Denied, "find credentials", "MINIO_ACCESS_KEY")
	key := a.args[1]
	a.stop(t)

	t.Setenv("MINIO_ACCESS_KEY", access)
	t.Setenv("MINIO_SECRET_KEY", secret)
	if all := list(t, location); len(all) != 3 || all[2].Path != last.Path {
		t.Errorf("listed %+v", all)
	}
	good(t, "verify", "-l", location, "--level", "full", "--encryption_key_file", key)
	restored := restoreBackup(t, location, last.BackupID, 3, "--encryption_key_file", key)
	b := startAlpha(t, restored.dir)
	b.check(t, model, "restored from MinIO")
	b.stop(t)
	for _, path := range files(t, filepath.Join(m.Dir, "backups")) {
		if strings.Contains(path, "brock.probe-") {
			t.Errorf("a probe is left: %s", path)
		}
	}
	if left, err := os.ReadDir(filepath.Join(m.Dir, ".minio.sys", "multipart")); err == nil && len(left) > 0 {
		t.Errorf("uploads are left: %v", left)
	}
}

// TestRefusedByPolicy asks for a backup that the bucket's policy does not let
// through: the refusal comes before the task is queued.
func TestRefusedByPolicy(t *testing.T) {
	policy := strings.Replace(string(policyOfDocs(t)), `"s3:PutObject", `, "", 1)
	m, access, secret := minioUser(t, []byte(policy))
	t.Setenv("MINIO_ACCESS_KEY", access)
	t.Setenv("MINIO_SECRET_KEY", secret)
	a := startAlpha(t, t.TempDir())
	_, err := a.submit(t, "minio://"+m.Address+"/backups?secure=false", false)
	wantRefusal(t, err, fault.Denied, "may not s3:PutObject in bucket backups", "docs/providers.md")
	_, err = a.submit(t, "minio://"+m.Address+"/elsewhere?secure=false", false)
	if err == nil {
		t.Error("a bucket that is not there took a backup")
	}
	if tasks := a.tasks(t); len(tasks) != 0 {
		t.Errorf("refused backups have made the tasks %+v", tasks)
	}
	a.stop(t)
	if strings.Contains(a.stderr.String(), secret) {
		t.Error("the log holds the secret key")
	}
}
