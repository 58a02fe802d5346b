package prune_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/backup/prune"
	"github.com/brockdb/brock/ee"
)

// now is when all tests prune.
var now = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// point is a backup of a history. What is known of it is what the test has made,
// not what brock reads.
type point struct {
	folder  string
	num     int
	begun   time.Time
	flawed  bool // an object is missing or short, or its manifest is gone
	damaged bool // its manifest cannot be read
}

// past is a series of a history.
type past struct {
	id     string
	db     string
	points []*point
}

// restorable returns how many backups of the series can be restored.
func (s *past) restorable() int {
	for i, p := range s.points {
		if p.flawed || p.damaged {
			return i
		}
	}
	return len(s.points)
}

// listed returns the backups whose manifests can be read.
func (s *past) listed() (all []*point) {
	for _, p := range s.points {
		if !p.damaged {
			all = append(all, p)
		}
	}
	return all
}

// writer makes histories at a destination.
type writer struct {
	*testing.T
	dst    destination.Destination
	series []*past
}

func databaseID(n int) string {
	return fmt.Sprintf("%032x", n+1)
}

// add writes a series whose backups were begun at the given times.
func (w *writer) add(db int, begun ...time.Time) *past {
	w.Helper()
	s := &past{id: fmt.Sprintf("s%03d", len(w.series)), db: databaseID(db)}
	parent := ""
	for i, t := range begun {
		m := &manifest.Manifest{
			Type: manifest.Incremental, Since: uint64(10 * i), ReadTs: uint64(10*i + 10), BackupID: s.id, BackupNum: i + 1,
			Path: manifest.FolderName(t), Compression: manifest.CompressionGzip, Version: manifest.FormatVersion,
			DBID: s.db, CreatedAt: t, FinishedAt: t.Add(time.Minute), Parent: parent,
		}
		if i == 0 {
			m.Type, m.Reason = manifest.Full, "there was no backup at this destination"
		}
		parent = w.store(m)
		s.points = append(s.points, &point{folder: m.Path, num: i + 1, begun: t})
	}
	w.series = append(w.series, s)
	return s
}

// store writes the objects of a backup and returns the digest of its manifest.
func (w *writer) store(m *manifest.Manifest) string {
	w.Helper()
	const parts = 2
	group := &manifest.Group{Totals: manifest.Totals{Parts: parts, Records: parts}, Collections: []manifest.Collection{}}
	for n := 1; n <= parts; n++ {
		content := []byte(fmt.Sprintf("part %d of %s", n, m.Path))
		destinationtest.Put(w, w.dst, path.Join(m.Path, manifest.PartName(m.ReadTs, 1, n)), content)
		group.StoredBytes += int64(len(content))
		group.RawBytes += int64(len(content))
	}
	list := []byte("part list of " + m.Path)
	group.PartList = manifest.Object{Name: manifest.PartListName(m.ReadTs, 1), Bytes: int64(len(list)), SHA256: manifest.Digest(list)}
	destinationtest.Put(w, w.dst, path.Join(m.Path, group.PartList.Name), list)
	m.Groups, m.Totals = map[uint32]*manifest.Group{1: group}, group.Totals
	data, err := m.Encode(ee.Key{})
	if err != nil {
		w.Fatal(err)
	}
	destinationtest.Put(w, w.dst, path.Join(m.Path, manifest.FileName), data)
	return manifest.Digest(data)
}

// random makes a history: series of some databases, one after the other, some
// of them damaged in one way or another.
func (w *writer) random(r *rand.Rand) {
	w.Helper()
	t := now.Add(-time.Duration(r.IntN(120*24)) * time.Hour)
	for range 1 + r.IntN(6) {
		var begun []time.Time
		for range 1 + r.IntN(4) {
			t = t.Add(time.Duration(1+r.IntN(60)) * time.Hour)
			if t.Before(now) {
				begun = append(begun, t.Add(time.Duration(len(w.series))*time.Millisecond))
			}
		}
		if len(begun) == 0 {
			break
		}
		s := w.add(r.IntN(3)/2, begun...)
		if r.IntN(3) == 0 {
			w.damage(r, s)
		}
	}
	if len(w.series) == 0 {
		w.add(0, now.Add(-time.Hour))
	}
}

