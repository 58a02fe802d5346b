package graph

import (
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"strings"

	"github.com/brockdb/brock/graph/graphiql"
)

// endpoint is a line of the page at "/".
type endpoint struct{ Method, Path, Text string }

var endpoints = []endpoint{
	{"GET POST", "/graphql", "GraphQL: collections and records; GraphiQL in a browser"},
	{"GET POST", "/admin", "GraphQL: backups and tasks; GraphiQL in a browser"},
	{"POST", "/load?namespace=&collection=", `records as lines of {"key":…,"value":…}, gzip too`},
	{"GET", "/dump?namespace=&collection=", "a collection as lines, at one snapshot"},
	{"GET", "/health", "whether this server is ready, and what is under way"},
	{"GET", "/state", "groups and members"},
	{"GET", "/metrics", "what Prometheus collects"},
	{"GET", "/probe/graphql", "whether GraphQL is served"},
}

//go:embed page.html
var pageHTML string

var pageTemplate = template.Must(template.New("page").Parse(pageHTML))

// root names the endpoints, with 404 for every path that is not one.
func (s *Server) root(w http.ResponseWriter, r *http.Request) {
	status := http.StatusOK
	if r.URL.Path != "/" {
		status = http.StatusNotFound
	}
	h := w.Header()
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	if wantsHTML(r) {
		h.Set("Content-Type", "text/html; charset=utf-8")
		w.WriteHeader(status)
		_ = pageTemplate.Execute(w, map[string]any{ // a client that went away needs no page
			"Version": s.options.Version, "Found": status == http.StatusOK, "Endpoints": endpoints,
		})
		return
	}
	h.Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	var text strings.Builder
	if status == http.StatusNotFound {
		text.WriteString("not found; there are:\n")
	} else {
		fmt.Fprintf(&text, "brock alpha %s\n", s.options.Version)
	}
	for _, e := range endpoints {
		fmt.Fprintf(&text, "%-9s %-29s %s\n", e.Method, e.Path, e.Text)
	}
	_, _ = w.Write([]byte(text.String()))
}

// The operations that GraphiQL opens with.
var (
	adminExamples = []graphiql.Example{
		{Query: `# Queue a backup. The first one at a destination is full, the next ones are incremental.
mutation Backup {
  backup(input: {destination: "/tmp/brock-backups", forceFull: false}) {
    response { message code }
    taskId
  }
}
`},
		{Query: `# Load a collection of a backup into this database, under another name. With overwrite: true it
# replaces one that exists; until: "2026-11-20T10:00:00Z" takes the newest backup of that time.
mutation Restore {
  restore(input: {
    location: "/tmp/brock-backups"
    include: ["cities"]
    rename: [{from: "cities", to: "cities_then"}]
  }) {
    code
    message
    taskId
  }
}
`},
		{Query: `# What became of the tasks.
query Tasks {
  tasks {
    id kind status phase lastUpdated
    progress { records storedBytes fraction bytesPerSecond etaSeconds }
    requestedBy result
    message hint
  }
}
`},
		{Query: `# The backups at a location, the newest series last.
query ListBackups {
  listBackups(input: {location: "/tmp/brock-backups"}) {
    backupId backupNum type path since readTs encrypted
    createdAt records storedBytes
    groups { groupId predicates }
  }
}
`},
	}
	dataExamples = []graphiql.Example{
		{Query: `# Store records. The collection is created if missing.
mutation Put {
  put(input: {
    collection: "cities"
    records: [
      {key: "Berlin", value: {country: "DE", people: 3677472}}
      {key: "Nairobi", value: {country: "KE", people: 4397073}}
      {value: "a record without a key gets a uid"}
    ]
  }) {
    commitTs
    keys
  }
}
`},
		{Query: `# A page of records in the order of their keys; give next as after for the page after it.
query Records {
  records(collection: "cities", first: 10) {
    records { key value version }
    next
  }
}
`},
		{Query: `query Collections {
  collections(namespace: "*") { namespace name id createdTs count }
}
`},
		{Query: `mutation Remove {
  remove(input: {collection: "cities", keys: ["Nairobi"]}) { commitTs }
}
`},
		{Query: `mutation CreateCollection {
  createCollection(input: {collection: "rivers", schema: {type: "object"}}) { commitTs }
}
`},
		{Query: `mutation DropCollection {
  dropCollection(input: {collection: "rivers"}) { commitTs }
}
`},
	}
)
