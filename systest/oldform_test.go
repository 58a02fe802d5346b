package systest

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/brockdb/brock/graph/client"
)

// oldScript is a backup script from before Dgraph's /admin spoke GraphQL: it
// posts a form and takes the answer apart with grep.
const oldScript = `
set -euo pipefail
form="destination=$BACKUP_DESTINATION"
exec 3<>"/dev/tcp/$ALPHA_HOST/$ALPHA_PORT"
printf 'POST /admin/backup%s HTTP/1.1\r\nHost: %s\r\nUser-Agent: curl/7.64.0\r\nAccept: */*\r\nX-Dgraph-AuthToken: %s\r\nContent-Length: %s\r\nContent-Type: application/x-www-form-urlencoded\r\nConnection: close\r\n\r\n%s' \
  "$QUERY" "$ALPHA_HOST:$ALPHA_PORT" "$AUTH_TOKEN" "${#form}" "$form" >request
cat request >&3
body=$(cat <&3 | tail -n 1)
if grep -q errors <<<"$body"; then
  grep -oP '(?<="message":")[^"]*' <<<"$body" >&2
  exit 1
fi
grep -oP '(?<="code":")[^"]*' <<<"$body"
grep -oP '(?<="message":")[^"]*' <<<"$body"
`

func oldCron(t *testing.T, a *alpha, to, query, token string) (string, error) {
	t.Helper()
	host, port, err := net.SplitHostPort(strings.TrimPrefix(a.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("bash", "-c", oldScript)
	cmd.Dir = t.TempDir()
	cmd.Env = append(os.Environ(), "ALPHA_HOST="+host, "ALPHA_PORT="+port, "BACKUP_DESTINATION="+to, "QUERY="+query, "AUTH_TOKEN="+token)
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// TestOldForm: the backup is there when the answer is.
func TestOldForm(t *testing.T) {
	t.Parallel()
	const token = "old-token"
	a := startAlphaWith(t, []string{"BROCK_AUTH_TOKEN=" + token}, client.Options{AuthToken: token}, t.TempDir())
	to := filepath.Join(t.TempDir(), "backups")
	for i, want := range []struct{ query, kind string }{{"", "full"}, {"", "incremental"}, {"?force_full=true", "full"}, {"?force_full=false", "incremental"}} {
		a.store(t, model{}, bankRef, putRecord{"k", []byte(`1`)})
		out, err := oldCron(t, a, to, want.query, token)
		if err != nil || out != "Success\nBackup completed.\n" {
			t.Fatalf("the script says %q, %v", out, err)
		}
		if all := list(t, to); len(all) != i+1 || all[i].Type != want.kind {
			t.Errorf("after %d forms there is %+v", i+1, all)
		}
	}
	for _, c := range []struct{ to, query, token, text string }{
		{"relative", "", token, "cannot open destination"},
		{"", "", token, "the form has no destination"},
		{to, "?force_full=perhaps", token, "force_full is neither true nor false"},
		{to, "?secret_key=x", token, "secret_key stands in the URL"},
		{to, "", "wrong", "the header X-Dgraph-AuthToken is missing or wrong"},
	} {
		if out, err := oldCron(t, a, c.to, c.query, c.token); err == nil || !strings.Contains(out, c.text) {
			t.Errorf("%+v: the script says %q, %v", c, out, err)
		}
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.url+"/admin/backup?"+url.Values{"destination": {to}}.Encode(), nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X-Dgraph-AuthToken", token)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := response.Body.Close(); err != nil || response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a GET is answered with %d, %v", response.StatusCode, err)
	}
	a.stop(t)
}