// damage spoils one backup of a series.
func (w *writer) damage(r *rand.Rand, s *past) {
	w.Helper()
	p := s.points[r.IntN(len(s.points))]
	names := destinationtest.Names(w, w.dst, p.folder)
	object := names[r.IntN(len(names))]
	isManifest := path.Base(object) == manifest.FileName
	switch {
	case isManifest && r.IntN(2) == 0:
		destinationtest.Put(w, w.dst, object, []byte("{}"))
		p.damaged = true
	case isManifest:
		if err := w.dst.Remove(w.Context(), object); err != nil {
			w.Fatal(err)
		}
		// A folder without a manifest is debris, not a backup.
		p.flawed = true
		s.points = slices.DeleteFunc(s.points, func(x *point) bool { return x == p })
		if p.num <= len(s.points) { // what follows has lost what it stands on
			s.points[p.num-1].flawed = true
		}
	default:
		destinationtest.Put(w, w.dst, object, []byte("x"))
		p.flawed = true
	}
}

// needed returns the folders that a policy needs, by definition: quadratic and
// plain.
func needed(series []*past, policy prune.Policy) map[string]bool {
	keep := make(map[string]bool)
	for _, db := range []string{databaseID(0), databaseID(1)} {
		var line []*past
		for _, s := range series {
			if s.db == db && len(s.listed()) > 0 {
				line = append(line, s)
			}
		}
		neededOfDatabase(line, policy, keep)
	}
	return keep
}

func neededOfDatabase(line []*past, policy prune.Policy, keep map[string]bool) {
	newestGood := -1
	var points []*point
	for i, s := range line {
		n := s.restorable()
		if n == len(s.listed()) && n > 0 {
			newestGood = i
		}
		points = append(points, s.points[:n]...)
	}
	for i, s := range line {
		last := 0 // of those that a rule keeps
		young := policy.IsZero()
		for _, p := range s.listed() {
			young = young || policy.OlderThan > 0 && now.Sub(p.begun) < policy.OlderThan
		}
		for j, p := range s.points[:s.restorable()] {
			if keptByRule(p, points, policy) {
				last = j + 1
			}
		}
		whole := newestGood < 0 || i >= newestGood || last > 0 && s.restorable() < len(s.listed()) || last == 0 && young
		for j, p := range s.listed() {
			if whole || j < last {
				keep[p.folder] = true
			}
		}
	}
}

// keptByRule counts, for each rule, the periods after p's that have a backup.
func keptByRule(p *point, all []*point, policy prune.Policy) bool {
	if policy.IsZero() || policy.OlderThan > 0 && now.Sub(p.begun) < policy.OlderThan {
		return true
	}
	rules := []struct {
		keep   int
		period func(time.Time) time.Time // its beginning
	}{
		{policy.KeepLast, func(t time.Time) time.Time { return t }},
		{policy.KeepDaily, func(t time.Time) time.Time { return t.Truncate(24 * time.Hour) }},
		{policy.KeepWeekly, func(t time.Time) time.Time {
			for t.Weekday() != time.Monday {
				t = t.AddDate(0, 0, -1)
			}
			return t.Truncate(24 * time.Hour)
		}},
		{policy.KeepMonthly, func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }},
	}
	for _, rule := range rules {
		own := rule.period(p.begun)
		later := make(map[time.Time]bool)
		newest := true
		for _, q := range all {
			if rule.period(q.begun).After(own) {
				later[rule.period(q.begun)] = true
			}
			newest = newest && (!rule.period(q.begun).Equal(own) || !q.begun.After(p.begun))
		}
		if newest && len(later) < rule.keep {
			return true
		}
	}
	return false
}

// copyOf returns a copy of the directory of a destination.
func copyOf(t *testing.T, dir string) (destination.Destination, string) {
	t.Helper()
	to := filepath.Join(t.TempDir(), "copy")
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return open(t, to), to
}

func open(t *testing.T, dir string) destination.Destination {
	t.Helper()
	d, err := destination.Open(t.Context(), dir, destination.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}
