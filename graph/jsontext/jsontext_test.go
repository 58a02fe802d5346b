package jsontext

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"
)

func TestDecodeString(t *testing.T) {
	tests := []struct{ text, want, err string }{
		{`""`, "", ""},
		{`"Köln"`, "Köln", ""},
		{`"a\"\\\/\b\n\u00e9"`, "a\"\\/\b\né", ""},
		{`"\ud83d\ude00"`, "😀", ""},
		{"\"\uFFFD\"", "\uFFFD", ""},
		{`"\ufffD"`, "\uFFFD", ""},
		{`"\\ufffd"`, `\ufffd`, ""},
		{`"\ud83d"`, "", "half of a surrogate"},
		{`"\ude00\ufffd"`, "", "half of a surrogate"},
		{`"\ud83dx\uFFFD"`, "", "half of a surrogate"},
		{"\"\xff\"", "", "UTF-8"},
		{`12`, "", "not a string"},
		{`"`, "", "not a string"},
		{`"\x"`, "", "not a JSON string"},
		{`"a"b"`, "", "not a JSON string"},
	}
	for _, test := range tests {
		got, err := DecodeString([]byte(test.text))
		if test.err == "" && (err != nil || got != test.want) {
			t.Errorf("%s: %q, %v", test.text, got, err)
		}
		if test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %q, %v", test.text, got, err)
		}
	}
}

func FuzzString(f *testing.F) {
	for _, s := range []string{"", "a", "\"\\\n\r\t\x00\x1f<>&", "\uFFFD", "😀", "\u2028"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !utf8.ValidString(s) {
			return
		}
		text := AppendString(nil, s)
		var plain string
		if err := json.Unmarshal(text, &plain); err != nil || plain != s {
			t.Fatalf("%q is written as %s, which is %q, %v", s, text, plain, err)
		}
		if back, err := DecodeString(text); err != nil || back != s {
			t.Fatalf("%q is written as %s and read as %q, %v", s, text, back, err)
		}
	})
}

func TestMembers(t *testing.T) {
	type member struct{ Name, Value string }
	tests := []struct {
		text string
		want []member
		err  string
	}{
		{`{}`, nil, ""},
		{" {\t} \r\n", nil, ""},
		{`{"key":"a","value":{"x":[1,{"y":"}]\""}],"n":1.50e+3}}`,
			[]member{{"key", `"a"`}, {"value", `{"x":[1,{"y":"}]\""}],"n":1.50e+3}`}}, ""},
		{`{ "b" : 12345678901234567890 , "a" : null , "a\u0062" : true }`,
			[]member{{"b", "12345678901234567890"}, {"a", "null"}, {"ab", "true"}}, ""},
		{`{"a":1,"\u0061":2}`, []member{{"a", "1"}}, `member "a" stands twice`},
		{`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"c":1}`,
			[]member{{"a", "1"}, {"b", "1"}, {"c", "1"}, {"d", "1"}, {"e", "1"}, {"f", "1"}, {"g", "1"}, {"h", "1"}, {"i", "1"}},
			`member "c" stands twice`},
		{`{"\ud800":1}`, nil, "surrogate"},
		{`[]`, nil, "not a JSON object"},
		{`null`, nil, "not a JSON object"},
		{``, nil, "ends too early"},
		{`{"a":`, nil, "ends too early"},
		{`{"a":01}`, nil, "at byte 7"},
		{`{"a":1}{"b":2}`, nil, "at byte 8"},
		{"{\"a\":\"\xff\"}", nil, "UTF-8"},
	}
	for _, test := range tests {
		var got []member
		err := Check([]byte(test.text))
		if err == nil {
			err = Members([]byte(test.text), func(name string, value Value) error {
				got = append(got, member{name, string(value)})
				return nil
			})
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v", test.text, got)
		}
		if test.err == "" && err != nil || test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)) {
			t.Errorf("%s: %v, not %q", test.text, err, test.err)
		}
	}
}

// FuzzMembers compares with encoding/json, which knows no order and no doubles.
func FuzzMembers(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` { "a" : [ 1 , "\"" ] , "b" : { } } `, `[1]`, `{"a":1,"a":2}`, "{\"\\ud800\":1}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := Check(text); (err == nil) != (json.Valid(text) && utf8.Valid(text)) {
			t.Fatalf("%q: %v", text, err)
		} else if err != nil {
			return
		}
		got := make(map[string]json.RawMessage)
		err := Members(text, func(name string, value Value) error {
			if bytes.TrimSpace(value) == nil || len(bytes.TrimSpace(value)) != len(value) || !json.Valid(value) {
				t.Fatalf("member %q of %q is %q", name, text, value)
			}
			got[name] = json.RawMessage(value)
			return nil
		})
		var want map[string]json.RawMessage
		wantErr := json.Unmarshal(text, &want)
		if err != nil {
			return // stricter than encoding/json, never laxer
		}
		if wantErr != nil || want == nil {
			t.Fatalf("%q was taken, encoding/json says %v", text, wantErr)
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("%q: %q, encoding/json: %q", text, got, want)
		}
	})
}

func TestElements(t *testing.T) {
	tests := []struct{ text, want, err string }{
		{`[]`, "", ""},
		{` [ ] `, "", ""},
		{`[1, "]," ,[2,[3]],{"a":[]} , null]`, `1|"],"|[2,[3]]|{"a":[]}|null`, ""},
		{`{}`, "", "not a JSON array"},
	}
	for _, test := range tests {
		var got []string
		err := Elements([]byte(test.text), func(i int, value Value) error {
			if i != len(got) {
				t.Errorf("%s: element %d after %d", test.text, i, len(got))
			}
			got = append(got, string(value))
			return nil
		})
		if strings.Join(got, "|") != test.want {
			t.Errorf("%s: %q", test.text, got)
		}
		if (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%s: %v", test.text, err)
		}
	}
}
