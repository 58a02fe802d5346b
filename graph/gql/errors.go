package gql

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/99designs/gqlgen/graphql"
	"github.com/golang/glog"
	"github.com/vektah/gqlparser/v2/gqlerror"

	"github.com/brockdb/brock/backup/fault"
)

// present makes an error what clients see: the message with the hint, which is
// enough by itself, and both again for programs.
func present(ctx context.Context, err error) *gqlerror.Error {
	shown := new(gqlerror.Error)
	if known := (*gqlerror.Error)(nil); errors.As(err, &known) {
		if known.Err == nil { // of gqlgen, or made here
			return known
		}
		*shown = *known
		err = known.Err
	} else if graphql.GetFieldContext(ctx) != nil {
		shown.Path = graphql.GetPath(ctx)
	}
	shown.Err, shown.Message = nil, err.Error()
	shown.Extensions = map[string]any{"code": Code(err)}
	if hint := fault.HintOf(err); hint != "" {
		shown.Message += "; " + hint
		shown.Extensions["hint"] = hint
	}
	return shown
}

// presentAll is present for what may be a list.
func presentAll(ctx context.Context, err error) gqlerror.List {
	var list gqlerror.List
	if errors.As(err, &list) {
		return list
	}
	return gqlerror.List{present(ctx, err)}
}

// Code names an error's kind as GraphQL servers do, such as NOT_FOUND.
func Code(err error) string {
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return "CANCELED"
	case fault.KindOf(err) == fault.Other:
		return "FAILED"
	}
	return strings.ToUpper(strings.ReplaceAll(fault.KindOf(err).String(), " ", "_"))
}

// recovered makes a panic an error and logs where it was. The text of a panic
// may hold anything that a client sent; the runtime's own does not.
func recovered(_ context.Context, p any) error {
	text := fmt.Sprintf("%T", p)
	if known, ok := p.(runtime.Error); ok {
		text = known.Error()
	}
	glog.Errorf("panic in a GraphQL operation: %s\n%s", text, debug.Stack())
	return fault.New(fault.Other, "answer request", "it panicked").
		WithHint("this is a bug in brock; the alpha's log has the details")
}

// The parser and the validator repeat literals in their messages, and a literal
// may be a secret key that somebody forgot to quote. What follows keeps of a
// message what was not written by the client, and the place.

// syntaxError makes a message without any part of the query.
func syntaxError(err error) error {
	var syntax *gqlerror.Error
	if !errors.As(err, &syntax) {
		return fault.New(fault.Usage, "parse query", "it is not GraphQL")
	}
	text := withoutToken(syntax.Message)
	where := ""
	if len(syntax.Locations) > 0 {
		where = fmt.Sprintf(" at line %d, column %d", syntax.Locations[0].Line, syntax.Locations[0].Column)
	}
	shown := present(context.Background(), fault.New(fault.Usage, "parse query", "%s%s", text, where))
	shown.Locations = syntax.Locations
	return gqlerror.List{shown}
}

// withoutToken cuts a message of the parser or lexer in front of what it found.
func withoutToken(text string) string {
	text, _, _ = strings.Cut(text, "\n")
	if keyword, _, found := strings.Cut(text, ", found "); found && strings.HasPrefix(keyword, `Expected "`) {
		return keyword
	}
	text, _, _ = strings.Cut(text, ` "`)
	text, _, _ = strings.Cut(text, ": ")
	text = strings.TrimSuffix(text, ".")
	return strings.Replace(text, "<Invalid>", "something that is no string, number or name", 1)
}

// validationErrors drops the values from messages about values.
func (e *Endpoint) validationErrors(list gqlerror.List) error {
	const most = 20 // a long query can be wrong in many ways
	if len(list) > most {
		list = list[:most]
	}
	shown := make(gqlerror.List, len(list))
	for i, found := range list {
		text := found.Message
		if strings.HasPrefix(found.Rule, "ValuesOfCorrectType") {
			text = withoutValue(text)
		}
		if e.limits.NoIntrospection {
			text = withoutGuess(text)
		}
		shown[i] = present(context.Background(),
			fault.New(fault.Usage, opRun, "%s", strings.TrimSuffix(text, ".")))
		shown[i].Locations = found.Locations
	}
	return shown
}

// withoutValue cuts a message of the rule ValuesOfCorrectType in front of the
// value, at the first mark: what follows may hold such a mark again.
func withoutValue(text string) string {
	switch {
	case strings.HasSuffix(text, "found null."):
		return text
	case strings.HasPrefix(text, "Field "), strings.HasPrefix(text, "OneOf "):
		return text // about names, not values
	case strings.HasPrefix(text, "Value "):
		return "Value does not exist in the enum"
	}
	if before, _, cut := strings.Cut(text, ", found "); cut && strings.HasPrefix(text, "Expected ") {
		return before
	}
	if before, _, cut := strings.Cut(text, " value: "); cut {
		return before + " value"
	}
	return "A value is not of the type its field has"
}

// variablesError takes over what the validator says about variables: names of
// fields and types, and what kind of value was sent.
func variablesError(err error) error {
	var e *gqlerror.Error
	if !errors.As(err, &e) {
		return fault.New(fault.Usage, "use variables", "they do not fit their types")
	}
	path := strings.TrimPrefix(e.Path.String(), "variable.")
	return variableError("$"+path, "it %s", e.Message)
}
