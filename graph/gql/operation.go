package gql

import (
	"context"
	"sync"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/brockdb/brock/backup/fault"
)

// operation parses, validates and bounds a request, and returns what executes it.
func (e *Endpoint) operation(req *request) (*graphql.OperationContext, error) {
	doc, err := e.document(req.query)
	if err != nil {
		return nil, err
	}
	op := doc.Operations.ForName(req.operation)
	switch {
	case op == nil && req.operation == "":
		return nil, fault.New(fault.Usage, opRun, "it holds %d operations and operationName says none", len(doc.Operations)).
			WithHint("set operationName")
	case op == nil:
		return nil, fault.New(fault.Usage, opRun, "it holds no operation of the name that operationName says")
	}
	variables, err := e.variables(op, req.variables)
	if err != nil {
		return nil, err
	}
	if err := hoistLiterals(doc, variables); err != nil {
		return nil, err
	}
	opCtx := &graphql.OperationContext{
		RawQuery:      req.query,
		OperationName: req.operation,
		Variables:     variables,
		Doc:           doc,
		Operation:     op,
		RecoverFunc:   recovered,
		ResolverMiddleware: func(ctx context.Context, next graphql.Resolver) (any, error) {
			return next(ctx)
		},
		RootResolverMiddleware: func(ctx context.Context, next graphql.RootResolver) graphql.Marshaler {
			return next(ctx)
		},
	}
	root := e.schema.Query
	if op.Operation == ast.Mutation {
		root = e.schema.Mutation
	}
	fields := graphql.CollectFields(opCtx, op.SelectionSet, []string{root.Name})
	if n := len(fields); n > e.limits.RootFields {
		return nil, fault.New(fault.Usage, opRun, "it asks for %d things at once; the limit is %d", n, e.limits.RootFields)
	}
	for _, f := range fields {
		if e.limits.NoIntrospection && introspects(f.Name) {
			return nil, fault.New(fault.Denied, opRun, "this alpha does not tell its schema").
				WithHint("start it with --introspection")
		}
	}
	return opCtx, nil
}

const opRun = "run request"

// document parses and validates a query. One that holds JSON literals is the
// caller's own, the others may be shared.
func (e *Endpoint) document(query string) (*ast.QueryDocument, error) {
	if doc := e.parsed.get(query); doc != nil {
		return doc, nil
	}
	doc, err := parser.ParseQueryWithTokenLimit(&ast.Source{Input: query}, e.limits.Tokens)
	if err != nil {
		return nil, syntaxError(err)
	}
	if len(doc.Operations) == 0 {
		return nil, fault.New(fault.Usage, opRun, "it holds no operation")
	}
	// Before validating, whose cost grows with the square of the fields.
	if n, deferred := count(doc); n > e.limits.Fields {
		return nil, fault.New(fault.Usage, opRun, "it has %d fields; the limit is %d", n, e.limits.Fields)
	} else if deferred {
		return nil, fault.New(fault.Usage, opRun, "@defer is not supported: an answer is one piece")
	}
	restore := setAside(e.schema, doc)
	list := validator.ValidateWithRules(e.schema, doc, nil)
	restore()
	if len(list) > 0 {
		return nil, e.validationErrors(list)
	}
	if err := e.checkCost(doc); err != nil {
		return nil, err
	}
	if !hasLiterals(doc) {
		e.parsed.put(query, doc)
	}
	return doc, nil
}

// count returns the number of selections in a document and whether one of them
// is deferred.
func count(doc *ast.QueryDocument) (n int, deferred bool) {
	var walk func(ast.SelectionSet)
	walk = func(set ast.SelectionSet) {
		for _, selection := range set {
			n++
			switch s := selection.(type) {
			case *ast.Field:
				walk(s.SelectionSet)
			case *ast.InlineFragment:
				deferred = deferred || s.Directives.ForName("defer") != nil
				walk(s.SelectionSet)
			case *ast.FragmentSpread:
				deferred = deferred || s.Directives.ForName("defer") != nil
			}
		}
	}
	for _, op := range doc.Operations {
		walk(op.SelectionSet)
	}
	for _, fragment := range doc.Fragments {
		walk(fragment.SelectionSet)
	}
	return n, deferred
}

// documents keeps short queries parsed and validated. When it is full it starts
// anew: clients have few queries and put what varies into variables.
type documents struct {
	most  int
	mu    sync.Mutex
	byTxt map[string]*ast.QueryDocument
}

const longestCached = 4 << 10 // bytes

func (d *documents) get(query string) *ast.QueryDocument {
	if d.most == 0 || len(query) > longestCached {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.byTxt[query]
}

func (d *documents) put(query string, doc *ast.QueryDocument) {
	if d.most == 0 || len(query) > longestCached {
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.byTxt == nil || len(d.byTxt) >= d.most {
		d.byTxt = make(map[string]*ast.QueryDocument)
	}
	d.byTxt[query] = doc
}
