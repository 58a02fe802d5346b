package stores

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/systest/servers"
)

// bucket is the name of the one bucket or container that a test has.
const bucket = "brock-test"

// s3 is a running server of S3 with a bucket.
type s3 struct{ scheme, address, access, secret string }

func startMinIO(t testing.TB) s3 {
	t.Helper()
	m := servers.StartMinIO(t, servers.MinIOOptions{})
	return s3{"minio", m.Address, m.AccessKey, m.SecretKey}.withBucket(t)
}

func startVersity(t testing.TB) s3 {
	t.Helper()
	v := servers.StartVersity(t)
	return s3{"s3", v.Address, v.AccessKey, v.SecretKey}.withBucket(t)
}

func (s s3) withBucket(t testing.TB) s3 {
	t.Helper()
	client, err := minio.New(s.address, &minio.Options{Creds: credentials.NewStaticV4(s.access, s.secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.MakeBucket(t.Context(), bucket, minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	return s
}

// open opens the bucket through address, which may be that of a proxy.
func (s s3) open(t testing.TB, address, prefix string, o destination.Options) destination.Destination {
	t.Helper()
	o.Credentials = destination.Credentials{AccessKey: s.access, SecretKey: s.secret}
	d, err := destination.Open(t.Context(), s.scheme+"://"+address+"/"+bucket+"/"+prefix+"?secure=false", o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// opener opens a store at a prefix.
type opener func(t testing.TB, prefix string, o destination.Options) destination.Destination

// everyStore calls test with each kind of store, one after the other.
func everyStore(t *testing.T, test func(t *testing.T, open opener)) {
	for name, start := range map[string]func(t *testing.T) opener{
		"MinIO":     func(t *testing.T) opener { s := startMinIO(t); return s.opener() },
		"versitygw": func(t *testing.T) opener { s := startVersity(t); return s.opener() },
		"GCS": func(t *testing.T) opener {
			server := servers.StartGCS(t)
			makeGCSBucket(t, server)
			t.Setenv("STORAGE_EMULATOR_HOST", server.Address)
			return atURI("gs://" + bucket + "/")
		},
		"Azurite": func(t *testing.T) opener {
			server := servers.StartAzurite(t)
			makeContainer(t, server)
			t.Setenv("AZURE_STORAGE_CONNECTION_STRING", server.ConnectionString())
			return atURI("azblob://" + bucket + "/")
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, start(t)) })
	}
}

func makeGCSBucket(t *testing.T, server *servers.GCS) {
	t.Helper()
	res, err := http.Post("http://"+server.Address+"/storage/v1/b?project=brock", "application/json", strings.NewReader(`{"name": "`+bucket+`"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
}

func makeContainer(t *testing.T, server *servers.Azurite) {
	t.Helper()
	client, err := container.NewClientFromConnectionString(server.ConnectionString(), bucket, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
}

func (s s3) opener() opener { return s.at(s.address) }

// at opens the bucket through address.
func (s s3) at(address string) opener {
	return func(t testing.TB, prefix string, o destination.Options) destination.Destination {
		return s.open(t, address, prefix, o)
	}
}

func atURI(base string) opener {
	return func(t testing.TB, prefix string, o destination.Options) destination.Destination {
		t.Helper()
		d, err := destination.Open(t.Context(), base+prefix, o)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

// impatient retries often and soon.
var impatient = destination.Retry{Attempts: 20, MinDelay: 5 * time.Millisecond, MaxDelay: 100 * time.Millisecond}

// counter counts requests by what they do.
type counter struct {
	mu       sync.Mutex
	requests map[string]int
	calls    map[string]int
	retries  int
}

// Call implements destination.Observer.
func (c *counter) Call(call destination.Call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.calls == nil {
		c.calls = map[string]int{}
	}
	c.calls[call.Op]++
}

// Request implements destination.Observer.
func (c *counter) Request(r destination.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.requests == nil {
		c.requests = map[string]int{}
	}
	c.requests[r.Op]++
	if r.Retries > 0 {
		c.retries++
	}
}

// take returns what was counted since it was last asked.
func (c *counter) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.requests
	c.requests = nil
	return taken
}

// uploads returns the keys of the uploads that are not complete.
func (s s3) uploads(t testing.TB) (keys []string) {
	t.Helper()
	core, err := minio.NewCore(s.address, &minio.Options{Creds: credentials.NewStaticV4(s.access, s.secret, "")})
	if err != nil {
		t.Fatal(err)
	}
	found, err := core.ListMultipartUploads(t.Context(), bucket, "", "", "", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	for _, upload := range found.Uploads {
		keys = append(keys, upload.Key)
	}
	return keys
}

func (c *counter) takeCalls() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	taken := c.calls
	c.calls = nil
	return taken
}
