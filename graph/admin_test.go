package graph

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/worker"
)

// documented are the mutations of Dgraph's manual and of its Helm chart, with
// the destination to be filled in.
var documented = []string{
	"mutation {\n  backup(input: {destination: \"%s\"}) {\n    response {\n      message\n      code\n    }\n    taskId\n  }\n}",
	`mutation { backup(input: {destination: "%s", forceFull: true}) { response { message code } taskId } }`,
	`mutation { backup(input: {destination: "%s" forceFull: true}) { response { message code } taskId } }`,
	`mutation { backup(input: {destination: "%s", accessKey: "ak", secretKey: "sk", sessionToken: "st", anonymous: false, forceFull: false}) { response { message code } taskId } }`,
	`mutation { backup(input: {destination: "%s" accessKey: "ak" secretKey: "sk" sessionToken: "st" anonymous: true}) { response { message code } taskId } }`,
}

var queuedAnswer = regexp.MustCompile(
	`^\{"data":\{"backup":\{"response":\{"message":"Backup queued with ID (0x[0-9a-f]{1,16})","code":"Success"\},"taskId":"(0x[0-9a-f]+)"\}\}\}$`)

func TestDocumentedMutations(t *testing.T) {
	a := newAlpha(t)
	dir := filepath.Join(t.TempDir(), "made", "by", "the", "backup")
	for i, text := range documented {
		mutation := fmt.Sprintf(text, dir)
		asJSON, _ := json.Marshal(map[string]string{"query": mutation})
		for _, request := range []struct{ contentType, body string }{
			{"application/json", string(asJSON)},
			{"application/json; charset=utf-8", string(asJSON)},
			{"application/graphql", mutation},
			{"application/graphql; charset=UTF-8", mutation},
		} {
			got := a.do(http.MethodPost, "/admin", strings.NewReader(request.body), "Content-Type", request.contentType)
			match := queuedAnswer.FindStringSubmatch(got.body)
			if got.status != http.StatusOK || match == nil || match[1] != match[2] {
				t.Fatalf("mutation %d as %s: %d %s", i, request.contentType, got.status, got.body)
			}
			if contentType := got.header.Get("Content-Type"); contentType != "application/json" {
				t.Errorf("answered as %s", contentType)
			}
			if task := a.wait(match[2]); task.Status != "Success" || task.Path == "" || task.Progress.Fraction != "1" {
				t.Errorf("mutation %d: %+v", i, task)
			}
		}
	}
}

// The cron jobs of Dgraph's Helm chart ask for no taskId, and take any
// "errors" in the answer as failure.
func TestHelmChartsMutation(t *testing.T) {
	a := newAlpha(t)
	body := fmt.Sprintf(`{"query":"mutation { backup(input: {destination: \"%s\" forceFull: true }) { response { message code } } }"}`, t.TempDir())
	got := a.do(http.MethodPost, "/admin", strings.NewReader(body), "Content-Type", "application/json",
		"X-Dgraph-AuthToken", "", "X-Dgraph-AccessToken", "eyJ")
	if !strings.Contains(got.body, `"message":"Backup queued`) || strings.Contains(got.body, "errors") {
		t.Errorf("%d %s", got.status, got.body)
	}
}

func TestBackupWithVariables(t *testing.T) {
	a := newAlpha(t)
	variables := fmt.Sprintf(`{"input": {"destination": %q, "forceFull": null, "secretKey": "s"}}`, "file://"+t.TempDir())
	got := a.postJSON("/admin", `mutation B($input: BackupInput!) { backup(input: $input) { response { message code } taskId } }`, variables)
	match := queuedAnswer.FindStringSubmatch(got.body)
	if match == nil {
		t.Fatal(got.body)
	}
	if task := a.wait(match[1]); task.Status != "Success" || task.BackupNum != "1" {
		t.Errorf("%+v", task)
	}
}

