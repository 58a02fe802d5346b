package systest

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/graph/client"
	"github.com/brockdb/brock/systest/servers"
)

const matrixBucket = "matrix"

// matrix is a destination of every kind, all reached with the credentials of one
// environment.
type matrix struct {
	env   []string
	names []string
	uris  []string // with a %s for a prefix
}

// startMatrix starts a server of every kind, with a bucket in it.
func startMatrix(t *testing.T) *matrix {
	t.Helper()
	var m *servers.MinIO
	var v *servers.Versity
	var g *servers.GCS
	var a *servers.Azurite
	// One after the other they take a while.
	var all sync.WaitGroup
	all.Go(func() { m = servers.StartMinIO(t, servers.MinIOOptions{}) })
	all.Go(func() { v = servers.StartVersity(t) })
	all.Go(func() { g = servers.StartGCS(t) })
	all.Go(func() { a = servers.StartAzurite(t) })
	all.Wait()
	if m == nil || v == nil || g == nil || a == nil {
		t.Fatal("not all servers have started")
	}
	makeS3Bucket(t, m.Address, m.AccessKey, m.SecretKey)
	makeS3Bucket(t, v.Address, v.AccessKey, v.SecretKey)
	made, err := http.Post("http://"+g.Address+"/storage/v1/b?project=brock", "application/json", strings.NewReader(`{"name":"`+matrixBucket+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, made.Body) // the status says it
	_ = made.Body.Close()                 // only read
	if made.StatusCode != http.StatusOK {
		t.Fatalf("fake-gcs-server makes no bucket: %s", made.Status)
	}
	blobs, err := container.NewClientFromConnectionString(a.ConnectionString(), matrixBucket, nil)
	if err == nil {
		_, err = blobs.Create(t.Context(), nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &matrix{
		env: []string{
			"MINIO_ACCESS_KEY=" + m.AccessKey, "MINIO_SECRET_KEY=" + m.SecretKey,
			"AWS_ACCESS_KEY_ID=" + v.AccessKey, "AWS_SECRET_ACCESS_KEY=" + v.SecretKey, "AWS_EC2_METADATA_DISABLED=true",
			"STORAGE_EMULATOR_HOST=" + g.Address, "AZURE_STORAGE_CONNECTION_STRING=" + a.ConnectionString(),
		},
		names: []string{"directory", "MinIO", "versitygw", "fake-gcs-server", "Azurite"},
		uris: []string{
			filepath.Join(t.TempDir(), "%s"),
			"minio://" + m.Address + "/" + matrixBucket + "/%s?secure=false",
			"s3://" + v.Address + "/" + matrixBucket + "/%s?secure=false",
			"gs://" + matrixBucket + "/%s",
			"azblob://" + matrixBucket + "/%s",
		},
	}
}

func makeS3Bucket(t *testing.T, address, access, secret string) {
	t.Helper()
	c, err := minio.New(address, &minio.Options{Creds: credentials.NewStaticV4(access, secret, "")})
	if err == nil {
		err = c.MakeBucket(t.Context(), matrixBucket, minio.MakeBucketOptions{})
	}
	if err != nil {
		t.Fatal(err)
	}
}

// good runs a command in the environment of the matrix, which must succeed.
func (m *matrix) good(t *testing.T, args ...string) string {
	t.Helper()
	p := start(t, m.env, args...)
	if code := p.exit(); code != exitGood {
		t.Fatalf("brock %s: exit code %d\n%s", strings.Join(args, " "), code, p.stderr.String())
	}
	return p.stdout.String()
}

// TestMatrix backs up to every kind of destination, fully and incrementally,
// lists and verifies what is there, copies it to the next kind and restores it
// from there; plain and encrypted.
func TestMatrix(t *testing.T) {
	t.Parallel()
	m := startMatrix(t)
	t.Run("kinds", func(t *testing.T) { // ends before the servers do
		for _, keyed := range []bool{false, true} {
			t.Run(fmt.Sprintf("encrypted=%v", keyed), func(t *testing.T) {
				t.Parallel()
				var key []string
				prefix := "plain"
				if keyed {
					prefix, key = "encrypted", []string{"--encryption_key_file", keyFile(t, 32)}
				}
				m.all(t, prefix, key)
			})
		}
	})
}

func (m *matrix) all(t *testing.T, prefix string, key []string) {
	a := startAlphaWith(t, m.env, client.Options{}, t.TempDir(), key...)
	model := model{}
	for i := range 60 {
		a.store(t, model, bankRef, putRecord{fmt.Sprintf("k%02d", i), fmt.Appendf(nil, `"first %d"`, i)})
	}
	a.load(t, model, ballastRef, ballast(300))
	for i, uri := range m.uris {
		if made := a.backup(t, fmt.Sprintf(uri, prefix), false); made.BackupNum != 1 {
			t.Errorf("%s: the first backup is number %d", m.names[i], made.BackupNum)
		}
	}
	full := model.clone()
	a.remove(t, model, bankRef, model.someKeys(bankRef, 20)...)
	a.remove(t, model, ballastRef, model.someKeys(ballastRef, 50)...)
	a.store(t, model, bankRef, putRecord{"k50", json.RawMessage(`"second"`)}, putRecord{"new", json.RawMessage(`{"a":[1,2]}`)})
	for i, uri := range m.uris {
		if made := a.backup(t, fmt.Sprintf(uri, prefix), false); made.BackupNum != 2 {
			t.Errorf("%s: the second backup is number %d", m.names[i], made.BackupNum)
		}
	}
	a.stop(t)
	for i := range m.uris {
		next := (i + 1) % len(m.uris)
		t.Run(m.names[i]+" to "+m.names[next], func(t *testing.T) {
			t.Parallel()
			began := time.Now()
			from, to := fmt.Sprintf(m.uris[i], prefix), fmt.Sprintf(m.uris[next], prefix+"-copy")
			id := m.listed(t, from)
			m.good(t, append([]string{"verify", "-l", from, "--level", "full"}, key...)...)
			var copied backup.Copied
			out := m.good(t, append([]string{"copy", "-l", from, "-d", to, "--output", "json"}, key...)...)
			if err := json.Unmarshal([]byte(out), &copied); err != nil {
				t.Fatal(err)
			}
			if s := copied.Series[0]; s.BackupsCopied != 2 || !s.Authenticated || !s.Complete {
				t.Errorf("copied: %+v", s)
			}
			if got := m.listed(t, to); got != id {
				t.Errorf("the copy is of series %s, not %s", got, id)
			}
			m.restored(t, to, 2, key, model)
			if i == 0 {
				m.restored(t, to, 1, key, full)
			}
			t.Logf("took %v", time.Since(began).Round(time.Millisecond))
		})
	}
}

// listed returns the id of the one series at a location, of two backups.
func (m *matrix) listed(t *testing.T, location string) string {
	t.Helper()
	var all []manifest.Manifest
	if err := json.Unmarshal([]byte(m.good(t, "lsbackup", "-l", location)), &all); err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].BackupID != all[1].BackupID || all[0].Type != manifest.Full || all[1].Type != manifest.Incremental {
		t.Fatalf("at %s there are %+v", location, all)
	}
	return all[0].BackupID
}

// restored restores a backup and compares what an alpha serves of it.
func (m *matrix) restored(t *testing.T, location string, num int, key []string, want model) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), fmt.Sprint("restored", num))
	m.good(t, append([]string{"restore", "-p", dir, "-l", location, "--force_zero=false", "--backup_num", fmt.Sprint(num)}, key...)...)
	a := startAlpha(t, filepath.Join(dir, "p1"), key...)
	a.check(t, want, "restored from "+location)
	a.stop(t)
}
