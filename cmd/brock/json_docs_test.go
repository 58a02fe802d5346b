package main

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination/check"
	"github.com/brockdb/brock/backup/prune"
	"github.com/brockdb/brock/restore"
)

// TestJSONIsDocumented holds that docs/cli-json.md names every member of every
// document that a command prints, in the section of the command.
func TestJSONIsDocumented(t *testing.T) {
	sections := map[string]string{}
	for section := range strings.SplitSeq(read(t, "../../docs/cli-json.md"), "\n## ") {
		title, text, _ := strings.Cut(section, "\n")
		sections[title] = text
	}
	for title, document := range map[string]any{
		"A task": taskJSON{}, "status": statusJSON{}, "schedules": scheduleJSON{}, "load": loadedJSON{}, "plan": planJSON{}, "login": loginJSON{},
		"version": versionJSON{}, "copy and rekey": backup.Copied{}, "prune": prune.Result{}, "storage check": check.Report{},
		"restore": restore.Result{}, "verify": restore.Report{},
	} {
		text, ok := sections[title]
		if !ok {
			t.Errorf("there is no section %q", title)
			continue
		}
		for _, name := range members(reflect.TypeOf(document)) {
			if !strings.Contains(text, "`"+name+"`") {
				t.Errorf("section %q lacks `%s`", title, name)
			}
		}
	}
}

// members returns the names that JSON has for the fields of a type and of those
// within it.
func members(typ reflect.Type) (names []string) {
	switch typ.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return members(typ.Elem())
	case reflect.Struct:
	default:
		return nil
	}
	if typ == reflect.TypeFor[time.Time]() {
		return nil
	}
	for i := range typ.NumField() {
		field := typ.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "-" || !field.IsExported() {
			continue
		}
		if name != "" {
			names = append(names, name)
		}
		names = append(names, members(field.Type)...)
	}
	return names
}
