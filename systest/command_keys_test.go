package systest

import (
	"os"
	"strings"
	"testing"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/systest/servers"
)

// TestKeysOfCommands drives an alpha that has no credentials for its bucket: the
// commands give it theirs, with each request.
func TestKeysOfCommands(t *testing.T) {
	t.Parallel()
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	store, err := minio.New(m.Address, &minio.Options{Creds: credentials.NewStaticV4(m.AccessKey, m.SecretKey, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := store.MakeBucket(t.Context(), "backups", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	location := "minio://" + m.Address + "/backups/db?secure=false"
	a := startAlpha(t, t.TempDir())
	a.store(t, model{}, bankRef, putRecord{"k", []byte(`"v"`)})

	// run runs a command with the secret key in its environment.
	run := func(args ...string) result {
		t.Helper()
		args = append(args, "--alpha", a.url, "--wait")
		p := start(t, environment("BROCK_SECRET_KEY="+m.SecretKey, "BROCK_FROM_SECRET_KEY="+m.SecretKey, "BROCK_TO_SECRET_KEY="+m.SecretKey), args...)
		code := p.exit()
		r := result{args, p.stdout.String(), p.stderr.String(), code}
		if strings.Contains(r.stdout+r.stderr, m.SecretKey) {
			t.Errorf("brock %q shows the secret key", args)
		}
		return r
	}
	r := brock(t, "backup", "-d", location, "--alpha", a.url, "--wait")
	if r.code == exitGood {
		t.Error("a backup without credentials succeeds")
	}
	run("backup", "-d", location, "--access_key", m.AccessKey, "--compression_level", "NoCompression", "--chunk_size_mb", "2", "--cpu_percentage", "80").expect(t, exitGood)
	run("admin", "verify", "-l", location, "--level", "full", "--access_key", m.AccessKey).expect(t, exitGood)
	run("admin", "restore", "-l", location, "--overwrite", "--access_key", m.AccessKey).expect(t, exitGood)
	run("admin", "prune", "-l", location, "--keep_last", "1", "--access_key", m.AccessKey).expect(t, exitGood)
	run("admin", "copy", "-l", location, "-d", "minio://"+m.Address+"/backups/copy?secure=false",
		"--from_access_key", m.AccessKey, "--to_access_key", m.AccessKey).expect(t, exitGood)
	run("backup", "-d", location, "--cpu_percentage", "90", "--access_key", m.AccessKey).expect(t, exitUsage, "cpuPercentage is 90")
	if _, set := os.LookupEnv("MINIO_ACCESS_KEY"); set {
		t.Error("the environment has credentials")
	}
	a.stop(t)

	// A directory is backed up with the same flags, by the command itself.
	p := start(t, environment("BROCK_SECRET_KEY="+m.SecretKey), "backup", "--dir", a.dir, "-d", "minio://"+m.Address+"/backups/dir?secure=false",
		"--access_key", m.AccessKey, "--compression_level", "BestSpeed", "--chunk_size_mb", "2")
	if code := p.exit(); code != exitGood {
		t.Errorf("brock backup --dir: %d\n%s", code, p.stderr.String())
	}
}
