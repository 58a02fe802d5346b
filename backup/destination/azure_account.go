package destination

import (
	"net"
	"net/url"
	"os"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"

	"github.com/brockdb/brock/backup/fault"
)

// azureAccount is an account of Azure and who speaks to it: the one resolver of
// credentials, for reads and writes alike. In order:
//
//  1. the credentials of the request: accessKey is the account's name, secretKey
//     its key; or nobody, when it is to be anonymous;
//  2. AZURE_STORAGE_CONNECTION_STRING;
//  3. AZURE_STORAGE_ACCOUNT and AZURE_STORAGE_KEY;
//  4. AZURE_STORAGE_ACCOUNT and an identity: a service principal
//     (AZURE_CLIENT_ID…), workload identity, managed identity, the az command.
//
// Where the account is served, AZURE_STORAGE_BLOB_ENDPOINT says, then the
// connection string; else it is at blob.core.windows.net.
type azureAccount struct {
	name, key string
	signature string // shared access signature of a connection string
	endpoint  string // URL, without a slash at its end
	identity  bool
	who       string // for people
}

const azureHint = "give accessKey (the account's name) and secretKey (its key), set AZURE_STORAGE_CONNECTION_STRING, " +
	"or AZURE_STORAGE_ACCOUNT with AZURE_STORAGE_KEY or a managed identity"

// findAzureAccount resolves the credentials of a request.
func findAzureAccount(c Credentials) (azureAccount, error) {
	a, err := azureFromString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"))
	if err != nil {
		return a, err
	}
	given := func(cause string) error {
		return fault.New(fault.Usage, "use the given credentials", "%s", cause).WithHint("%s", azureHint)
	}
	switch {
	case c.SessionToken != "":
		return a, given("Azure has no session tokens")
	case (c.AccessKey == "") != (c.SecretKey == ""):
		return a, given("one of accessKey and secretKey is missing")
	case c.Anonymous && c.AccessKey != "":
		return a, given("anonymous is set, and keys are given as well")
	case c.AccessKey != "":
		if a.name != c.AccessKey {
			a.endpoint = "" // the connection string is about another account
		}
		a.name, a.key, a.signature, a.who = c.AccessKey, c.SecretKey, "", "the given key of account "+c.AccessKey
	case a.name == "" && a.endpoint == "":
		a.name, a.key = os.Getenv("AZURE_STORAGE_ACCOUNT"), os.Getenv("AZURE_STORAGE_KEY")
		a.who = "the key of account " + a.name
		if a.identity = a.key == ""; a.identity {
			a.who = "the identity of this machine"
		}
	}
	if c.Anonymous {
		a.key, a.signature, a.identity, a.who = "", "", false, "nobody (anonymous)"
	}
	if endpoint := os.Getenv("AZURE_STORAGE_BLOB_ENDPOINT"); endpoint != "" {
		a.endpoint = endpoint
	}
	if a.endpoint == "" && a.name != "" {
		a.endpoint = "https://" + a.name + ".blob.core.windows.net"
	}
	return a, a.check()
}

func (a *azureAccount) check() error {
	a.endpoint = strings.TrimSuffix(a.endpoint, "/")
	if a.endpoint == "" {
		return fault.New(fault.Usage, opOpen, "no account of Azure is named").WithHint("%s", azureHint)
	}
	u, err := url.Parse(a.endpoint)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.RawQuery != "" || u.User != nil {
		return fault.New(fault.Usage, opOpen, "the blob endpoint of Azure is no plain URL").
			WithHint("set AZURE_STORAGE_BLOB_ENDPOINT to one such as https://account.blob.core.windows.net")
	}
	return nil
}

// azureFromString reads a connection string; "" is none. Source:
// learn.microsoft.com, "Configure Azure Storage connection strings".
func azureFromString(text string) (azureAccount, error) {
	a := azureAccount{who: "the connection string of the environment"}
	if text == "" {
		return a, nil
	}
	scheme, suffix := "https", "core.windows.net"
	for field := range strings.SplitSeq(text, ";") {
		key, value, _ := strings.Cut(strings.TrimSpace(field), "=")
		switch key {
		case "AccountName":
			a.name = value
		case "AccountKey":
			a.key = value
		case "SharedAccessSignature":
			a.signature = strings.TrimPrefix(value, "?")
		case "BlobEndpoint":
			a.endpoint = value
		case "DefaultEndpointsProtocol":
			scheme = value
		case "EndpointSuffix":
			suffix = value
		}
	}
	if a.endpoint == "" && a.name != "" {
		a.endpoint = scheme + "://" + a.name + ".blob." + suffix
	}
	if a.endpoint == "" || a.key == "" && a.signature == "" {
		return a, fault.New(fault.Usage, opOpen, "AZURE_STORAGE_CONNECTION_STRING is incomplete: it has no account, or neither key nor signature").
			WithHint("copy it from the access keys of the account")
	}
	return a, nil
}

// open returns a client of one container. It sends nothing.
func (a *azureAccount) open(name string, o *container.ClientOptions) (*container.Client, error) {
	address := a.endpoint + "/" + name
	switch {
	case a.key != "":
		key, err := container.NewSharedKeyCredential(a.name, a.key)
		if err != nil {
			return nil, errKeyNotBase64
		}
		return container.NewClientWithSharedKeyCredential(address, key, o)
	case a.signature != "":
		return container.NewClientWithNoCredential(address+"?"+a.signature, o)
	case a.identity:
		identity, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{
			ClientOptions: azcore.ClientOptions{Transport: o.Transport},
		})
		if err != nil {
			return nil, err
		}
		return container.NewClient(address, identity, o)
	}
	return container.NewClientWithNoCredential(address, o)
}

var errKeyNotBase64 = fault.New(fault.Usage, "read the account's key", "it is not base64") // whose error would repeat it

// sendsInTheOpen reports whether requests leave this machine without encryption.
func (a *azureAccount) sendsInTheOpen() bool {
	u, err := url.Parse(a.endpoint)
	if err != nil || u.Scheme == "https" {
		return false
	}
	if ip := net.ParseIP(u.Hostname()); ip != nil {
		return !ip.IsLoopback()
	}
	return u.Hostname() != "localhost"
}
