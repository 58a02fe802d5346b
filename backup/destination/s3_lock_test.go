package destination

import "testing"

// TestWhatIsRetained: a retention is for backups, not for what says who is at
// work at a destination.
func TestWhatIsRetained(t *testing.T) {
	t.Parallel()
	mark := newMark(nil, MarkOptions{Series: []string{"s"}})
	for name, want := range map[string]bool{
		"brock.20261120.181502.354/r32-g1.backup": true,
		"brock.20261120.181502.354/r32-g1.parts":  true,
		"brock.20261120.181502.354/manifest.json": true,
		leaseName(7):           false,
		mark.name:              false,
		"brock.probe-0f1e2d3c": false,
	} {
		if got := isKept(name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
