package gql

import (
	"context"
	"errors"

	"github.com/99designs/gqlgen/graphql"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/gqlerror"
)

// Watch sees every operation before it runs and after. The zero Watch lets all
// of them run.
type Watch struct {
	// Allow refuses an operation before anything of it is done. The status of
	// a Refused is the answer's.
	Allow func(ctx context.Context, op *Operation) error
	// Ended is told what became of an operation that ran or was refused.
	Ended func(ctx context.Context, op *Operation, refused bool, codes []string)
}

// Refused is an error that is answered with a status of its own.
type Refused struct {
	Status int // of HTTP
	Err    error
}

// Error returns the text of the reason.
func (r *Refused) Error() string { return r.Err.Error() }

// Unwrap returns the reason.
func (r *Refused) Unwrap() error { return r.Err }

// Operation is what a request asks to be done, once it is understood.
type Operation struct {
	Mutation bool
	Fields   []Field // at the root, in their order
}

// Field is one thing that an operation asks for.
type Field struct {
	Name      string
	node      *ast.Field
	variables map[string]any
}

// Argument returns the text of an argument, or of the member of its argument
// "input" of that name, when it is a string, a number, a boolean or an enum
// value. Nothing else of a request is looked at.
func (f Field) Argument(name string) (text any, ok bool) {
	if argument := f.node.Arguments.ForName(name); argument != nil {
		return f.scalar(argument.Value)
	}
	input := f.node.Arguments.ForName("input")
	if input == nil {
		return nil, false
	}
	switch input.Value.Kind {
	case ast.Variable:
		members, _ := f.variables[input.Value.Raw].(map[string]any)
		return scalar(members[name])
	case ast.ObjectValue:
		if member := input.Value.Children.ForName(name); member != nil {
			return f.scalar(member)
		}
	}
	return nil, false
}

func (f Field) scalar(v *ast.Value) (any, bool) {
	switch v.Kind {
	case ast.Variable:
		return scalar(f.variables[v.Raw])
	case ast.StringValue, ast.BlockValue, ast.IntValue, ast.FloatValue, ast.EnumValue:
		return v.Raw, true
	case ast.BooleanValue:
		return v.Raw == "true", true
	}
	return nil, false
}

func scalar(v any) (any, bool) {
	switch v := v.(type) {
	case string, bool, int64, float64, int:
		return v, true
	case interface{ String() string }: // a number that keeps its digits
		return v.String(), true
	}
	return nil, false
}

// seen makes of an operation what a Watch sees.
func (e *Endpoint) seen(op *graphql.OperationContext) *Operation {
	root := e.schema.Query
	mutation := op.Operation.Operation == ast.Mutation
	if mutation {
		root = e.schema.Mutation
	}
	o := &Operation{Mutation: mutation}
	for _, f := range graphql.CollectFields(op, op.Operation.SelectionSet, []string{root.Name}) {
		o.Fields = append(o.Fields, Field{Name: f.Name, node: f.Field, variables: op.Variables})
	}
	return o
}

// codes are those of the errors in an answer, each once.
func codes(list gqlerror.List) (found []string) {
	known := make(map[string]bool)
	for _, e := range list {
		code, _ := e.Extensions["code"].(string)
		if code == "" {
			code = "FAILED"
		}
		if !known[code] {
			known[code] = true
			found = append(found, code)
		}
	}
	return found
}

// allowed asks the watch, and returns the status and reason of a refusal.
func (e *Endpoint) allowed(ctx context.Context, o *Operation) (status int, err error) {
	if e.watch.Allow == nil {
		return 0, nil
	}
	err = e.watch.Allow(ctx, o)
	var refused *Refused
	if errors.As(err, &refused) {
		return refused.Status, refused.Err
	}
	return 0, err
}

func (e *Endpoint) ended(ctx context.Context, o *Operation, refused bool, list gqlerror.List) {
	if e.watch.Ended != nil {
		e.watch.Ended(ctx, o, refused, codes(list))
	}
}
