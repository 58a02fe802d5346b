package systest

import (
	"context"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/brockdb/brock/systest/servers"
)

// TestGraphiQLInChromium runs the backup of the examples in a real browser that
// reaches no other host, and watches its task end.
func TestGraphiQLInChromium(t *testing.T) {
	t.Parallel()
	browser := servers.FindBrowser(t)
	a := startAlpha(t, t.TempDir())
	to := filepath.Join(t.TempDir(), "backups")
	const deadline = 4 * time.Minute // starting Chromium on a busy machine takes long
	ctx, cancel := context.WithTimeout(t.Context(), deadline)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", filepath.Join("testdata", "graphiql.cjs"), a.url, to, browser.Chromium, browser.Modules)
	cmd.WaitDelay = time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the browser: %v\n%s", err, out)
	}
	good(t, "verify", "-l", to)
	a.stop(t)
}
