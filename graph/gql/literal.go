package gql

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator/core"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/jsontext"
)

// jsonScalar is the scalar whose values stay text.
const jsonScalar = "JSON"

// A literal of type JSON reaches a resolver by way of int64 and float64 in
// gqlgen, and the validator refuses what does not fit them. So validation does
// not see such literals, and execution sees variables in their place, which hold
// the JSON of the tokens as they stood.

// setAside hides the JSON literals of a document that was just parsed from the
// validator, but for the variables in them. restore brings them back.
func setAside(schema *ast.Schema, doc *ast.QueryDocument) (restore func()) {
	core.Walk(schema, doc, &core.Events{}) // finds the types
	type hidden struct {
		at  *ast.Value
		was ast.Value
	}
	var all []hidden
	hide := func(literal *ast.Value) error {
		all = append(all, hidden{literal, *literal})
		*literal = ast.Value{Kind: ast.ListValue, Position: literal.Position,
			Children: variablesIn(nil, literal), Definition: literal.Definition, ExpectedType: literal.ExpectedType}
		return nil
	}
	_ = eachLiteral(doc, hide) // hide never fails
	for _, op := range doc.Operations {
		for _, variable := range op.VariableDefinitions {
			if variable.DefaultValue != nil {
				_ = inValue(variable.DefaultValue, hide) // as above
			}
		}
	}
	return func() {
		for _, h := range all {
			*h.at = h.was
		}
	}
}

func variablesIn(found ast.ChildValueList, v *ast.Value) ast.ChildValueList {
	for _, child := range v.Children {
		if child.Value.Kind == ast.Variable {
			found = append(found, child)
		}
		found = variablesIn(found, child.Value)
	}
	return found
}

// hoistLiterals writes the JSON literals of a document that is not shared as
// JSON, and puts variables in their place.
func hoistLiterals(doc *ast.QueryDocument, variables map[string]any) error {
	n := 0
	return eachLiteral(doc, func(literal *ast.Value) error {
		text, err := appendLiteral(nil, literal, variables)
		if err != nil {
			return fault.New(fault.Usage, "read JSON literal", "%w", err).
				WithHint("give the value as a variable")
		}
		name := "json " + strconv.Itoa(n) // the blank keeps it apart from clients' names
		n++
		variables[name] = jsontext.Value(text)
		*literal = ast.Value{Kind: ast.Variable, Raw: name, Position: literal.Position,
			Definition: literal.Definition, ExpectedType: literal.ExpectedType}
		return nil
	})
}

func hasLiterals(doc *ast.QueryDocument) bool {
	found := false
	_ = eachLiteral(doc, func(*ast.Value) error { found = true; return nil }) // visit never fails
	return found
}

// inValue visits the outermost literals of type JSON in an argument.
func inValue(v *ast.Value, visit func(*ast.Value) error) error {
	if v.Definition != nil && v.Definition.Kind == ast.Scalar && v.Definition.Name == jsonScalar {
		if v.Kind == ast.Variable || v.Kind == ast.NullValue {
			return nil
		}
		return visit(v)
	}
	for _, child := range v.Children {
		if err := inValue(child.Value, visit); err != nil {
			return err
		}
	}
	return nil
}

// eachLiteral visits those in all arguments of a document whose types are known.
func eachLiteral(doc *ast.QueryDocument, visit func(*ast.Value) error) error {
	var walk func(ast.SelectionSet) error
	walk = func(set ast.SelectionSet) error {
		for _, selection := range set {
			var inner ast.SelectionSet
			switch s := selection.(type) {
			case *ast.Field:
				for _, argument := range s.Arguments {
					if err := inValue(argument.Value, visit); err != nil {
						return err
					}
				}
				inner = s.SelectionSet
			case *ast.InlineFragment:
				inner = s.SelectionSet
			}
			if err := walk(inner); err != nil {
				return err
			}
		}
		return nil
	}
	for _, op := range doc.Operations {
		if err := walk(op.SelectionSet); err != nil {
			return err
		}
	}
	for _, fragment := range doc.Fragments {
		if err := walk(fragment.SelectionSet); err != nil {
			return err
		}
	}
	return nil
}

// appendLiteral writes a literal as JSON. The grammars of numbers are the same.
func appendLiteral(dst []byte, v *ast.Value, variables map[string]any) ([]byte, error) {
	switch v.Kind {
	case ast.Variable:
		return appendVariable(dst, v, variables)
	case ast.IntValue, ast.FloatValue, ast.BooleanValue:
		return append(dst, v.Raw...), nil
	case ast.StringValue, ast.BlockValue:
		return jsontext.AppendString(dst, v.Raw), nil
	case ast.NullValue:
		return append(dst, "null"...), nil
	case ast.ListValue:
		dst = append(dst, '[')
		for i, child := range v.Children {
			if i > 0 {
				dst = append(dst, ',')
			}
			var err error
			if dst, err = appendLiteral(dst, child.Value, variables); err != nil {
				return nil, err
			}
		}
		return append(dst, ']'), nil
	case ast.ObjectValue:
		return appendObject(dst, v, variables)
	default:
		return nil, fmt.Errorf("a bare name is no JSON value: quote it")
	}
}

func appendObject(dst []byte, v *ast.Value, variables map[string]any) ([]byte, error) {
	dst = append(dst, '{')
	first := true
	seen := make(map[string]struct{}, len(v.Children))
	for _, child := range v.Children {
		if _, twice := seen[child.Name]; twice {
			return nil, fmt.Errorf("member %.40q stands twice", child.Name)
		}
		seen[child.Name] = struct{}{}
		if _, given := variables[child.Value.Raw]; child.Value.Kind == ast.Variable && !given {
			continue // as in every input object, a variable without a value is as if left out
		}
		if !first {
			dst = append(dst, ',')
		}
		first = false
		dst = append(jsontext.AppendString(dst, child.Name), ':')
		var err error
		if dst, err = appendLiteral(dst, child.Value, variables); err != nil {
			return nil, err
		}
	}
	return append(dst, '}'), nil
}

func appendVariable(dst []byte, v *ast.Value, variables map[string]any) ([]byte, error) {
	switch value := variables[v.Raw].(type) {
	case string:
		return jsontext.AppendString(dst, value), nil
	case jsontext.Value:
		return append(dst, value...), nil
	default:
		text, err := json.Marshal(value)
		return append(dst, text...), err
	}
}
