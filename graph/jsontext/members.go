package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Members calls visit for every member of a JSON object, in the order of the
// text. The values passed on point into object. A text that is another JSON
// value, or has a member twice, is an error. It must have passed Check, or be
// part of one that did.
func Members(object []byte, visit func(name string, value Value) error) error {
	at := skipBlanks(object, 0)
	if object[at] != '{' {
		return errors.New("it is not a JSON object")
	}
	at = skipBlanks(object, at+1)
	var seen names
	for object[at] != '}' {
		end := skipValue(object, at)
		name, err := DecodeString(object[at:end])
		if err != nil {
			return fmt.Errorf("the name of a member: %w", err)
		}
		if !seen.add(name) {
			return fmt.Errorf("member %.40q stands twice", name)
		}
		at = skipBlanks(object, end)
		at = skipBlanks(object, at+1) // the colon
		end = skipValue(object, at)
		if err := visit(name, Value(object[at:end:end])); err != nil {
			return err
		}
		at = skipBlanks(object, end)
		if object[at] == ',' {
			at = skipBlanks(object, at+1)
		}
	}
	return nil
}

// Elements calls visit for every element of a JSON array, like Members.
func Elements(array []byte, visit func(index int, value Value) error) error {
	at := skipBlanks(array, 0)
	if array[at] != '[' {
		return errors.New("it is not a JSON array")
	}
	at = skipBlanks(array, at+1)
	for i := 0; array[at] != ']'; i++ {
		end := skipValue(array, at)
		if err := visit(i, Value(array[at:end:end])); err != nil {
			return err
		}
		at = skipBlanks(array, end)
		if array[at] == ',' {
			at = skipBlanks(array, at+1)
		}
	}
	return nil
}

// names is a set that costs nothing while it is small, and not the square of
// its size when somebody sends a million members.
type names struct {
	few  []string
	many map[string]struct{}
}

// add returns false when name is in the set already.
func (n *names) add(name string) bool {
	if n.many == nil && len(n.few) < 8 {
		if slices.Contains(n.few, name) {
			return false
		}
		n.few = append(n.few, name)
		return true
	}
	if n.many == nil {
		n.many = make(map[string]struct{})
		for _, name := range n.few {
			n.many[name] = struct{}{}
		}
	}
	before := len(n.many)
	n.many[name] = struct{}{}
	return len(n.many) > before
}

// invalid returns the error of a text that is not JSON: where, not what.
func invalid(text []byte) error {
	var v json.RawMessage
	err := json.Unmarshal(text, &v)
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		if syntax.Error() == "unexpected end of JSON input" {
			return errors.New("it is not valid JSON: it ends too early")
		}
		return fmt.Errorf("it is not valid JSON at byte %d", syntax.Offset)
	}
	return errors.New("it is not valid JSON")
}

// Check returns an error that says where text is not valid JSON, without
// repeating any of it.
func Check(text []byte) error {
	if !utf8.Valid(text) {
		return errors.New("it is not valid UTF-8")
	}
	if !json.Valid(text) {
		return invalid(text)
	}
	return nil
}

// skipBlanks and skipValue walk over text that is known to be valid.
func skipBlanks(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\t' || text[at] == '\n' || text[at] == '\r') {
		at++
	}
	return at
}

func skipValue(text []byte, at int) int {
	switch text[at] {
	case '"':
		return skipString(text, at)
	case '{', '[':
		depth := 0
		for {
			switch text[at] {
			case '"':
				at = skipString(text, at)
				continue
			case '{', '[':
				depth++
			case '}', ']':
				if depth--; depth == 0 {
					return at + 1
				}
			}
			at++
		}
	default:
		for at < len(text) && !endsScalar(text[at]) {
			at++
		}
		return at
	}
}

func skipString(text []byte, at int) int {
	for at++; text[at] != '"'; at++ {
		if text[at] == '\\' {
			at++
		}
	}
	return at + 1
}

func endsScalar(c byte) bool {
	switch c {
	case ',', '}', ']', ' ', '\t', '\n', '\r':
		return true
	}
	return false
}

// CompactSize returns how many bytes text has without its blanks.
func CompactSize(text []byte) (int, error) {
	var buf bytes.Buffer
	if err := json.Compact(&buf, text); err != nil {
		return 0, errors.New("it is not valid JSON")
	}
	return buf.Len(), nil
}
