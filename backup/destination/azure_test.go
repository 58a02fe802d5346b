package destination_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/servers"
)

// startAzurite starts Azure's emulator with a container.
func startAzurite(t *testing.T) *servers.Azurite {
	t.Helper()
	server := servers.StartAzurite(t)
	client, err := container.NewClientFromConnectionString(server.ConnectionString(), "brock-test", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Create(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	return server
}

func TestAzureConformance(t *testing.T) {
	server := startAzurite(t)
	t.Setenv("AZURE_STORAGE_CONNECTION_STRING", server.ConnectionString())
	destinationtest.Run(t, below("azblob://brock-test"))
	t.Run("no container", func(t *testing.T) {
		testMissingBucket(t, "azblob://no-such-container/x", "there is no container no-such-container")
	})
}

func TestAzureCredentials(t *testing.T) {
	server := startAzurite(t)
	t.Setenv("AZURE_STORAGE_BLOB_ENDPOINT", server.Endpoint)
	open := func(c destination.Credentials) (destination.Destination, error) {
		return destination.Open(t.Context(), "azblob://brock-test/x", destination.Options{Credentials: c})
	}
	given := destination.Credentials{AccessKey: servers.AzuriteAccount, SecretKey: servers.AzuriteKey}
	d, err := open(given)
	if err != nil {
		t.Fatal(err)
	}
	content := bytes.Repeat([]byte("0123456789"), 1000)
	destinationtest.Put(t, d, "object", content)
	if got := destinationtest.Get(t, d, "object"); !bytes.Equal(got, content) {
		t.Error("other bytes came back")
	}
	t.Run("the environment's account", func(t *testing.T) {
		t.Setenv("AZURE_STORAGE_ACCOUNT", servers.AzuriteAccount)
		t.Setenv("AZURE_STORAGE_KEY", servers.AzuriteKey)
		d, err := open(destination.Credentials{})
		if err != nil {
			t.Fatal(err)
		}
		destinationtest.Get(t, d, "object")
	})
	t.Run("a wrong key", func(t *testing.T) {
		wrong := given
		wrong.SecretKey = "aHVudGVyMg=="
		wantAzureDenied(t, open, wrong, "the given key of account "+servers.AzuriteAccount, wrong.SecretKey)
	})
	t.Run("anonymous", func(t *testing.T) {
		wantAzureDenied(t, open, destination.Credentials{Anonymous: true}, "nobody (anonymous)", servers.AzuriteKey)
	})
	for name, c := range map[string]destination.Credentials{
		"a token":          {AccessKey: "a", SecretKey: "b", SessionToken: "c"},
		"half a key":       {AccessKey: "a"},
		"key no base64":    {AccessKey: "a", SecretKey: "no base64"},
		"anonymous and so": {AccessKey: "a", SecretKey: "b", Anonymous: true},
	} {
		if _, err := open(c); !fault.Is(err, fault.Usage) || strings.Contains(err.Error(), "no base64") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// wantAzureDenied checks that a refusal names who was refused what, and no secret.
func wantAzureDenied(t *testing.T, open func(destination.Credentials) (destination.Destination, error), c destination.Credentials, who, secret string) {
	t.Helper()
	d, err := open(c)
	if err != nil {
		t.Fatal(err)
	}
	_, err = d.Stat(t.Context(), "object")
	text := err.Error() + fault.HintOf(err)
	if !fault.Is(err, fault.Denied) || !strings.Contains(text, who) || !strings.Contains(text, "brock-test") || strings.Contains(text, secret) {
		t.Errorf("got %v (%v); %s", err, fault.KindOf(err), fault.HintOf(err))
	}
}

func TestAzureEnvironmentIsRefused(t *testing.T) {
	for _, test := range []struct{ connection, endpoint, want string }{
		{"", "", "no account of Azure is named"},
		{"AccountName=a", "", "incomplete"},
		{"AccountKey=aHVudGVyMg==", "", "incomplete"},
		{"", "ftp://host", "no plain URL"},
		{"", "https://host?sig=aHVudGVyMg==", "no plain URL"},
	} {
		t.Setenv("AZURE_STORAGE_ACCOUNT", "")
		t.Setenv("AZURE_STORAGE_CONNECTION_STRING", test.connection)
		t.Setenv("AZURE_STORAGE_BLOB_ENDPOINT", test.endpoint)
		_, err := destination.Open(t.Context(), "azblob://brock-test/x", destination.Options{})
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "aHVudGVyMg") {
			t.Errorf("%+v: %v", test, err)
		}
	}
}
