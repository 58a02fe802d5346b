package worker

import (
	"bytes"
	"strings"
	"testing"
)

func TestRestoreSchema(t *testing.T) {
	schema := NewRestoreSchema()
	if prefix := schema.Metadata(); len(prefix) == 0 {
		t.Fatal("no prefix: every key would be metadata")
	}
	const inManifest = 7
	key := append(schema.Metadata(), "\x00max_uid"...)
	if err := schema.Observe(key, []byte("900")); err != nil {
		t.Fatal(err)
	}
	marks, err := schema.Marks(3, 42, inManifest)
	if err != nil || len(marks) == 0 {
		t.Fatalf("marks %v, %v", marks, err)
	}
	var all strings.Builder
	for _, mark := range marks {
		if schema.Keep(mark.Key) {
			t.Errorf("a backup's own record would stand beside the mark %q", mark.Key)
		}
		if bytes.HasPrefix(mark.Key, schema.Metadata()) {
			t.Errorf("the mark %q is in the catalog", mark.Key)
		}
		all.Write(mark.Value)
	}
	for _, want := range []string{`"group":3`, `"read_ts":42`, `"max_uid":900`} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("the marks lack %s: %s", want, all.String())
		}
	}
	if _, err := schema.Marks(0, 42, inManifest); err == nil {
		t.Error("group 0 has marks")
	}
}
