// Package gql is GraphQL over HTTP as brock speaks it. It stands in for the
// transports of gqlgen, which repeat a request's body in their errors (it may
// hold credentials), turn JSON numbers into floats and have no limits.
package gql

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"net/http"

	"github.com/99designs/gqlgen/graphql"
	"github.com/99designs/gqlgen/graphql/executor"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/budget"
)

// Limits bound what one request may ask for. The first four must be set.
type Limits struct {
	BodyBytes  int64 // of the request
	Tokens     int   // of the query: what parsing may cost
	Fields     int   // of the query, in all selections: what validating may cost
	RootFields int   // of the operation: what it may ask to be done
	// CachedQueries is how many short queries are kept parsed; 0 keeps none,
	// for an endpoint whose queries hold credentials.
	CachedQueries int

	// Depth is how far fields may be nested, fragments spread; 0 means without a
	// limit.
	Depth int
	// Complexity is how many fields the answer may have, each list counted as
	// ten; 0 means without a limit.
	Complexity int
	// NoIntrospection hides the schema.
	NoIntrospection bool
	// Memory is what the bodies of all requests may take together; nil means
	// without a limit.
	Memory *budget.Budget
}

// Endpoint serves one schema: POST of application/json and application/graphql,
// and GET of queries with ?query=. Whatever the operation comes to is answered
// with status 200, as Dgraph does; a request that holds no operation is answered
// with a status of 4xx, and a body of the same form.
type Endpoint struct {
	schema *ast.Schema
	exec   *executor.Executor
	limits Limits
	watch  Watch
	parsed documents
}

// New returns an endpoint for a schema that gqlgen made executable.
func New(es graphql.ExecutableSchema, limits Limits, watch Watch) *Endpoint {
	exec := executor.New(es)
	exec.SetErrorPresenter(present)
	exec.SetRecoverFunc(recovered)
	return &Endpoint{
		schema: es.Schema(),
		exec:   exec,
		limits: limits,
		watch:  watch,
		parsed: documents{most: limits.CachedQueries},
	}
}

// ServeHTTP answers one request.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	memory := e.limits.Memory.Open()
	defer memory.Close()
	req, refused := e.read(w, r, memory)
	if refused != nil {
		if refused.allow != "" {
			w.Header().Set("Allow", refused.allow)
		}
		WriteError(w, refused.status, refused.err)
		return
	}
	op, err := e.operation(req)
	if err != nil {
		write(w, http.StatusOK, &graphql.Response{Errors: presentAll(ctx, err)})
		return
	}
	if r.Method == http.MethodGet && op.Operation.Operation != ast.Query {
		w.Header().Set("Allow", http.MethodPost)
		WriteError(w, http.StatusMethodNotAllowed,
			fault.New(fault.Usage, "run operation", "a GET request may only query").WithHint("send it with POST"))
		return
	}
	seen := e.seen(op)
	if status, err := e.allowed(ctx, seen); err != nil {
		list := presentAll(ctx, err)
		e.ended(ctx, seen, true, list)
		write(w, cmp.Or(status, http.StatusOK), &graphql.Response{Errors: list})
		return
	}
	response := e.run(ctx, op)
	e.ended(ctx, seen, false, response.Errors)
	write(w, http.StatusOK, response)
}

// run executes an operation. A panic outside of the resolvers, which gqlgen
// guards, ends here.
func (e *Endpoint) run(ctx context.Context, op *graphql.OperationContext) (response *graphql.Response) {
	defer func() {
		if p := recover(); p != nil {
			response = &graphql.Response{Errors: gqlerror.List{present(ctx, recovered(ctx, p))}}
		}
	}()
	ctx = graphql.WithOperationContext(ctx, op)
	responses, ctx := e.exec.DispatchOperation(ctx, op)
	return responses(ctx)
}

// WriteError answers with an HTTP status and a GraphQL body that says why.
func WriteError(w http.ResponseWriter, status int, err error) {
	write(w, status, &graphql.Response{Errors: gqlerror.List{present(context.Background(), err)}})
}

// write sends a response as compact JSON. Data goes out as the resolvers made
// it: encoding/json would escape "<" in it.
func write(w http.ResponseWriter, status int, response *graphql.Response) {
	body := []byte{'{'}
	if len(response.Errors) > 0 {
		body = append(body, `"errors":`...)
		body = appendErrors(body, response.Errors)
	}
	if response.Data != nil {
		if len(body) > 1 {
			body = append(body, ',')
		}
		body = append(body, `"data":`...)
		body = append(body, response.Data...)
	}
	body = append(body, '}')
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that went away needs no answer
}

// appendErrors writes errors without the escapes that are for HTML.
func appendErrors(dst []byte, errors gqlerror.List) []byte {
	var buf bytes.Buffer
	encoder := json.NewEncoder(&buf)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(errors); err != nil { // an extension that is no JSON: there is none
		return append(dst, `[{"message":"cannot encode the reason"}]`...)
	}
	return append(dst, bytes.TrimSuffix(buf.Bytes(), []byte("\n"))...)
}
