package gql

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/validator"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/jsontext"
)

// variables decodes the variables of an operation by their declared types, so
// that what is of type JSON stays text, and checks them.
func (e *Endpoint) variables(op *ast.OperationDefinition, text jsontext.Value) (map[string]any, error) {
	given := make(map[string]jsontext.Value)
	if len(text) > 0 && string(text) != "null" {
		err := jsontext.Members(text, func(name string, value jsontext.Value) error {
			given[name] = value
			return nil
		})
		if err != nil {
			return nil, fault.New(fault.Usage, "read variables", "%w", err)
		}
	}
	decoded := make(map[string]any)
	for _, def := range op.VariableDefinitions {
		value, ok := given[def.Variable]
		if !ok && def.DefaultValue != nil {
			literal, err := appendDefault(nil, def.DefaultValue)
			if err != nil {
				return nil, variableError("$"+def.Variable, "its default: %w", err)
			}
			value, ok = literal, true
		}
		if !ok {
			continue
		}
		v, err := e.decode(def.Type, value, "$"+def.Variable)
		if err != nil {
			return nil, err
		}
		decoded[def.Variable] = v
	}
	checked, err := validator.VariableValues(e.schema, op, decoded)
	if err != nil {
		return nil, variablesError(err)
	}
	return checked, nil
}

func variableError(path, cause string, args ...any) error {
	return fault.New(fault.Usage, "use variable "+path, cause, args...)
}

// decode returns the Go value that gqlgen expects of a variable. at names it in
// errors, which never hold the value.
func (e *Endpoint) decode(typ *ast.Type, text jsontext.Value, at string) (any, error) {
	if string(text) == "null" {
		return nil, nil
	}
	if typ.Elem != nil {
		return e.decodeList(typ.Elem, text, at)
	}
	def := e.schema.Types[typ.NamedType]
	switch {
	case def.Kind == ast.InputObject:
		return e.decodeObject(def, text, at)
	case def.Name == jsonScalar:
		return text, nil
	case def.Name == "String":
		s, err := jsontext.DecodeString(text)
		if err != nil {
			return nil, variableError(at, "%w", err)
		}
		return s, nil
	case text[0] == '{' || text[0] == '[':
		return nil, variableError(at, "it is not a value of type %s", def.Name)
	}
	return decodeScalar(text, at)
}

// decodeScalar keeps a number's digits.
func decodeScalar(text jsontext.Value, at string) (any, error) {
	switch text[0] {
	case 't', 'f':
		return text[0] == 't', nil
	case '"':
		s, err := jsontext.DecodeString(text)
		if err != nil {
			return nil, variableError(at, "%w", err)
		}
		return s, nil
	}
	return json.Number(text), nil
}

// decodeList takes a single value for a list of one, as GraphQL says.
func (e *Endpoint) decodeList(elem *ast.Type, text jsontext.Value, at string) (any, error) {
	list := []any{}
	add := func(i int, value jsontext.Value) error {
		v, err := e.decode(elem, value, at+"["+strconv.Itoa(i)+"]")
		list = append(list, v)
		return err
	}
	if text[0] != '[' {
		return list, add(0, text)
	}
	if err := jsontext.Elements(text, add); err != nil {
		return nil, err
	}
	return list, nil
}

func (e *Endpoint) decodeObject(def *ast.Definition, text jsontext.Value, at string) (any, error) {
	if text[0] != '{' {
		return nil, variableError(at, "it is not an object of type %s", def.Name)
	}
	object := make(map[string]any)
	err := jsontext.Members(text, func(name string, value jsontext.Value) error {
		field := def.Fields.ForName(name)
		if field == nil {
			return variableError(at, "%s has no field %.40q", def.Name, name)
		}
		v, err := e.decode(field.Type, value, at+"."+name)
		object[name] = v
		return err
	})
	if err != nil {
		if fault.KindOf(err) == fault.Other { // the text's own: a member stands twice
			err = variableError(at, "%w", err)
		}
		return nil, err
	}
	return object, nil
}

// appendDefault writes a default value as JSON; a name stands for an enum value.
func appendDefault(dst []byte, v *ast.Value) ([]byte, error) {
	if v.Kind == ast.EnumValue {
		return jsontext.AppendString(dst, v.Raw), nil
	}
	text, err := appendLiteral(dst, v, nil)
	if err != nil {
		return nil, fmt.Errorf("%w", err)
	}
	return text, nil
}
