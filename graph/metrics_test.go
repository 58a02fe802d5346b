package graph

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/brockdb/brock/worker"
	"github.com/brockdb/brock/worker/metrics"
)

// series are the lines of /metrics: names with labels, and their values.
type series map[string]float64

func (a *alpha) scrape(header ...string) series {
	a.Helper()
	got := a.get("/metrics", header...)
	if got.status != http.StatusOK {
		a.Fatalf("/metrics: %d %s", got.status, clip(got.body))
	}
	found := series{}
	for line := range strings.Lines(got.body) {
		if line[0] == '#' {
			continue
		}
		at := strings.LastIndexByte(strings.TrimSpace(line), ' ')
		value, err := strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		if err != nil {
			a.Fatalf("%v: %s", err, line)
		}
		found[line[:at]] = value
	}
	return found
}

// labels returns, per metric, the labels it has.
func (s series) labels() map[string][]string {
	byName := make(map[string][]string)
	name := regexp.MustCompile(`([a-z_]+)="`)
	for key := range s {
		metric, rest, _ := strings.Cut(key, "{")
		byName[metric] = slices.Compact(byName[metric])
		for _, found := range name.FindAllStringSubmatch(rest, -1) {
			byName[metric] = append(byName[metric], found[1])
		}
	}
	return byName
}

// observedAlpha has metrics, and has made backups, good ones and bad.
func observedAlpha(t *testing.T, dir string) *alpha {
	t.Helper()
	m := metrics.New("v1.2.3")
	return startAlpha(t, dir, worker.Options{Metrics: m}, Options{Metrics: m})
}

func TestMetrics(t *testing.T) {
	dir, backups := t.TempDir(), t.TempDir()
	a := observedAlpha(t, dir)
	if s := a.scrape(); s["brock_backup_last_success_timestamp_seconds"] != 0 || s["brock_backup_attempts_total"] != 0 ||
		s[`brock_backup_failures_total{reason="denied"}`] != 0 {
		t.Errorf("before the first backup: %v", s)
	}
	a.do("POST", "/load?collection=c", strings.NewReader(strings.Repeat(`{"value":"some text to be compressed"}`+"\n", 100)))
	begun := time.Now().Unix()
	mutation := `mutation {backup(input: {destination: "` + backups + `"}) {taskId}}`
	for range 2 {
		if done := a.backup(mutation); done.Status != "Success" {
			t.Fatalf("%+v", done)
		}
		a.do("POST", "/load?collection=c", strings.NewReader(`{"value":1}`))
	}
	a.query("/admin", `mutation {backup(input: {destination: "relative"}) {taskId}}`)
	a.get("/no/such/" + strings.Repeat("x", 100))
	a.do("BREW", "/admin", nil)
	s := a.scrape()
	for key, want := range map[string]float64{
		"brock_backup_attempts_total": 3, `brock_backup_failures_total{reason="usage"}`: 1,
		`brock_backup_duration_seconds_count{type="full"}`: 1, `brock_backup_duration_seconds_count{type="incremental"}`: 1,
		"brock_backup_chain_length": 2, "brock_backup_in_progress": 0, "brock_backup_progress_ratio": 0,
		`brock_tasks_total{kind="Backup",outcome="ok"}`: 2, "brock_tasks_queued": 0, `brock_tasks_running{kind="Backup"}`: 0,
		`brock_http_requests_total{method="GET",path="other",status="404"}`: 1, `brock_http_requests_total{method="other",path="/admin",status="405"}`: 1,
		`brock_http_requests_total{method="POST",path="/load",status="200"}`: 3, "brock_store_pins": 1, "brock_http_body_bytes": 0, "brock_audit_lost": 0,
	} {
		if got, ok := s[key]; !ok || got != want {
			t.Errorf("%s is %v (%v), not %v", key, got, ok, want)
		}
	}
	if at := s["brock_backup_last_success_timestamp_seconds"]; at < float64(begun) || at > float64(time.Now().Unix()+1) {
		t.Errorf("the last success was at %v, not after %v", at, begun)
	}
	for _, key := range []string{
		`brock_backup_size_bytes{stage="raw"}`, `brock_backup_size_bytes{stage="stored"}`,
		`brock_storage_operations_total{op="commit",outcome="ok",provider="file"}`, `brock_storage_bytes_total{direction="written",provider="file"}`,
		`brock_storage_bytes_total{direction="read",provider="file"}`, "brock_store_commit_ts", "go_goroutines", "process_resident_memory_bytes",
		"badger_put_num_user", "badger_write_bytes_user",
	} {
		if s[key] <= 0 {
			t.Errorf("%s is %v", key, s[key])
		}
	}
	if _, ok := s[`brock_build_info{goversion="`+runtime.Version()+`",version="v1.2.3"}`]; !ok {
		t.Error("no build info")
	}
	// A restart knows the last backup, and counts from 0.
	a.stop()
	again := observedAlpha(t, dir).scrape()
	for _, key := range []string{"brock_backup_last_success_timestamp_seconds", "brock_backup_chain_length", `brock_backup_size_bytes{stage="stored"}`} {
		if diff := again[key] - s[key]; again[key] == 0 || diff < -1 || diff > 1 {
			t.Errorf("after a restart %s is %v, not %v", key, again[key], s[key])
		}
	}
	if again["brock_backup_attempts_total"] != 0 {
		t.Error("a restart counts what it did not do")
	}
}

