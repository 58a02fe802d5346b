package restore_test

import (
	"path/filepath"
	"testing"

	"github.com/brockdb/brock/backup/backuptest"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
	"github.com/brockdb/brock/restore"
)

// point is a backup and what the database held when it was taken.
type point struct {
	m     *manifest.Manifest
	state backuptest.State
}

// restoreTo restores a backup into a new directory and returns p1.
func restoreTo(t testing.TB, src destination.Destination, m *manifest.Manifest, key ee.Key, kind restore.SinkKind) string {
	t.Helper()
	r := &restore.Restore{Source: src, BackupID: m.BackupID, BackupNum: m.BackupNum, Key: key,
		Dir: filepath.Join(t.TempDir(), "out"), Workers: 2, Sink: kind}
	res, err := r.Run(t.Context())
	if err != nil {
		t.Fatalf("restore %s (number %d of %s): %v", m.Path, m.BackupNum, m.BackupID, err)
	}
	p1 := filepath.Join(r.Dir, "p1")
	if len(res.Dirs) != 1 || res.Dirs[0] != p1 || res.Version != m.ReadTs || res.BackupNum != m.BackupNum {
		t.Fatalf("the restore of %s says %+v", m.Path, res)
	}
	return p1
}

// wantRestored restores a backup and compares.
func wantRestored(t testing.TB, src destination.Destination, p point, key ee.Key, kind restore.SinkKind) {
	t.Helper()
	dir := restoreTo(t, src, p.m, key, kind)
	backuptest.Equal(t, p.m.Path+" restored", backuptest.ReadDir(t, dir), p.state)
}
