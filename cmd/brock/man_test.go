package main

import (
	"path/filepath"
	"strings"
	"testing"
)

func TestMan(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "man1")
	good(t, "man", dir)
	for _, cmd := range append(commands(newRoot()), newRoot()) {
		if cmd.Name() == "help" {
			continue
		}
		page := read(t, filepath.Join(dir, strings.ReplaceAll(cmd.CommandPath(), " ", "-")+".1"))
		for _, text := range []string{".TH ", ".SH NAME", ".SH SYNOPSIS", testVersion} {
			if !strings.Contains(page, text) {
				t.Errorf("the page of %s lacks %q:\n%s", cmd.CommandPath(), text, page)
			}
		}
		if strings.Contains(page, "0001") {
			t.Errorf("the page of %s has no date:\n%.200s", cmd.CommandPath(), page)
		}
	}
	if page := read(t, filepath.Join(dir, "brock.1")); !strings.Contains(page, "Exit codes") || !strings.Contains(page, "brock-restore") {
		t.Errorf("brock.1 lacks exit codes, or what to see also:\n%s", page)
	}
	first := read(t, filepath.Join(dir, "brock-alpha.1"))
	good(t, "man", dir)
	if read(t, filepath.Join(dir, "brock-alpha.1")) != first {
		t.Error("the pages differ from run to run")
	}
}