func TestWhoMayScrape(t *testing.T) {
	m := metrics.New("v1")
	node := worker.Options{Metrics: m}
	open := startAlpha(t, t.TempDir(), node, Options{Metrics: m})
	if got := open.get("/metrics"); got.status != 200 {
		t.Errorf("without protection: %d", got.status)
	}
	if got := newAlpha(t).get("/metrics"); got.status != 404 {
		t.Errorf("without metrics: %d", got.status)
	}
	m = metrics.New("v1")
	a := startAlpha(t, t.TempDir(), worker.Options{Metrics: m}, Options{Metrics: m, AuthToken: "right", Users: newUsers(t)})
	token, _ := a.login("ro", readerPassword, tokenHeader, "right")
	for _, test := range []struct {
		name, header, value string
		status              int
	}{
		{"nothing", "X", "y", 401}, {"a token", tokenHeader, "right", 200}, {"a bearer token", "Authorization", "Bearer right", 200},
		{"a login", accessHeader, token, 200}, {"a bearer login", "Authorization", "Bearer " + token, 200},
		{"a wrong token", tokenHeader, "wrong", 401}, {"a wrong bearer", "Authorization", "Bearer wrong", 401}, {"a wrong login", accessHeader, "x", 401},
		{"basic", "Authorization", "Basic right", 401},
	} {
		if got := a.get("/metrics", test.header, test.value); got.status != test.status {
			t.Errorf("%s: %d, not %d", test.name, got.status, test.status)
		}
	}
}

// TestAlertsAndDashboard holds what docs/ shows against what an alpha tells.
func TestAlertsAndDashboard(t *testing.T) {
	a := observedAlpha(t, t.TempDir())
	a.do("POST", "/load?collection=c", strings.NewReader(`{"value":1}`))
	a.backup(`mutation {backup(input: {destination: "` + t.TempDir() + `"}) {taskId}}`)
	known := a.scrape().labels()
	// What needs an object store to be counted.
	known["brock_storage_requests_total"] = []string{"provider", "op", "status"}
	known["brock_storage_retries_total"] = []string{"provider"}
	for where, expression := range expressions(t) {
		uses, grouped, err := promUses(expression)
		if err != nil {
			t.Errorf("%s: %v: %s", where, err, expression)
			continue
		}
		all := []string{"instance", "job"}
		for _, use := range uses {
			labels, ok := known[use.metric]
			if !ok {
				t.Errorf("%s: there is no metric %s", where, use.metric)
			}
			all = append(all, labels...)
			for _, label := range use.labels {
				if label != "instance" && !slices.Contains(labels, label) {
					t.Errorf("%s: %s has no label %s", where, use.metric, label)
				}
			}
		}
		for _, label := range grouped {
			if !slices.Contains(all, label) {
				t.Errorf("%s: no metric has the label %s", where, label)
			}
		}
	}
	manual := readDoc(t, "metrics.md")
	for name := range known {
		base := regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
		if strings.HasPrefix(name, "brock_") && !strings.Contains(manual, "`"+base) {
			t.Errorf("docs/metrics.md lacks %s", base)
		}
	}
	for _, name := range regexp.MustCompile("`(brock_[a-z_]+)").FindAllStringSubmatch(manual, -1) {
		if known[name[1]] == nil && known[name[1]+"_count"] == nil {
			if _, ok := known[name[1]]; !ok {
				t.Errorf("docs/metrics.md has %s, which does not exist", name[1])
			}
		}
	}
}

func readDoc(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "docs", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expressions are those of the rules and the dashboard, by where they stand.
func expressions(t *testing.T) map[string]string {
	t.Helper()
	found := make(map[string]string)
	var rules struct {
		Groups []struct {
			Name  string
			Rules []struct {
				Alert, Expr         string
				For                 string
				Labels, Annotations map[string]string
			}
		}
	}
	decoder := yaml.NewDecoder(strings.NewReader(readDoc(t, "alerts.yml")))
	decoder.KnownFields(true)
	if err := decoder.Decode(&rules); err != nil {
		t.Fatal(err)
	}
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Alert == "" || group.Name == "" || rule.Annotations["summary"] == "" || rule.Labels["severity"] == "" ||
				rule.For != "" && !promDuration.MatchString(rule.For) || found[rule.Alert] != "" {
				t.Errorf("rule %q is incomplete", rule.Alert)
			}
			found[rule.Alert] = rule.Expr
		}
	}
	var board struct {
		Templating struct{ List []struct{ Query string } }
		Panels     []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(readDoc(t, "grafana.json")), &board); err != nil {
		t.Fatal(err)
	}
	for _, panel := range board.Panels {
		for i, target := range panel.Targets {
			found[panel.Title+" "+strconv.Itoa(i)] = target.Expr
		}
	}
	if len(found) < 30 {
		t.Fatalf("%d expressions", len(found))
	}
	return found
}

// TestPromQL holds that the reader above finds mistakes at all.
func TestPromQL(t *testing.T) {
	for _, wrong := range []string{"", "sum(", "rate(a[5])", "rate(a[5m)", "a{b}", `a{b="c"`, "nofunction(a)", "sum by (a", "1 + 2", `a{b="c"}}`, "a ; b"} {
		if uses, _, err := promUses(wrong); err == nil {
			t.Errorf("%q is taken as %v", wrong, uses)
		}
	}
	uses, grouped, err := promUses(`sum by (x, y) (rate(a_total{b="c", d!~"e"}[5m])) / on (z) time() > 0.05 and f == 1`)
	if err != nil || len(uses) != 2 || uses[0].metric != "a_total" || strings.Join(uses[0].labels, ",") != "b,d" ||
		uses[1].metric != "f" || strings.Join(grouped, ",") != "x,y,z" {
		t.Errorf("%v %v %v", uses, grouped, err)
	}
}
