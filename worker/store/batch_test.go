package store

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

func TestRefusedBatches(t *testing.T) {
	t.Parallel()
	value := []byte(`1`)
	long := strings.Repeat("n", MaxNameBytes+1)
	for _, c := range []struct {
		name  string
		batch *Batch
		want  string
	}{
		{"nil", nil, "empty"},
		{"empty", &Batch{}, "empty"},
		{"no collection", &Batch{Puts: []Put{{Key: "k", Value: value}}}, "the name is empty"},
		{"slash", &Batch{Creates: []Create{{Collection: "a/b"}}}, "/ * ,"},
		{"star", &Batch{Creates: []Create{{Collection: "*"}}}, "/ * ,"},
		{"comma", &Batch{Drops: []Ref{{"a,b", "c"}}}, "/ * ,"},
		{"control", &Batch{Creates: []Create{{Collection: "a\nb"}}}, "control character"},
		{"C1 control", &Batch{Creates: []Create{{Collection: "a\u0085b"}}}, "control character"},
		{"NUL in namespace", &Batch{Creates: []Create{{Namespace: "a\x00b", Collection: "c"}}}, "control character"},
		{"name not UTF-8", &Batch{Creates: []Create{{Collection: "a\xff"}}}, "UTF-8"},
		{"long name", &Batch{Creates: []Create{{Collection: long}}}, "257 bytes; the limit is 256"},
		{"long key", &Batch{Puts: []Put{{Collection: "c", Key: strings.Repeat("k", MaxKeyBytes+1), Value: value}}}, "64001 bytes; the limit is 64000"},
		{"key not UTF-8", &Batch{Puts: []Put{{Collection: "c", Key: "\xc3", Value: value}}}, "UTF-8"},
		{"remove without key", &Batch{Removes: []Remove{{Collection: "c"}}}, "the key is empty"},
		{"no value", &Batch{Puts: []Put{{Collection: "c", Key: "k"}}}, "empty"},
		{"blank value", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte(" \n")}}}, "empty"},
		{"bad JSON", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte(`{"a":}`)}}}, "at byte 6"},
		{"two documents", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte(`1 2`)}}}, "not valid JSON"},
		{"value not UTF-8", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: []byte("\"\xff\"")}}}, "UTF-8"},
		{"large value", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: bigValue(MaxValueBytes + 1)}}}, "16777217 bytes; the limit is 16777216"},
		{"large batch", &Batch{Puts: []Put{
			{Collection: "c", Key: "1", Value: bigValue(MaxValueBytes)}, {Collection: "c", Key: "2", Value: bigValue(MaxValueBytes)},
			{Collection: "c", Key: "3", Value: bigValue(MaxValueBytes)}, {Collection: "c", Key: "4", Value: bigValue(MaxValueBytes)}}},
			"the limit is 67108864"},
		{"bad schema", &Batch{Creates: []Create{{Collection: "c", Schema: json.RawMessage(`{`)}}}, "schema"},
		{"large schema", &Batch{Creates: []Create{{Collection: "c", Schema: bigValue(MaxSchemaBytes + 1)}}}, "the limit is 262144"},
		{"put and remove", &Batch{Puts: []Put{{Collection: "c", Key: "k", Value: value}},
			Removes: []Remove{{Collection: "c", Key: "k"}}}, "the same batch puts it"},
	} {
		_, err := prepare(c.batch)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v of kind %v, want kind usage and %q", c.name, err, fault.KindOf(err), c.want)
		}
		if err != nil && len(err.Error()) > 1000 {
			t.Errorf("%s: the error has %d bytes", c.name, len(err.Error()))
		}
	}
}

func TestRefusedLocalRecords(t *testing.T) {
	for _, c := range []struct{ space, key, value, want string }{
		{"", "k", "v", "space"},
		{"Task", "k", "v", "space"},
		{"task/x", "k", "v", "space"},
		{"store", "identity", "v", "own"},
		{"series", "k", "v", "own"},
		{"reap", "k", "v", "own"},
		{"task", "", "v", "key"},
		{"task", "k", "", "empty"},
		{"task", strings.Repeat("k", MaxKeyBytes+1), "v", "key"},
	} {
		b := &Batch{}
		b.PutLocal(c.space, c.key, []byte(c.value))
		if _, err := prepare(b); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %q: got %v, want %q", c.space, quote(c.key), err, c.want)
		}
	}
	b := &Batch{}
	b.PutLocal("task", "k", []byte("v"))
	b.DeleteLocal("task", "k")
	if _, err := prepare(b); !fault.Is(err, fault.Usage) {
		t.Errorf("a local record written twice: %v", err)
	}
}

func TestPrepareCompactsAndKeepsTheLast(t *testing.T) {
	p, err := prepare(&Batch{Puts: []Put{
		{Collection: "c", Key: "a", Value: []byte(`{ "x" : 1 }`)},
		{Collection: "c", Key: "b", Value: []byte(" [1, 2]\n")},
		{Namespace: "default", Collection: "c", Key: "a", Value: []byte(`{"x": "<&>"}`)},
	}})
	if err != nil {
		t.Fatal(err)
	}
	if len(p.puts) != 2 || string(p.puts[0].value) != `{"x":"<&>"}` || string(p.puts[1].value) != `[1,2]` {
		t.Errorf("got %+v", p.puts)
	}
}

// bigValue returns a JSON document of n bytes.
func bigValue(n int) []byte {
	return append(append([]byte{'"'}, bytes.Repeat([]byte{'v'}, n-2)...), '"')
}

func FuzzCompact(f *testing.F) {
	f.Add([]byte(`{"a": [1, 2.50, "x\u0000"]}`))
	f.Add([]byte("\"\xff\""))
	f.Add([]byte(` `))
	f.Fuzz(func(t *testing.T, doc []byte) {
		buf := bytes.NewBufferString("before")
		err := appendCompact(buf, doc, 1<<16)
		rest, found := bytes.CutPrefix(buf.Bytes(), []byte("before"))
		if !found || err != nil && len(rest) > 0 {
			t.Fatalf("the buffer holds %q after error %v", buf, err)
		}
		if err != nil {
			return
		}
		var before, after any
		if json.Unmarshal(doc, &before) != nil || json.Unmarshal(rest, &after) != nil || !utf8.Valid(rest) || len(rest) > len(doc) {
			t.Fatalf("%q became %q", doc, rest)
		}
		again := &bytes.Buffer{}
		if err := appendCompact(again, rest, 1<<16); err != nil || !bytes.Equal(again.Bytes(), rest) {
			t.Fatalf("%q compacts again to %q: %v", rest, again, err)
		}
	})
}
