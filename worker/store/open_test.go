package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/systest/leaks"
)

func TestReopen(t *testing.T) {
	o := testOptions(filepath.Join(t.TempDir(), "not", "there", "yet"))
	s := openStore(t, o)
	ts := put(t, s, "c", "a", "1")
	id := s.ID()
	if len(id) != 32 || s.Group() != 1 {
		t.Errorf("id %q, group %d", id, s.Group())
	}
	closeStore(t, s)
	s = openStore(t, o)
	if s.ID() != id || s.MaxTs() != ts {
		t.Errorf("reopened with id %q at %d, want %q at %d", s.ID(), s.MaxTs(), id, ts)
	}
	if s.tracker.discardTs != ts {
		t.Errorf("after opening, versions up to %d may be discarded, want %d", s.tracker.discardTs, ts)
	}
	if next := put(t, s, "c", "b", "2"); next != ts+1 {
		t.Errorf("the next commit is %d, want %d", next, ts+1)
	}
	if got := now(t, s, "c"); !maps.Equal(got, map[string]string{"a": "1", "b": "2"}) {
		t.Errorf("got %v", got)
	}
	if other := newStore(t); other.ID() == id {
		t.Error("two stores have one id")
	}
}

// TestCommitTsIsNeverReused: when the newest commits are deletes, compaction
// takes away all that carried their versions.
func TestCommitTsIsNeverReused(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	put(t, s, "c", "a", "1", "b", "1")
	s = reopenCompacted(t, s, o)
	last := remove(t, s, "c", "a")
	s = reopenCompacted(t, s, o)
	id := lookup(t, s, "c").ID
	if versions := versionsOf(t, s, recordKey(id, "a"), 0); len(versions) != 0 {
		t.Fatalf("compaction has not taken the delete marker: versions %v", versions)
	}
	closeStore(t, s)
	s = openStore(t, o)
	if next := put(t, s, "c", "b", "1"); next <= last {
		t.Errorf("after commit %d came commit %d", last, next)
	}
}

func TestOpenRefuses(t *testing.T) {
	foreign := t.TempDir()
	write := func(dir, name string) string {
		t.Helper()
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		return dir
	}
	group2 := testOptions(t.TempDir())
	group2.Group = 2
	closeStore(t, openStore(t, group2))

	managed, unmanaged := filepath.Join(foreign, "managed"), filepath.Join(foreign, "unmanaged")
	db, err := badger.OpenManaged(badger.DefaultOptions(managed).WithLogger(nil))
	if err != nil {
		t.Fatal(err)
	}
	txn := db.NewTransactionAt(1, true)
	err = errors.Join(txn.Set([]byte("k"), []byte("v")), txn.CommitAt(1, nil), db.Close())
	if err != nil {
		t.Fatal(err)
	}
	if db, err = badger.Open(badger.DefaultOptions(unmanaged).WithLogger(nil)); err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(txn *badger.Txn) error { return txn.Set([]byte("k"), []byte("v")) })
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}

	for _, c := range []struct {
		name  string
		dir   string
		group uint32
		kind  fault.Kind
		want  string
	}{
		{"no directory", "", 1, fault.Usage, "directory"},
		{"no group", t.TempDir(), 0, fault.Usage, "group"},
		{"something else", write(filepath.Join(foreign, "files"), "notes.txt"), 1, fault.Usage, "notes.txt"},
		{"a file", filepath.Join(write(foreign, "file"), "file"), 1, fault.Other, "not a directory"},
		{"another group", group2.Dir, 1, fault.Mixed, "belongs to group 2, not to group 1"},
		{"foreign Badger, managed", managed, 1, fault.Usage, "not brock's"},
		{"foreign Badger, unmanaged", unmanaged, 1, fault.Usage, "not brock's"},
	} {
		o := testOptions(c.dir)
		o.Group = c.group
		s, err := Open(o)
		if s != nil || !fault.Is(err, c.kind) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v of kind %v, want kind %v and %q", c.name, err, fault.KindOf(err), c.kind, c.want)
		}
	}
	var wrong *GroupError
	o := testOptions(group2.Dir)
	if _, err := Open(o); !errors.As(err, &wrong) || wrong.Have != 2 || wrong.Want != 1 {
		t.Errorf("the groups are not told: %v", err)
	}

	// What was refused is still whole.
	closeStore(t, openStore(t, group2))
	if db, err = badger.Open(badger.DefaultOptions(unmanaged).WithLogger(nil)); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.View(func(txn *badger.Txn) error { _, err := txn.Get([]byte("k")); return err }); err != nil {
		t.Errorf("the refused store: %v", err)
	}
}