func TestWhatCanBeToldAtOnceIsToldAtOnce(t *testing.T) {
	plain, dir := t.TempDir(), t.TempDir()
	a := startAlpha(t, dir, worker.Options{}, Options{})
	if task := a.backup(fmt.Sprintf(documented[0], plain)); task.Status != "Success" {
		t.Fatalf("%+v", task)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for destination, want := range map[string]struct {
		code  string
		texts []string
	}{
		"":                    {"USAGE", []string{"it is empty"}},
		"backups":             {"USAGE", []string{"is not an absolute path"}},
		"ftp://host/backups":  {"USAGE", []string{`unknown scheme \"ftp\"`, "known are"}},
		"s3://bucket/db":      {"USAGE", []string{"is no endpoint of S3", "s3:///bucket"}},
		"https://u:pw@host/x": {"USAGE", []string{"user name or password"}},
		file + "/below":       {"", nil},
		"/proc/brock":         {"", nil},
	} {
		got := a.query("/admin", fmt.Sprintf(documented[1], destination))
		if got.status != http.StatusOK || !strings.HasPrefix(got.body, `{"errors":[{"message":"cannot `) {
			t.Errorf("%q: %d %s", destination, got.status, got.body)
		}
		if !strings.HasSuffix(got.body, `"data":{"backup":null}}`) || strings.Contains(got.body, "pw") {
			t.Errorf("%q: %s", destination, got.body)
		}
		for _, text := range append(want.texts, want.code) {
			if !strings.Contains(got.body, text) {
				t.Errorf("%q: %s does not hold %s", destination, got.body, text)
			}
		}
	}
	a.stop()

	key, err := ee.NewKey([]byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	encrypting := startAlpha(t, dir, worker.Options{Keys: ee.NewKeyRing(key)}, Options{})
	encrypting.wantError("/admin", fmt.Sprintf(documented[0], plain), "", "MIXED", "it is not encrypted", "forceFull: true")
	if task := encrypting.backup(fmt.Sprintf(documented[1], plain)); task.Status != "Success" {
		t.Errorf("the way out: %+v", task)
	}
	other := newAlpha(t)
	other.wantError("/admin", fmt.Sprintf(documented[0], plain), "", "MIXED", "of another database", "forceFull: true")
	var tasks struct{ Tasks []taskView }
	other.data("/admin", `{tasks {id}}`, &tasks)
	if len(tasks.Tasks) != 0 {
		t.Errorf("what was refused became a task: %+v", tasks)
	}
}

func TestTasks(t *testing.T) {
	dir, backups := t.TempDir(), t.TempDir()
	a := startAlpha(t, dir, worker.Options{}, Options{})
	full := a.backup(fmt.Sprintf(documented[0], backups))
	incremental := a.backup(fmt.Sprintf(documented[0], backups))
	if full.BackupNum != "1" || incremental.BackupNum != "2" || full.BackupID != incremental.BackupID || full.Kind != "Backup" {
		t.Fatalf("%+v, %+v", full, incremental)
	}
	before := a.query("/admin", `{tasks {id kind status lastUpdated phase queuedAt startedAt finishedAt message hint destination backupId backupNum path progress {records rawBytes storedBytes fraction}}}`)
	a.stop()

	again := startAlpha(t, dir, worker.Options{}, Options{})
	after := again.query("/admin", `{tasks {id kind status lastUpdated phase queuedAt startedAt finishedAt message hint destination backupId backupNum path progress {records rawBytes storedBytes fraction}}}`)
	if before.body != after.body || !strings.Contains(after.body, incremental.ID) {
		t.Errorf("before the restart %s\nafter %s", before.body, after.body)
	}
	again.wantError("/admin", `{task(input: {id: "0x2a"}) {status}}`, "", "NOT_FOUND", `there is no task "0x2a"`)
	again.want("/admin", `query($id: String!) {task(input: {id: $id}) {kind status message hint}}`, `{"id": "`+full.ID+`"}`,
		`{"task":{"kind":"Backup","status":"Success","message":null,"hint":null}}`)
}

func TestOngoing(t *testing.T) {
	a := newAlpha(t)
	ongoing := `"ongoing":["opBackup"]`
	for range 20 { // a backup that was over before it was looked at proves nothing
		var queued struct{ Backup struct{ TaskID string } }
		a.data("/admin", fmt.Sprintf(documented[1], t.TempDir()), &queued)
		for task := a.task(queued.Backup.TaskID); task.Status == "Queued" || task.Status == "Running"; task = a.task(queued.Backup.TaskID) {
			if health := a.get("/health"); strings.Contains(health.body, ongoing) {
				a.wait(queued.Backup.TaskID)
				if health := a.get("/health"); strings.Contains(health.body, "ongoing") {
					t.Errorf("nothing runs: %s", health.body)
				}
				return
			}
		}
	}
	t.Error("no backup was ever ongoing")
}

func TestListBackups(t *testing.T) {
	a := newAlpha(t)
	a.query("/graphql", `mutation {put(input: {namespace: "geo", collection: "rivers", records: [{key: "a", value: 1}]}) {commitTs}}`)
	dir := t.TempDir()
	for _, mutation := range []string{documented[0], documented[0], documented[1], documented[0]} {
		if task := a.backup(fmt.Sprintf(mutation, dir)); task.Status != "Success" {
			t.Fatalf("%+v", task)
		}
	}
	const fields = `backupId backupNum encrypted groups {groupId predicates parts records rawBytes storedBytes
		collections {namespace name id records} partList {name bytes sha256}} path since readTs type compression version
		dbId createdAt finishedAt parent keyId maxUid allVersions reason parts records rawBytes storedBytes`
	var listed struct{ ListBackups []map[string]any }
	a.data("/admin", `{listBackups(input: {location: "`+dir+`"}) {`+fields+`}}`, &listed)
	if len(listed.ListBackups) != 4 {
		t.Fatalf("%v", listed)
	}
	var paths []string
	for i, m := range listed.ListBackups {
		path := m["path"].(string)
		paths = append(paths, path)
		checkAgainstManifest(t, filepath.Join(dir, path, "manifest.json"), m)
		if num := m["backupNum"].(json.Number); string(num) != []string{"1", "2", "1", "2"}[i] {
			t.Errorf("backup %d has number %s", i, num)
		}
	}
	if !slices.IsSorted(paths) {
		t.Errorf("order: %v", paths)
	}

	if err := os.WriteFile(filepath.Join(dir, paths[3], "manifest.json"), []byte("{}"), 0o600); err != nil {
		t.Fatal(err)
	}
	got := a.query("/admin", `{listBackups(input: {location: "`+dir+`"}) {path}}`)
	want := fmt.Sprintf(`"data":{"listBackups":[{"path":%q},{"path":%q},{"path":%q}]}}`, paths[0], paths[1], paths[2])
	if !strings.HasPrefix(got.body, `{"errors":[{"message":"cannot use backup `+paths[3]) || !strings.HasSuffix(got.body, want) {
		t.Errorf("with a damaged manifest: %s", got.body)
	}
	a.want("/admin", `{listBackups(input: {location: "`+dir+`" untilDate: "2001-01-01"}) {path}}`, "", `{"listBackups":[]}`)
	a.want("/admin", `{listBackups(input: {location: "`+filepath.Join(dir, "nothing")+`"}) {path}}`, "", `{"listBackups":[]}`)
	a.wantError("/admin", `{listBackups(input: {location: ""}) {path}}`, "", "USAGE", "it is empty")
	a.wantError("/admin", `{listBackups(input: {location: "/x", sinceDate: "yesterday"}) {path}}`, "", "USAGE", "sinceDate is neither YYYY-MM-DD nor RFC 3339")
}

// checkAgainstManifest compares what the query says with the file.
func checkAgainstManifest(t *testing.T, file string, listed map[string]any) {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var stored map[string]any
	decoder := json.NewDecoder(strings.NewReader(string(data)))
	decoder.UseNumber()
	if err := decoder.Decode(&stored); err != nil {
		t.Fatal(err)
	}
	camel := regexp.MustCompile(`_([a-z])`)
	named := func(key string) string {
		return camel.ReplaceAllStringFunc(key, func(s string) string { return strings.ToUpper(s[1:]) })
	}
	for key, want := range stored {
		if key == "sha256" || key == "mac" { // the file's seal, not a field
			continue
		}
		if key != "groups" && fmt.Sprint(listed[named(key)]) != fmt.Sprint(want) {
			t.Errorf("%s: %s is %v, the manifest says %v", file, named(key), listed[named(key)], want)
		}
	}
	group := listed["groups"].([]any)[0].(map[string]any)
	want := stored["groups"].(map[string]any)["1"].(map[string]any)
	for key, value := range want {
		switch key {
		case "part_list", "collections":
			got, _ := json.Marshal(group[named(key)])
			text, _ := json.Marshal(value)
			if string(got) != string(text) {
				t.Errorf("%s is %s, the manifest says %s", key, got, text)
			}
		default:
			if fmt.Sprint(group[named(key)]) != fmt.Sprint(value) {
				t.Errorf("%s is %v, the manifest says %v", key, group[named(key)], value)
			}
		}
	}
	if fmt.Sprint(group["predicates"]) != "[geo/rivers]" || fmt.Sprint(group["groupId"]) != "1" {
		t.Errorf("group %v", group)
	}
}

func TestQueriesOverGET(t *testing.T) {
	a := newAlpha(t)
	if got := a.get(`/admin?query={tasks{id}}`); got.status != http.StatusOK || got.body != `{"data":{"tasks":[]}}` {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := a.get(`/admin?query=query($id:String!){task(input:{id:$id}){id}}&variables={"id":"0x1"}`); !strings.Contains(got.body, "NOT_FOUND") {
		t.Errorf("%d %s", got.status, got.body)
	}
	got := a.get(`/graphql?query=mutation{createCollection(input:{collection:"c"}){commitTs}}`)
	a.checkError(got, http.StatusMethodNotAllowed, "USAGE", "a GET request may only query")
	a.want("/graphql", `{collections {name}}`, "", `{"collections":[]}`)
}

func TestWhatIsNoRequest(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{AdminBodyBytes: 1000})
	tests := []struct {
		method, contentType, body string
		status                    int
		text                      string
	}{
		{"PUT", "application/json", `{}`, 405, "its method is not GET or POST"},
		{"DELETE", "application/json", ``, 405, "its method is not GET or POST"},
		{"GET", "", ``, 400, "it has no query"},
		{"POST", "", `{"query":"{tasks{id}}"}`, 415, "its content type is not one of GraphQL"},
		{"POST", "text/plain", `{"query":"{tasks{id}}"}`, 415, "its content type"},
		{"POST", "application/x-www-form-urlencoded", `query={tasks{id}}`, 415, "its content type"},
		{"POST", "application/json", ``, 400, "it ends too early"},
		{"POST", "application/json", `{"query":`, 400, "it ends too early"},
		{"POST", "application/json", `{"query":"{tasks{id}}"} x`, 400, "not valid JSON at byte 25"},
		{"POST", "application/json", `[{"query":"{tasks{id}}"}]`, 400, "it is not a JSON object"},
		{"POST", "application/json", `{"query":1}`, 400, "query: it is not a string"},
		{"POST", "application/json", `{"variables":{}}`, 400, "it has no query"},
		{"POST", "application/json", `{"query":"{a}","query":"{b}"}`, 400, `member \"query\" stands twice`},
		{"POST", "application/json", "{\"query\":\"\xff\"}", 400, "it is not valid UTF-8"},
		{"POST", "application/graphql", strings.Repeat("#", 1001), 413, "more than 1000 bytes"},
		{"POST", "application/graphql", "# nothing", 200, "it holds no operation"},
		{"POST", "application/graphql", "fragment f on Query {tasks{id}}", 200, "it holds no operation"},
		{"POST", "application/graphql", "query a {tasks{id}} query b {tasks{id}}", 200, "it holds 2 operations"},
		{"POST", "application/json", `{"query":"query a {tasks{id}}","operationName":"b"}`, 200, "no operation of the name"},
		{"POST", "application/json", `{"query":"query($x:String!){task(input:{id:$x}){id}}","variables":[]}`, 200, "it is not a JSON object"},
	}
	for _, test := range tests {
		got := a.do(test.method, "/admin", strings.NewReader(test.body), "Content-Type", test.contentType)
		if got.status != test.status || !strings.Contains(got.body, test.text) || !strings.HasPrefix(got.body, `{"errors":[{"message":"cannot `) {
			t.Errorf("%s %s %s: %d %s", test.method, test.contentType, clip(test.body), got.status, got.body)
		}
		if got.status == 405 && got.header.Get("Allow") == "" {
			t.Errorf("%s: no Allow", test.method)
		}
	}
}
