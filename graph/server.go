// Package graph is the HTTP server of a node: GraphQL at /admin and /graphql,
// bulk transfer at /load and /dump, and what monitors look at.
package graph

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync/atomic"

	"github.com/golang/glog"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/audit"
	"github.com/brockdb/brock/graph/budget"
	"github.com/brockdb/brock/graph/login"
	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/metrics"
)

// Options of a Server. The zero value is good for a server on the loopback
// address.
type Options struct {
	Version string // of brock, for /health
	Address string // told by /health; "" means what Serve listens at

	// Whitelist adds to the loopback addresses, which may always use /admin:
	// IP addresses, ranges "from:to" or "from-to", CIDRs and host names.
	Whitelist []string
	// AuthToken, where set, must stand in the header X-Dgraph-AuthToken of
	// every request to /admin.
	AuthToken string
	// CORSOrigins are the origins of pages of other sites that may send requests.
	CORSOrigins []string
	TLS         TLSFiles
	Limits      Limits
	// Users, where set, are those who may use anything but /health.
	Users *login.Users
	// Audit is told what was done and what was refused; nil for none.
	Audit *audit.Log
	// Metrics, where set, are shown at /metrics, and counted into.
	Metrics *metrics.Metrics

	AdminBodyBytes int64 // of a request to /admin; 0 means 1 MiB
	DataBodyBytes  int64 // of a request to /graphql; 0 means 64 MiB
	LoadLineBytes  int   // of a line sent to /load; 0 means 32 MiB
}

// Server serves one node over HTTP. Until Ready it answers 503.
type Server struct {
	options Options
	access  *access
	certs   *certificates // nil without TLS
	memory  *budget.Budget
	conns   *connections
	basic   basicLogins
	http    *http.Server
	routes  http.Handler
	ready   atomic.Pointer[service]
	ending  atomic.Bool
	address atomic.Pointer[string]

	batchRecords int // of /load; tests have small ones
}

// New returns a server that does not serve yet. A malformed whitelist or
// origin, or a TLS file that cannot be used, is an error of kind Usage.
func New(o Options) (*Server, error) {
	if o.AdminBodyBytes == 0 {
		o.AdminBodyBytes = 1 << 20
	}
	if o.DataBodyBytes == 0 {
		o.DataBodyBytes = 64 << 20
	}
	if o.LoadLineBytes == 0 {
		o.LoadLineBytes = 32 << 20
	}
	o.Limits.setDefaults()
	access, err := newAccess(o.Whitelist, o.CORSOrigins, o.AuthToken)
	if err != nil {
		return nil, err
	}
	o.AuthToken = "" // access keeps its hash
	s := &Server{options: o, access: access, batchRecords: batchRecords,
		memory: budget.New(o.Limits.RequestsBytes), conns: newConnections(o.Limits.Connections)}
	if o.TLS.on() {
		if s.certs, err = newCertificates(o.TLS); err != nil {
			return nil, err
		}
	}
	s.registerMetrics()
	s.routes = s.newRoutes()
	s.http = &http.Server{
		Handler:           s.routes,
		ReadHeaderTimeout: o.Limits.HeaderTimeout,
		IdleTimeout:       o.Limits.IdleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          newErrorLog(),
		ConnState:         s.conns.changed,
	}
	return s, nil
}

// Ready makes the server answer for a node.
func (s *Server) Ready(node *worker.Node) { s.ready.Store(s.newService(node)) }

// ServeHTTP answers one request, for servers of other programs.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.routes.ServeHTTP(w, r) }

// Serve answers at l until Shutdown, and then returns nil.
func (s *Server) Serve(l net.Listener) error {
	address := s.options.Address
	if address == "" {
		address = l.Addr().String()
	}
	s.address.Store(&address)
	l = s.conns.limit(l)
	if s.certs != nil {
		l = tls.NewListener(l, s.certs.server())
	}
	if err := s.http.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fault.Wrap(err, "serve HTTP at %s", address)
	}
	return nil
}

// Shutdown takes no more connections and waits for the requests under way;
// when ctx ends first they are cut off. The node may be closed when it has
// returned.
func (s *Server) Shutdown(ctx context.Context) error {
	s.ending.Store(true)
	err := s.http.Shutdown(ctx)
	if err == nil {
		return nil
	}
	glog.Warningf("requests under way are cut off: %v", err)
	return fault.Wrap(s.http.Close(), "close HTTP server")
}
