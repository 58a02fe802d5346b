package systest

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/graph/client"
)

// cronScript is what the backup jobs of Dgraph's Helm chart do: they post one
// mutation, look for the text "errors" in the answer, whatever the status, and
// take values out of it with grep. They never ask again.
const cronScript = `
set -euo pipefail
day="$BACKUP_DESTINATION/$DAY"
mkdir -p "$day"
read -r -d '' query <<EOF || true
mutation {
  backup(input: {destination: "$day" forceFull: $FORCE_FULL}) {
    response { message code }
  }
}
EOF
length=$(printf %s "$query" | wc -c)
exec 3<>"/dev/tcp/$ALPHA_HOST/$ALPHA_PORT"
printf 'POST /admin HTTP/1.1\r\nHost: %s\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\nContent-Type: application/graphql\r\nX-Dgraph-AuthToken: %s\r\nContent-Length: %s\r\nConnection: close\r\n\r\n%s' \
  "$ALPHA_HOST:$ALPHA_PORT" "$AUTH_TOKEN" "$length" "$query" >request
cat request >&3 # in one piece, as curl sends it
answer=$(cat <&3)
body=$(printf %s "$answer" | tail -n 1)
if grep -q errors <<<"$body"; then
  grep -oP '(?<="message":")[^"]*' <<<"$body" >&2
  exit 1
fi
grep -oP '(?<="message":")[^"]*' <<<"$body"
grep -oP '(?<="code":")[^"]*' <<<"$body"
`

// TestCronJob runs Dgraph's cron job for some days. Each day has a folder of its
// own, so that what is asked for as an incremental becomes a full.
func TestCronJob(t *testing.T) {
	t.Parallel()
	const token = "cron-token"
	h := &history{destination: "", model: model{}, points: map[string]model{}}
	a := startAlphaWith(t, []string{"BROCK_AUTH_TOKEN=" + token}, client.Options{AuthToken: token}, t.TempDir())
	backups := t.TempDir()
	for day, force := range []string{"true", "false", "false"} {
		a.store(t, h.model, bankRef, putRecord{fmt.Sprint(day), []byte(`"v"`)})
		name := fmt.Sprintf("2026-11-%02d", 20+day)
		out, err := cron(t, a, backups, name, force, token)
		message, code, _ := strings.Cut(out, "\n")
		if err != nil || !strings.HasPrefix(message, "Backup queued with ID 0x") || code != "Success\n" {
			t.Fatalf("the job says %q, %v", out, err)
		}
		a.await(t, strings.TrimPrefix(message, "Backup queued with ID "), task.over)
		h.destination = filepath.Join(backups, name)
		h.see(t)
		if all := list(t, h.destination); len(all) != 1 || all[0].Type != "full" || all[0].BackupNum != 1 {
			t.Errorf("the backups of %s are %+v", name, all)
		}
	}
	out, err := cron(t, a, "relative", "2026-11-23", "false", token)
	if err == nil || !strings.Contains(out, "cannot open destination") {
		t.Errorf("a job that must fail says %q, %v", out, err)
	}
	out, err = cron(t, a, backups, "2026-11-24", "false", "wrong")
	if err == nil || !strings.Contains(out, "the header X-Dgraph-AuthToken is missing or wrong") {
		t.Errorf("a job with a wrong token says %q, %v", out, err)
	}
	a.stop(t)
	h.order = h.order[2:] // those of the last day
	h.restore(t, []int{0})
}

// cron runs the job of one day and returns what it says.
func cron(t *testing.T, a *alpha, backups, day, force, token string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", cronScript)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "ALPHA_HOST="+host, "ALPHA_PORT="+port, "BACKUP_DESTINATION="+backups,
		"DAY="+day, "FORCE_FULL="+force, "AUTH_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}
