package graph

import (
	"errors"
	"net/http"
	"strings"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/admin"
	"github.com/brockdb/brock/graph/data"
	"github.com/brockdb/brock/graph/gql"
	"github.com/brockdb/brock/graph/graphiql"
	"github.com/brockdb/brock/worker"
)

// service is what needs a node.
type service struct {
	node  *worker.Node
	admin http.Handler
	data  http.Handler
}

// Limits of the GraphQL endpoints. A token of a query costs some hundred bytes
// while it is parsed.
const (
	adminTokens   = 20_000
	dataTokens    = 500_000
	maxFields     = 1_000
	maxRootFields = 32
	cachedQueries = 500
)

func (s *Server) newService(node *worker.Node) *service {
	adminRoot := &admin.Resolver{Node: node, States: func() []*admin.NodeState { return s.states(node) }}
	if s.options.Users != nil {
		adminRoot.Users = s.options.Users
	}
	dataRoot := &data.Resolver{Node: node}
	adminLimits := s.queryLimits(s.options.AdminBodyBytes, adminTokens)
	dataLimits := s.queryLimits(s.options.DataBodyBytes, dataTokens)
	dataLimits.CachedQueries = cachedQueries
	return &service{
		node:  node,
		admin: gql.New(admin.NewExecutableSchema(admin.Config{Resolvers: adminRoot}), adminLimits, s.watch("/admin", s.allow)),
		data:  gql.New(data.NewExecutableSchema(data.Config{Resolvers: dataRoot}), dataLimits, s.watch("/graphql", s.allow)),
	}
}

func (s *Server) queryLimits(bodyBytes int64, tokens int) gql.Limits {
	return gql.Limits{
		BodyBytes: bodyBytes, Tokens: tokens, Fields: maxFields, RootFields: maxRootFields,
		Depth: s.options.Limits.QueryDepth, Complexity: s.options.Limits.QueryComplexity,
		NoIntrospection: s.options.Limits.NoIntrospection, Memory: s.memory,
	}
}

func (s *Server) newRoutes() http.Handler {
	mux := http.NewServeMux()
	adminPage := graphiql.Handler("brock /admin", "/admin", adminExamples...)
	dataPage := graphiql.Handler("brock /graphql", "/graphql", dataExamples...)

	mux.Handle("/admin", s.guarded(browserOr(adminPage, s.tokenRequired(
		s.identified(true, s.whenReady(func(v *service) http.Handler { return v.admin }))))))
	mux.Handle("/admin/backup", only(http.MethodPost, s.guarded(s.tokenRequired(s.identified(false, s.guardians(
		s.audited(s.whenReady(func(v *service) http.Handler { return s.backupForm(v.node) }))))))))
	mux.Handle("/graphql", browserOr(dataPage,
		s.identified(false, s.whenReady(func(v *service) http.Handler { return v.data }))))
	mux.Handle("/load", only(http.MethodPost, s.identified(false, s.guardians(
		s.audited(s.whenReady(func(v *service) http.Handler { return s.load(v.node) }))))))
	mux.Handle("/dump", only(http.MethodGet, s.identified(false,
		s.audited(s.whenReady(func(v *service) http.Handler { return s.dump(v.node) })))))
	mux.Handle("/health", only(http.MethodGet, http.HandlerFunc(s.health)))
	mux.Handle("/state", only(http.MethodGet, s.identified(false,
		s.whenReady(func(v *service) http.Handler { return s.state(v.node) }))))
	if s.options.Metrics != nil {
		mux.Handle("/metrics", only(http.MethodGet, s.guarded(s.scraped(s.options.Metrics.Handler()))))
	}
	mux.Handle("/probe/graphql", only(http.MethodGet, http.HandlerFunc(s.probe)))
	mux.Handle(graphiql.AssetsPath, graphiql.Assets())
	mux.HandleFunc("/", s.root)
	return slowClients(s.measured(s.perimeter(mux)), s.options.Limits.ClientTimeout, s.options.Limits.BodyGrace)
}

// guarded lets only those through that may use /admin.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := s.access.checkAddress(r); err != nil {
			s.deny(w, r, http.StatusForbidden, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// browserOr shows the page to a browser that navigates here, and next to all
// others.
func browserOr(page, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && wantsHTML(r) && !r.URL.Query().Has("query") {
			page.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func wantsHTML(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

// whenReady answers 503 while there is no node.
func (s *Server) whenReady(handler func(*service) http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		service := s.ready.Load()
		if service == nil {
			w.Header().Set("Retry-After", "1")
			refuse(w, http.StatusServiceUnavailable, errNotReady)
			return
		}
		handler(service).ServeHTTP(w, r)
	})
}

var errNotReady error = fault.New(fault.Other, "answer", "the alpha is still opening its store").
	WithHint("try again; /health tells when it is ready")

// only lets one method through; with GET, HEAD as well.
func only(method string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked := r.Method
		if asked == http.MethodHead {
			asked = http.MethodGet
		}
		if asked != method {
			w.Header().Set("Allow", method)
			refuse(w, http.StatusMethodNotAllowed,
				fault.New(fault.Usage, "answer", "the method of %s is %s", r.URL.Path, method))
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse answers in the form of a GraphQL error, which is the form of all
// errors that are not about a line of /load.
func refuse(w http.ResponseWriter, status int, err error) { gql.WriteError(w, status, err) }

// statusOf is the HTTP status for an error of /dump and /state, which have no
// other place for it.
func statusOf(err error) int {
	switch fault.KindOf(err) {
	case fault.Usage:
		return http.StatusBadRequest
	case fault.NotFound:
		return http.StatusNotFound
	case fault.Canceled:
		return http.StatusServiceUnavailable
	}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusInternalServerError
}
