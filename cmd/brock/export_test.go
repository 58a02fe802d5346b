package main

import (
	"encoding/csv"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestExportHelp(t *testing.T) {
	golden(t, "help-export.txt", good(t, "export", "--help").stdout)
}

// TestExport reads both points of a series, in both forms.
func TestExport(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := write(t, filepath.Join(dir, "key"), strings.Repeat("k", 32))
	for _, args := range [][]string{nil, {"--encryption_key_file", key}} {
		m := makeSeries(t, args...)
		for i, num := range []string{"1", "2", "0"} {
			r := good(t, append([]string{"export", "-l", m.destination, "-c", "c", "--backup_num", num}, args...)...)
			if r.stdout != m.dumps[min(i, 1)] || !strings.Contains(r.stderr, "records of default/c, as of commit ") {
				t.Errorf("number %s: the export is not what the alpha dumped; stderr: %s", num, r.stderr)
			}
		}
		out := filepath.Join(t.TempDir(), "c.csv")
		good(t, append([]string{"export", "-l", m.destination, "-c", "c", "-o", "csv", "--file", out}, args...)...)
		if got := fromCSV(t, readAll(t, out)); got != m.dumps[1] {
			t.Errorf("a csv is not what the alpha dumped:\n%.300s", got)
		}
	}
}

func readAll(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// fromCSV makes lines of JSON of a csv of keys and values.
func fromCSV(t *testing.T, text string) string {
	t.Helper()
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil || len(rows) == 0 || strings.Join(rows[0], ",") != "key,value" {
		t.Fatalf("%v: %.200s", err, text)
	}
	var all strings.Builder
	for _, row := range rows[1:] {
		key, err := json.Marshal(row[0])
		if err != nil {
			t.Fatal(err)
		}
		all.WriteString(`{"key":` + string(key) + `,"value":` + row[1] + "}\n")
	}
	return all.String()
}

// TestExportQuoting exports what a csv has to quote, and members of values.
func TestExportQuoting(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	to := filepath.Join(dir, "to")
	a := startAlpha(t, filepath.Join(dir, "p"))
	lines := []string{
		`{"key":"a","value":{"name":"plain","n":1}}`,
		`{"key":"b\"q","value":{"name":"a \"quoted\", with comma","n":1.50,"list":[1, "x"]}}`,
		`{"key":"c\nd","value":{"name":"two\nlines","n":null,"list":{"a":true}}}`,
		`{"key":"d<é>","value":"no object"}`,
		`{"key":"e","value":{"name":" leading","n":123456789012345678901}}`,
	}
	a.load(t, "q", strings.Join(lines, "\n")+"\n")
	want := a.dump(t, "q")
	a.load(t, "other", records(100, "x"))
	a.backup(t, to)
	a.stop(t)
	if got := good(t, "export", "-l", to, "-c", "q").stdout; got != want {
		t.Errorf("ndjson is\n%s\nwant\n%s", got, want)
	}
	r := good(t, "export", "-l", to, "-c", "q", "-o", "csv", "--fields", "name,n,list")
	rows, err := csv.NewReader(strings.NewReader(r.stdout)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	wantRows := [][]string{
		{"key", "name", "n", "list"},
		{"a", "plain", "1", ""},
		{`b"q`, `a "quoted", with comma`, "1.50", `[1,"x"]`},
		{"c\nd", "two\nlines", "", `{"a":true}`},
		{"d<é>", "", "", ""},
		{"e", " leading", "123456789012345678901", ""},
	}
	if len(rows) != len(wantRows) {
		t.Fatalf("rows are %q", rows)
	}
	for i := range rows {
		if strings.Join(rows[i], "|") != strings.Join(wantRows[i], "|") {
			t.Errorf("row %d is %q, want %q", i, rows[i], wantRows[i])
		}
	}
}

func TestExportRefusals(t *testing.T) {
	t.Parallel()
	m := makeSeries(t)
	for _, c := range []struct {
		args  string
		code  int
		texts []string
	}{
		{"-c nothing", exitError, []string{"nothing"}},
		{"-c dropped", exitError, []string{"dropped"}},
		{"-c c --namespace other", exitError, []string{"other"}},
		{"-c *", exitUsage, []string{"names no single collection"}},
		{"-c c -o xml", exitUsage, []string{"it must be one of ndjson, csv"}},
		{"-c c --fields a", exitUsage, []string{"fields are of a CSV"}},
		{"-c c --backup_num 7", exitError, []string{"it has no backup number 7"}},
		{"-c c --until yesterday", exitUsage, []string{"until is not a time"}},
		{"-c c --until 2001-01-01T00:00:00Z", exitError, []string{"none was begun at or before"}},
	} {
		r := brock(t, append([]string{"export", "-l", m.destination}, strings.Fields(c.args)...)...)
		r.expect(t, c.code, c.texts...)
		if r.stdout != "" {
			t.Errorf("%s wrote %.100q", c.args, r.stdout)
		}
	}
	until := time.Now().UTC().Add(time.Hour).Format(time.RFC3339)
	if r := good(t, "export", "-l", m.destination, "-c", "c", "--until", until); r.stdout != m.dumps[1] {
		t.Error("an export until now is not the newest")
	}
	parts, err := filepath.Glob(filepath.Join(m.folders(t)[0], "*.backup"))
	if err != nil || len(parts) == 0 {
		t.Fatal(parts, err)
	}
	content := []byte(readAll(t, parts[0]))
	content[len(content)/2] ^= 1
	write(t, parts[0], string(content))
	out := filepath.Join(t.TempDir(), "out")
	brock(t, "export", "-l", m.destination, "-c", "c", "--file", out).expect(t, exitDamaged, "was altered")
	if _, err := os.Stat(out); err == nil {
		t.Error("a failed export left a file")
	}
}
