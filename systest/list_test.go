package systest

import (
	"encoding/json"
	"testing"
	"time"
)

// TestListBackups asks for the backups at a destination through /admin and on
// the command line: both say the same.
func TestListBackups(t *testing.T) {
	t.Parallel()
	destination := t.TempDir()
	a := startAlpha(t, t.TempDir(), "--encryption_key_file", keyFile(t, 16))
	for _, forceFull := range []bool{true, false, true, false, false} {
		a.store(t, model{}, bankRef, putRecord{Value: []byte(`1`)})
		a.backup(t, destination, forceFull)
	}
	var answer struct {
		ListBackups []struct {
			BackupID, Path, Type, Compression, DbID, Parent, KeyID, Reason string
			BackupNum, Version, Parts                                      int
			Since, ReadTs, MaxUID                                          uint64
			Records, RawBytes, StoredBytes                                 int64
			Encrypted, AllVersions                                         bool
			CreatedAt, FinishedAt                                          time.Time
			Groups                                                         []struct {
				GroupID    uint32
				Predicates []string
				PartList   struct {
					Name, SHA256 string
					Bytes        int64
				}
			}
		}
	}
	const fields = `backupId backupNum encrypted path since readTs type compression version dbId createdAt finishedAt parent keyId
		maxUid allVersions reason parts records rawBytes storedBytes groups { groupId predicates partList { name bytes sha256 } }`
	ask := func(more string) int {
		t.Helper()
		if err := a.Admin(t.Context(), `{ listBackups(input: {location: "file://`+destination+`"`+more+`}) { `+fields+` } }`, nil, &answer); err != nil {
			t.Fatal(err)
		}
		return len(answer.ListBackups)
	}
	if n := ask(`, untilDate: "2020-01-01"`); n != 0 {
		t.Errorf("before 2020 there were %d backups", n)
	}
	if n := ask(`, lastNDays: 1, sinceDate: "2020-01-01"`); n != 5 {
		t.Errorf("there were %d backups today", n)
	}
	ask("")
	wanted := list(t, destination)
	if len(wanted) != len(answer.ListBackups) {
		t.Fatalf("/admin lists %d, lsbackup %d", len(answer.ListBackups), len(wanted))
	}
	for i, got := range answer.ListBackups {
		w := wanted[i]
		g := w.Groups[1]
		if num := []int{1, 2, 1, 2, 3}[i]; w.BackupNum != num || i > 0 && w.Path <= wanted[i-1].Path {
			t.Errorf("in place %d stands number %d, %s", i, w.BackupNum, w.Path)
		}
		if got.BackupID != w.BackupID || got.Path != w.Path || got.Type != w.Type || got.Compression != w.Compression ||
			got.DbID != w.DBID || got.Parent != w.Parent || got.KeyID != w.KeyID || got.Reason != w.Reason ||
			got.BackupNum != w.BackupNum || got.Version != w.Version || got.Parts != w.Parts || got.Since != w.Since ||
			got.ReadTs != w.ReadTs || got.MaxUID != w.MaxUID || got.Records != w.Records || got.RawBytes != w.RawBytes ||
			got.StoredBytes != w.StoredBytes || got.Encrypted != w.Encrypted || got.AllVersions != w.AllVersions ||
			!got.CreatedAt.Equal(w.CreatedAt) || !got.FinishedAt.Equal(w.FinishedAt) || len(got.Groups) != 1 ||
			got.Groups[0].GroupID != 1 || len(got.Groups[0].Predicates) != len(g.Collections) ||
			got.Groups[0].Predicates[0] != bankRef.String() || got.Groups[0].PartList.Name != g.PartList.Name ||
			got.Groups[0].PartList.SHA256 != g.PartList.SHA256 || got.Groups[0].PartList.Bytes != g.PartList.Bytes {
			text, err := json.Marshal(w)
			t.Errorf("/admin lists %+v\nlsbackup lists %s (%v)", got, text, err)
		}
	}
	a.stop(t)
}