// TestOpenAcceptsHalfMade: a first start that died before it made the identity.
func TestOpenAcceptsHalfMade(t *testing.T) {
	dir := t.TempDir()
	db, err := badger.OpenManaged(badger.DefaultOptions(dir).WithLogger(nil))
	if err = errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
	put(t, openStore(t, testOptions(dir)), "c", "a", "1")
	dir = t.TempDir()
	if err := errors.Join(os.WriteFile(filepath.Join(dir, "LOCK"), []byte("1\n"), 0o600), os.Mkdir(filepath.Join(dir, "lost+found"), 0o700)); err != nil {
		t.Fatal(err)
	}
	put(t, openStore(t, testOptions(dir)), "c", "a", "1")
}

// TestOpenAfterUnborn: Badger itself opens no directory with such files.
func TestOpenAfterUnborn(t *testing.T) {
	o := testOptions(t.TempDir())
	s := openStore(t, o)
	put(t, s, "c", "a", "1", "large", string(bigValue(valueThreshold)))
	closeStore(t, s)
	for _, name := range []string{"00099.mem", "000099.vlog"} {
		empty := func() {
			t.Helper()
			if err := os.WriteFile(filepath.Join(o.Dir, name), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		empty()
		s = openStore(t, o)
		if got := now(t, s, "c"); len(got) != 2 {
			t.Errorf("with an empty %s there are %d records", name, len(got))
		}
		closeStore(t, s)
		empty() // for the second try Badger has given it a size
		if db, err := badger.OpenManaged(badger.DefaultOptions(o.Dir).WithLogger(nil)); err == nil {
			t.Error(db.Close(), "this Badger opens a directory with an empty "+name+": the repair is not needed")
		}
		leaks.KnowThese()
	}
}

func TestOpenLocked(t *testing.T) {
	s := newStore(t)
	_, err := Open(testOptions(s.db.Opts().Dir))
	if !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid())) {
		t.Errorf("got %v of kind %v", err, fault.KindOf(err))
	}
	put(t, s, "c", "a", "1")
}

func TestOpenDamagedState(t *testing.T) {
	for _, c := range []struct {
		name       string
		key, value []byte
		kind       fault.Kind
	}{
		{"identity no JSON", localKey(spaceStore, keyIdentity), []byte("{"), fault.Corrupt},
		{"identity incomplete", localKey(spaceStore, keyIdentity), []byte(`{"format":1}`), fault.Corrupt},
		{"newer format", localKey(spaceStore, keyIdentity), []byte(`{"format":2}`), fault.Usage},
		{"catalog record", catalogKey(Ref{"a", "b"}), []byte(`[]`), fault.Corrupt},
		{"catalog record without id", catalogKey(Ref{"a", "b"}), []byte(`{}`), fault.Corrupt},
		{"catalog key", []byte("\x01a"), []byte(`{"id":1}`), fault.Corrupt},
		{"counter", counterKey(counterNextID), []byte(`"x"`), fault.Corrupt},
		{"series", localKey(spaceSeries, "x"), []byte(`{"backup_id":"y"}`), fault.Corrupt},
		{"reap key", localKey(spaceReap, "x"), []byte(`{}`), fault.Corrupt},
	} {
		o := testOptions(t.TempDir())
		s := openStore(t, o)
		if _, _, err := s.submit(context.Background(), &prepared{local: []write{{c.key, c.value}}}); err != nil {
			t.Fatal(err)
		}
		closeStore(t, s)
		_, err := Open(o)
		if !fault.Is(err, c.kind) || !strings.Contains(err.Error(), o.Dir) {
			t.Errorf("%s: got %v of kind %v, want %v", c.name, err, fault.KindOf(err), c.kind)
		}
	}
}
