package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brockdb/brock/worker"
)

func TestTasksByKindAndStatus(t *testing.T) {
	a := newAlpha(t)
	done := a.backup(fmt.Sprintf(documented[0], t.TempDir()))
	a.want("/admin", `{tasks(kind: Backup, status: Success) {id requestedBy errorKind}}`, "",
		`{"tasks":[{"id":"`+done.ID+`","requestedBy":"127.0.0.1","errorKind":null}]}`)
	a.want("/admin", `{tasks(kind: Prune) {id}}`, "", `{"tasks":[]}`)
	a.want("/admin", `{tasks(status: Failed) {id}}`, "", `{"tasks":[]}`)
	got := a.query("/admin", `{task(input: {id: "`+done.ID+`"}) {params result lastHeartbeat progress {totalBytes bytesPerSecond etaSeconds}}}`)
	for _, want := range []string{`"params":{"destination":"/`, `"result":{"backup_id":"`, `"lastHeartbeat":"20`, `"etaSeconds":null`} {
		if !strings.Contains(got.body, want) {
			t.Errorf("%s does not hold %s", got.body, want)
		}
	}
	a.wantError("/admin", `mutation {cancelTask(input: {id: "`+done.ID+`"}) {response {code}}}`, "", "USAGE", "it is over already (Success)")
	a.wantError("/admin", `mutation {cancelTask(input: {id: "0x2a"}) {response {code}}}`, "", "NOT_FOUND", "there is no task")
}

func TestTuningOfABackup(t *testing.T) {
	a := startAlpha(t, t.TempDir(), worker.Options{}, Options{})
	for fields, want := range map[string]string{
		`cpuPercentage: 0`:   "cpuPercentage is 0; it must be from 1 to 80",
		`cpuPercentage: 81`:  "cpuPercentage is 81; it must be from 1 to 80",
		`chunkSizeMB: 1`:     "chunkSizeMB is 1; it must be from 2 to 512",
		`chunkSizeMB: 513`:   "chunkSizeMB is 513; it must be from 2 to 512",
		`cpuPercentage: -99`: "cpuPercentage is -99",
	} {
		a.wantError("/admin", `mutation {backup(input: {destination: "`+t.TempDir()+`", `+fields+`}) {taskId}}`, "", "USAGE", want)
	}
	for _, fields := range []string{
		`cpuPercentage: 1 chunkSizeMB: 2 compressionLevel: NoCompression`,
		`cpuPercentage: 80 chunkSizeMB: 512 compressionLevel: BestCompression`,
	} {
		if task := a.backup(`mutation {backup(input: {destination: "` + t.TempDir() + `", ` + fields + `}) {taskId}}`); task.Status != "Success" {
			t.Errorf("%s: %+v", fields, task)
		}
	}
}
