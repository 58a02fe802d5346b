// Package jsontext keeps JSON as text: what a client sends as a record's value
// reaches the store, and comes back, without a number, an order of members or
// an escape being changed by a detour over Go values.
package jsontext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Value is a JSON value as text. It is the Go side of the GraphQL scalar JSON.
type Value []byte

// MarshalGQL writes the text as it is.
func (v Value) MarshalGQL(w io.Writer) {
	if len(v) == 0 {
		v = Value("null")
	}
	_, _ = w.Write(v) // a buffer: gqlgen collects the answer
}

// UnmarshalGQL accepts a Value, which package gql makes of every literal and
// variable of type JSON.
func (v *Value) UnmarshalGQL(input any) error {
	value, ok := input.(Value)
	if !ok {
		return fmt.Errorf("a %T is no JSON text", input)
	}
	*v = value
	return nil
}

// MarshalJSON returns the text as it is.
func (v Value) MarshalJSON() ([]byte, error) {
	if len(v) == 0 {
		return []byte("null"), nil
	}
	return v, nil
}

// errSurrogate is what encoding/json hides by changing the string.
var errSurrogate = errors.New("it has half of a surrogate pair (\\uD800 to \\uDFFF), which is no character")

// DecodeString returns the string that a JSON string stands for. Unlike
// encoding/json it refuses what is not text instead of changing it: a key must
// not silently become another one.
func DecodeString(text []byte) (string, error) {
	if len(text) < 2 || text[0] != '"' {
		return "", errors.New("it is not a string")
	}
	if !utf8.Valid(text) {
		return "", errors.New("it is not valid UTF-8")
	}
	if bytes.IndexByte(text, '\\') < 0 && json.Valid(text) {
		return string(text[1 : len(text)-1]), nil
	}
	var s string
	if err := json.Unmarshal(text, &s); err != nil {
		return "", errors.New("it is not a JSON string")
	}
	const replacement = "\uFFFD" // what half a surrogate is decoded as
	if strings.Contains(s, replacement) && strings.Count(s, replacement) != countReplacements(text) {
		return "", errSurrogate
	}
	return s, nil
}

// countReplacements counts U+FFFD in a JSON string, written plainly or escaped.
func countReplacements(text []byte) int {
	n := bytes.Count(text, []byte("\uFFFD"))
	for i := 0; i < len(text); i++ {
		if text[i] != '\\' {
			continue
		}
		if i+5 < len(text) && text[i+1] == 'u' && strings.EqualFold(string(text[i+2:i+6]), "fffd") {
			n++
		}
		i++ // what follows a backslash begins no escape
	}
	return n
}

// AppendString appends s as a JSON string, escaping nothing that need not be.
// s must be valid UTF-8.
func AppendString(dst []byte, s string) []byte {
	const hex = "0123456789abcdef"
	dst = append(dst, '"')
	start := 0
	for i := range len(s) {
		c := s[i]
		if c >= 0x20 && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		}
	}
	dst = append(dst, s[start:]...)
	return append(dst, '"')
}
