package destination

import (
	"io/fs"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

func TestCheckName(t *testing.T) {
	for _, name := range []string{
		"a", "a/b/c", "...", "a..b", ".tmp", "x.tmp-y", "日本語/ü", strings.Repeat("x", 255),
		strings.Repeat(strings.Repeat("x", 199)+"/", 4) + strings.Repeat("x", 200),
	} {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, reason := range map[string]string{
		"":                                "empty",
		"/a":                              "not relative",
		"a/":                              "empty element",
		"a//b":                            "empty element",
		".":                               `element "."`,
		"a/../b":                          `element ".."`,
		`a\b`:                             "backslash",
		"a\tb":                            "control character",
		"a\u009fb":                        "control character",
		"a\xc3":                           "UTF-8",
		strings.Repeat("x", 256):          "longer than 255",
		strings.Repeat("é", 128):          "longer than 255",
		strings.Repeat("xx/", 333) + "xx": "longer than 1000",
		"a/.tmp-1":                        "reserved",
		".tmp-":                           "reserved",
	} {
		err := CheckName(name)
		if !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), reason) {
			t.Errorf("%q: got %v, want %q", name, err, reason)
		}
		if len(err.Error()) > 500 {
			t.Errorf("the error repeats %d bytes of a bad name", len(err.Error()))
		}
	}
}

func FuzzCheckName(f *testing.F) {
	for _, name := range []string{"a/b", "../a", "a\x00", "brock.20261120.181502.354/manifest.json", ".tmp-a", `\`} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		if CheckName(name) == nil && (!fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00\n\x7f")) {
			t.Errorf("%q was accepted", name)
		}
	})
}
