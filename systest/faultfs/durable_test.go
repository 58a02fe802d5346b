//go:build linux

package faultfs

import (
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// disk is what a power cut may leave: of a file that was not synced since it was
// written anything, and a name in a folder that was not synced since, or not.
type disk struct {
	contents map[string]*content // by name
	folders  map[string]bool     // whether the name is durable
}

type content struct{ synced, named bool }

const manifestName = "manifest.json"

// replay goes through the events of backups and returns what a power cut could
// break: a manifest that may be there without all of its backup, and what is not
// durable at the end.
func replay(events []Event) (broken []string) {
	d := disk{map[string]*content{}, map[string]bool{}}
	report := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
	for _, e := range events {
		switch e.Op {
		case Mkdir:
			d.folders[e.Path] = false
		case Write:
			d.contents[e.Path] = &content{}
		case Fsync:
			if c := d.contents[e.Path]; c != nil {
				c.synced = true
			}
		case Link:
			if d.contents[e.Path] == nil {
				d.contents[e.Path] = &content{} // nothing was written
			}
			if path.Base(e.To) == manifestName {
				if !d.contents[e.Path].synced {
					report("%s gets its name before its bytes are durable", e.To)
				}
				d.check(path.Dir(e.To), report)
			}
			d.contents[e.To] = d.contents[e.Path]
			delete(d.contents, e.Path) // the hidden name goes away
		case SyncDir:
			for name := range d.folders {
				d.folders[name] = d.folders[name] || isIn(name, e.Path)
			}
			for name, c := range d.contents {
				c.named = c.named || isIn(name, e.Path)
			}
		}
	}
	for folder := range d.folders {
		if !isPresence(folder) {
			d.check(folder, report)
			if !d.folders[folder] {
				report("the name of folder %s is not durable at the end", folder)
			}
		}
	}
	return broken
}

func isIn(name, folder string) bool { return strings.TrimPrefix(path.Dir(name), ".") == folder }

func isPresence(name string) bool { return strings.Contains(name, "brock.lease") }

// check reports what of a folder is not durable.
func (d disk) check(folder string, report func(string, ...any)) {
	for name, c := range d.contents {
		base := path.Base(name)
		if path.Dir(name) == folder && !strings.HasPrefix(base, ".") && (!c.synced || !c.named) {
			report("%s is not durable: %+v", name, *c)
		}
	}
}

// TestPublishedWhenDurable holds that a backup's parts and part list are durable
// before its manifest has a name, and everything is when the backup has succeeded;
// and that leases are not synced.
func TestPublishedWhenDurable(t *testing.T) {
	f, db := Mount(t), filled(t)
	_, dst := newDir(t, f)
	var all []Event
	for _, kind := range []string{"full", "incremental", "incremental of nothing"} {
		f.Heal()
		if kind == "incremental" {
			db.Delete("key/001")
		}
		db.Backup(dst, nil)
		events := f.Events()
		all = append(all, events...)
		for _, problem := range replay(events) {
			t.Errorf("%s: %s", kind, problem)
		}
		manifests := 0
		for _, e := range events {
			if e.Op == Link && path.Base(e.To) == manifestName {
				manifests++
			}
			if (e.Op == Fsync || e.Op == SyncDir) && isPresence(e.Path) {
				t.Errorf("%s: %s %s", kind, e.Op, e.Path)
			}
		}
		if manifests != 1 {
			t.Errorf("%s: %d manifests", kind, manifests)
		}
	}
	checkWhole(t, db, dst, 3)

	// Without any kind of sync the check must complain.
	for what, without := range map[string]func(Event) bool{
		"files":   func(e Event) bool { return e.Op == Fsync },
		"folders": func(e Event) bool { return e.Op == SyncDir && strings.Contains(filepath.Base(e.Path), "brock.2") },
		"root":    func(e Event) bool { return e.Op == SyncDir && !strings.Contains(filepath.Base(e.Path), "brock.2") },
	} {
		if broken := replay(slices.DeleteFunc(slices.Clone(all), without)); len(broken) == 0 {
			t.Errorf("that %s were not synced is not noticed", what)
		}
	}
}
