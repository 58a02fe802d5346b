package graph

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/fault"
)

// TLSFiles are the files, in PEM, of what a server shows its clients. The zero
// TLSFiles is a server without TLS.
type TLSFiles struct {
	Cert, Key string // of the server, with the certificates between it and its root
	// ClientCA, where set, are the roots of the certificates that clients must
	// have.
	ClientCA string
}

// on reports whether any is named.
func (f TLSFiles) on() bool { return f != TLSFiles{} }

// lookEvery is how often the files are looked at, at the most: when somebody
// connects. What renews certificates need not tell the alpha.
const lookEvery = time.Second

// certificates are read again when their files change. New ones that cannot be
// used are logged, and the old ones stay.
type certificates struct {
	files TLSFiles
	now   func() time.Time

	mu     sync.Mutex
	looked time.Time
	seen   [3]stamp // of the files when they were read, good or not
	config *tls.Config
}

// stamp tells one content of a file from the next.
type stamp struct {
	info os.FileInfo
}

func (s stamp) same(t stamp) bool {
	if s.info == nil || t.info == nil {
		return s.info == nil && t.info == nil
	}
	return os.SameFile(s.info, t.info) && s.info.Size() == t.info.Size() && s.info.ModTime().Equal(t.info.ModTime())
}

// newCertificates reads the files. What is missing or wrong is an error of kind
// Usage.
func newCertificates(files TLSFiles) (*certificates, error) {
	if files.Cert == "" || files.Key == "" {
		return nil, fault.New(fault.Usage, "serve TLS", "it needs a certificate and its key").
			WithHint("give both --tls_cert and --tls_key")
	}
	c := &certificates{files: files, now: time.Now}
	c.seen = c.stamps()
	config, err := files.read()
	if err != nil {
		return nil, err
	}
	c.looked, c.config = c.now(), config
	return c, nil
}

// server is the configuration of a listener.
func (c *certificates) server() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		NextProtos: []string{"http/1.1"}, // whose connections, timeouts and limits are what the server counts
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) {
			return c.current(), nil
		},
	}
}

func (c *certificates) current() *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.looked) < lookEvery {
		return c.config
	}
	c.looked = now
	seen := c.stamps()
	if seen[0].same(c.seen[0]) && seen[1].same(c.seen[1]) && seen[2].same(c.seen[2]) {
		return c.config
	}
	c.seen = seen
	config, err := c.files.read()
	if err != nil {
		glog.Errorf("%v; the certificates of before stay in use", err)
		return c.config
	}
	glog.Infof("read the TLS certificates again: %s has changed, or what belongs to it", c.files.Cert)
	c.config = config
	return config
}

func (c *certificates) stamps() (s [3]stamp) {
	for i, name := range []string{c.files.Cert, c.files.Key, c.files.ClientCA} {
		if info, err := os.Stat(name); name != "" && err == nil {
			s[i] = stamp{info}
		}
	}
	return s
}

// read makes a configuration of the files. Errors hold names, never contents.
func (f TLSFiles) read() (*tls.Config, error) {
	wrong := func(file string, err error) error {
		var path *os.PathError
		if errors.As(err, &path) {
			err = path.Err
		}
		return fault.New(fault.Usage, "use TLS file "+file, "%w", err)
	}
	cert, err := os.ReadFile(f.Cert)
	if err != nil {
		return nil, wrong(f.Cert, err)
	}
	key, err := os.ReadFile(f.Key)
	if err != nil {
		return nil, wrong(f.Key, err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, wrong(f.Cert+" with "+f.Key, err)
	}
	config := &tls.Config{
		MinVersion: tls.VersionTLS12, NextProtos: []string{"http/1.1"}, Certificates: []tls.Certificate{pair},
	}
	if f.ClientCA == "" {
		return config, nil
	}
	roots, err := os.ReadFile(f.ClientCA)
	if err != nil {
		return nil, wrong(f.ClientCA, err)
	}
	config.ClientCAs, config.ClientAuth = x509.NewCertPool(), tls.RequireAndVerifyClientCert
	if !config.ClientCAs.AppendCertsFromPEM(roots) {
		return nil, wrong(f.ClientCA, errors.New("it holds no certificate"))
	}
	return config, nil
}
