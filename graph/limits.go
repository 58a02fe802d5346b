package graph

import (
	"cmp"
	"time"
)

// Limits bound what clients may take of a server, all together. A zero field
// means its default.
type Limits struct {
	RequestsBytes int64 // of memory for the bodies of all requests; 256 MiB
	Connections   int   // at a time; 1,024

	HeaderTimeout time.Duration // for a request's header; 10 s
	IdleTimeout   time.Duration // of a connection between two requests; 2 min
	// ClientTimeout is how long a client may neither send nor take anything in
	// the middle of a request; 2 min.
	ClientTimeout time.Duration
	// BodyGrace is how long the body of a GraphQL request may take; each KiB of
	// it gives a second more, but never more than this ahead; 30 s. For /load it is
	// ClientTimeout, and 16 bytes give a second.
	BodyGrace time.Duration

	QueryDepth      int // of fields in fields; 20
	QueryComplexity int // fields of the answer, each list counted as ten; 100,000
	NoIntrospection bool
}

const maxHeaderBytes = 64 << 10

func (l *Limits) setDefaults() {
	l.RequestsBytes = cmp.Or(l.RequestsBytes, 256<<20)
	l.Connections = cmp.Or(l.Connections, 1024)
	l.HeaderTimeout = cmp.Or(l.HeaderTimeout, 10*time.Second)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, 2*time.Minute)
	l.ClientTimeout = cmp.Or(l.ClientTimeout, 2*time.Minute)
	l.BodyGrace = cmp.Or(l.BodyGrace, 30*time.Second)
	l.QueryDepth = cmp.Or(l.QueryDepth, 20)
	l.QueryComplexity = cmp.Or(l.QueryComplexity, 100_000)
}
