package destination_test

import (
	"net/http"
	"path"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// startGCS starts Google's emulator with a bucket, and names it in the environment.
func startGCS(t *testing.T) {
	t.Helper()
	server := servers.StartGCS(t)
	res, err := http.Post("http://"+server.Address+"/storage/v1/b?project=brock", "application/json", strings.NewReader(`{"name": "brock-test"}`))
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("the bucket was not made: %s", res.Status)
	}
	t.Setenv("STORAGE_EMULATOR_HOST", server.Address)
}

// below returns what opens a destination of its own, for each test, below base.
func below(base string) func(t *testing.T) destination.Destination {
	return func(t *testing.T) destination.Destination {
		t.Helper()
		name := strings.NewReplacer(" ", "-", "/", "-").Replace(path.Base(t.Name()))
		d, err := destination.Open(t.Context(), base+"/"+name, destination.Options{PartBytes: 5 << 20, Retry: destination.Retry{Attempts: 3}})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
}

func TestGCSConformance(t *testing.T) {
	startGCS(t)
	destinationtest.Run(t, below("gs://brock-test"))
	t.Run("limits", func(t *testing.T) { testMissingBucket(t, "gs://no-such-bucket/x", "there is no bucket no-such-bucket") })
}

func testMissingBucket(t *testing.T, uri, want string) {
	d, err := destination.Open(t.Context(), uri, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	err = d.List(t.Context(), "", func(destination.Info) error { return nil })
	if !fault.Is(err, fault.NotFound) || !strings.Contains(err.Error(), want) {
		t.Errorf("list: %v", err)
	}
	w, err := d.Create(t.Context(), "a", destination.Exclusive)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(t.Context()); !fault.Is(err, fault.NotFound) {
		t.Errorf("commit: %v", err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

func TestGCSTakesNoKeys(t *testing.T) {
	_, err := destination.Open(t.Context(), "gs://brock-test/x", destination.Options{
		Credentials: destination.Credentials{AccessKey: "hunter2hunter2", SecretKey: "hunter2"}})
	if !fault.Is(err, fault.Usage) || !strings.Contains(fault.HintOf(err), "GOOGLE_APPLICATION_CREDENTIALS") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v; %s", err, fault.HintOf(err))
	}
}
