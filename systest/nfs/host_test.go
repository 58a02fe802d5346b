//go:build linux && !nfsguest

// Package nfs tests brock on a real NFS mount. The kernel of a test machine
// often cannot mount one, so the server and its client run in a guest: a Linux
// kernel that is an ordinary process (User Mode Linux). The tests of
// guest_test.go run there.
package nfs

import (
	"strings"
	"testing"
)

// diskBytes is the size of the exported file system.
const diskBytes = 64 << 20

// TestNFS runs the tests of guest_test.go in a guest. A guest whose kernel has
// died is booted again: that says nothing of brock.
func TestNFS(t *testing.T) {
	m := newMachine(t)
	for boot := range mostBoots {
		output, ended := m.boot(t)
		if !ended {
			t.Logf("boot %d of %d failed", boot+1, mostBoots)
			continue
		}
		report(t, output)
		return
	}
	t.Fatalf("the guest did not come to its end in %d boots", mostBoots)
}

// guestTests are those that must have run.
var guestTests = []string{
	"TestBackups", "TestFullExport", "TestServerAwayForAMoment", "TestServerAwayForLong", "TestStaleFolder", "TestReadOnlyExport", "TestRootSquash",
	"TestConformance",
}

func report(t *testing.T, output string) {
	t.Helper()
	t.Log(output)
	found := verdicts(output)
	for _, name := range guestTests {
		t.Run(name, func(t *testing.T) {
			if found[name] != "PASS" {
				t.Errorf("in the guest it came to %q", found[name])
			}
		})
	}
	if !strings.HasSuffix(strings.TrimSpace(output), "PASS") {
		t.Error("the tests in the guest did not pass as a whole")
	}
}
