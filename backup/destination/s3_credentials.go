package destination

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"

	"github.com/brockdb/brock/backup/fault"
)

// identity is who speaks to a server of S3: the one resolver of credentials, for
// reads and writes alike. In order:
//
//  1. the credentials of the request, or none when it is to be anonymous;
//  2. for minio://, MINIO_ACCESS_KEY and MINIO_SECRET_KEY, then MINIO_ROOT_USER
//     and MINIO_ROOT_PASSWORD;
//  3. AWS_ACCESS_KEY_ID or AWS_ACCESS_KEY, AWS_SECRET_ACCESS_KEY or
//     AWS_SECRET_KEY, AWS_SESSION_TOKEN;
//  4. the shared config and credentials files of AWS, by AWS_PROFILE;
//  5. web identity, container, and, for s3:// only, the role of the machine.
type identity struct {
	credentials *credentials.Credentials
	name        atomic.Pointer[string] // for people, once it is known
}

// String names who it is, by a shortened access key.
func (i *identity) String() string {
	if name := i.name.Load(); name != nil {
		return *name
	}
	return "the credentials of the environment"
}

func (i *identity) set(format string, args ...any) {
	name := fmt.Sprintf(format, args...)
	i.name.Store(&name)
}

func newIdentity(l Location, o Options) (*identity, error) {
	given := o.Credentials
	if err := given.check(); err != nil {
		return nil, err
	}
	i := new(identity)
	switch {
	case given.Anonymous:
		i.set("nobody (anonymous)")
		i.credentials = credentials.NewStatic("", "", "", credentials.SignatureAnonymous)
		return i, nil
	case given.AccessKey != "":
		i.set("access key %s", shortKey(given.AccessKey))
		i.credentials = credentials.NewStaticV4(given.AccessKey, given.SecretKey, given.SessionToken)
		return i, nil
	}
	found, err := fromEnvironment(l.Scheme)
	if err != nil {
		return nil, err
	}
	if found.AccessKey != "" {
		i.set("access key %s of the environment", shortKey(found.AccessKey))
		i.credentials = credentials.NewStaticV4(found.AccessKey, found.SecretKey, found.SessionToken)
		return i, nil
	}
	i.credentials = credentials.New(&chain{identity: i, machine: l.Scheme == S3})
	return i, nil
}

// variables are the environment variables of one set of credentials, with other
// spellings behind the first.
type variables struct{ access, secret, token []string }

var (
	minioVariables = []variables{
		{[]string{"MINIO_ACCESS_KEY"}, []string{"MINIO_SECRET_KEY"}, []string{"MINIO_SESSION_TOKEN"}},
		{[]string{"MINIO_ROOT_USER"}, []string{"MINIO_ROOT_PASSWORD"}, nil},
	}
	awsVariables = variables{
		[]string{"AWS_ACCESS_KEY_ID", "AWS_ACCESS_KEY"}, []string{"AWS_SECRET_ACCESS_KEY", "AWS_SECRET_KEY"}, []string{"AWS_SESSION_TOKEN"},
	}
)

// fromEnvironment returns the first set of credentials of which a variable is
// set. One that is only half set is an error that names what is missing.
func fromEnvironment(scheme Scheme) (Credentials, error) {
	sets := []variables{awsVariables}
	if scheme == MinIO {
		sets = append(minioVariables[:len(minioVariables):len(minioVariables)], awsVariables)
	}
	for _, set := range sets {
		c := Credentials{AccessKey: firstSet(set.access), SecretKey: firstSet(set.secret)}
		missing := ""
		switch {
		case c.AccessKey == "" && c.SecretKey == "":
			continue
		case c.AccessKey == "":
			missing = strings.Join(set.access, " or ")
		case c.SecretKey == "":
			missing = strings.Join(set.secret, " or ")
		}
		if missing != "" {
			return Credentials{}, fault.New(fault.Usage, "use the credentials of the environment", "%s is missing", missing).
				WithHint("set it, or unset the others")
		}
		c.SessionToken = firstSet(set.token)
		return c, nil
	}
	return Credentials{}, nil
}

func firstSet(names []string) string {
	for _, name := range names {
		if value := os.Getenv(name); value != "" {
			return value
		}
	}
	return ""
}

// shortKey shows as much of an access key as tells it from others.
func shortKey(key string) string {
	const shown = 4
	if len(key) < 3*shown {
		return key[:min(len(key), 2)] + "…"
	}
	return key[:shown] + "…" + key[len(key)-shown:]
}

// chain asks the sources of credentials that are not in the environment itself,
// when the first request needs them and again when they expire. Unlike that of
// minio-go it never ends in anonymous requests.
type chain struct {
	credentials.Expiry
	identity *identity
	machine  bool // whether the role of the machine may be meant

	last credentials.Provider // that answered
}

// credentialsTimeout bounds one request for credentials: outside of Amazon
// nobody answers at its address.
const credentialsTimeout = 5 * time.Second

// RetrieveWithCredContext implements credentials.Provider.
func (c *chain) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	client := &http.Client{Timeout: credentialsTimeout, Transport: &http.Transport{
		Proxy:       http.ProxyFromEnvironment,
		DialContext: (&net.Dialer{Timeout: credentialsTimeout / 5}).DialContext, DisableKeepAlives: true,
	}}
	type source struct {
		name     string
		provider credentials.Provider
	}
	sources := []source{{"the shared files of AWS", &credentials.FileAWSCredentials{}}}
	if c.machine && os.Getenv("AWS_EC2_METADATA_DISABLED") != "true" || hasRole() {
		sources = append(sources, source{"the role of this machine", &credentials.IAM{Client: client}})
	}
	var failed []error
	for _, from := range sources {
		value, err := from.provider.RetrieveWithCredContext(cc)
		if err == nil && value.AccessKeyID != "" && value.SecretAccessKey != "" {
			c.last = from.provider
			c.identity.set("access key %s of %s", shortKey(value.AccessKeyID), from.name)
			return value, nil
		}
		if err == nil {
			err = errors.New("none there")
		}
		failed = append(failed, fmt.Errorf("%s: %w", from.name, bareURL(err)))
	}
	return credentials.Value{}, &fault.Error{
		Kind: fault.Denied, Op: "find credentials", Err: errors.Join(failed...),
		Hint: "give accessKey and secretKey, set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or MINIO_ACCESS_KEY and " +
			"MINIO_SECRET_KEY for minio://), or ask to be anonymous",
	}
}

// hasRole reports whether the environment names a role that is not that of the
// machine: web identity or a container's.
func hasRole() bool {
	return firstSet([]string{
		"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI",
	}) != ""
}

// Retrieve implements credentials.Provider.
func (c *chain) Retrieve() (credentials.Value, error) { return c.RetrieveWithCredContext(nil) }

// IsExpired implements credentials.Provider.
func (c *chain) IsExpired() bool { return c.last == nil || c.last.IsExpired() }

// sendsInTheOpen reports whether requests leave this machine without encryption.
func (l Location) sendsInTheOpen() bool {
	if !l.hasHost() || l.Secure {
		return false
	}
	host := l.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	if ip := net.ParseIP(host); ip != nil {
		return !ip.IsLoopback()
	}
	return host != "localhost" && !strings.HasSuffix(host, ".localhost")
}
