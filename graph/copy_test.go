package graph

import (
	"fmt"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/restore"
)

// TestCopyBackups copies a series by request, twice, and refuses what cannot
// come out well before it is queued.
func TestCopyBackups(t *testing.T) {
	a := newAlpha(t)
	from, to := t.TempDir(), t.TempDir()
	made := a.backup(fmt.Sprintf(documented[0], from))
	ask := func(fields string) string {
		return `mutation {copyBackups(input: {location: "` + from + `", ` + fields + `}) {response {code} taskId}}`
	}
	for _, copied := range []string{`"backups_copied":1`, `"backups_copied":0,"backups_there":1`} {
		var queued struct{ CopyBackups struct{ TaskID string } }
		a.data("/admin", ask(`destination: "`+to+`", backupId: "`+made.BackupID+`", secretKey: "not-kept"`), &queued)
		if task := a.wait(queued.CopyBackups.TaskID); task.Status != "Success" || task.Kind != "Copy" {
			t.Fatalf("%+v", task)
		}
		got := a.query("/admin", `{task(input: {id: "`+queued.CopyBackups.TaskID+`"}) {params result}}`).body
		if !strings.Contains(got, copied) || !strings.Contains(got, `"destination":"`+to+`"`) || strings.Contains(got, "not-kept") {
			t.Errorf("%s does not hold %s", got, copied)
		}
	}
	d, err := destination.Open(t.Context(), to, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (&restore.Verify{Source: d, Level: restore.Every}).Run(t.Context()); err != nil {
		t.Error(err)
	}
	a.wantError("/admin", ask(`destination: "`+from+`"`), "", "USAGE", "it is the destination as well")
	a.wantError("/admin", ask(`destination: "`+to+`", backupId: "nothing"`), "", "NOT_FOUND", "no series has backup id")
	a.wantError("/admin", ask(`destination: "relative"`), "", "USAGE", "destination")
	a.wantError("/admin", ask(`destination: "`+to+`", encryptionKeyFile: "/nowhere/key"`), "", "FAILED", "key")
}
