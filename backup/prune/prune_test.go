package prune_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/destination/destinationtest"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/backup/prune"
)

var seed = flag.Uint64("seed", 0, "of the random histories, as a failed test has logged it; 0 means a new one")

func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	s := *seed
	if s == 0 {
		s = rand.Uint64()
	}
	t.Logf("go test ./backup/prune -run '^%s$' -seed %d", t.Name(), s)
	return rand.New(rand.NewPCG(s, 0))
}

func randomPolicy(r *rand.Rand) prune.Policy {
	rule := func(most int) int { return max(0, r.IntN(2*most)-most) }
	p := prune.Policy{KeepLast: rule(4), KeepDaily: rule(4), KeepWeekly: rule(4), KeepMonthly: rule(4)}
	if r.IntN(3) == 0 {
		p.OlderThan = time.Duration(r.IntN(90*24)) * time.Hour
	}
	return p
}

func run(t *testing.T, d destination.Destination, policy prune.Policy, remove bool) (*prune.Result, error) {
	t.Helper()
	p := prune.Prune{Destination: d, Policy: policy, Remove: remove, Now: func() time.Time { return now }}
	return p.Run(t.Context())
}

// folders returns the backups at a destination, those with a manifest that
// cannot be used left out.
func folders(t *testing.T, d destination.Destination) (all []string) {
	t.Helper()
	listing, err := backup.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range listing.Series {
		for _, m := range s.Members {
			all = append(all, m.Path)
		}
	}
	slices.Sort(all)
	return all
}

func sorted(set map[string]bool) (all []string) {
	for name := range set {
		all = append(all, name)
	}
	slices.Sort(all)
	return all
}

// checkNeeded fails unless every backup that is needed is there and restores as
// well as before.
func checkNeeded(t *testing.T, d destination.Destination, series []*past, need map[string]bool, what string) {
	t.Helper()
	listing, err := backup.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	there := make(map[string]*manifest.Series)
	for i := range listing.Series {
		there[listing.Series[i].BackupID] = &listing.Series[i]
	}
	for _, s := range series {
		for i, p := range s.points[:s.restorable()] {
			if !need[p.folder] {
				continue
			}
			if there[s.id] == nil {
				t.Fatalf("%s: series %s is gone, and %s is needed", what, s.id, p.folder)
			}
			chain, err := there[s.id].Chain(i + 1)
			if err != nil {
				t.Fatalf("%s: %s is needed: %v", what, p.folder, err)
			}
			for _, m := range chain {
				if err := backup.Present(t.Context(), d, m.Manifest); err != nil {
					t.Fatalf("%s: %s is needed: %v", what, p.folder, err)
				}
			}
		}
	}
}

// TestPruneAgainstModel prunes random histories, damaged series among them, and
// compares what is left with what the rules need by definition.
func TestPruneAgainstModel(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	var removed, trimmed int
	const least, most = 20, 200 // histories; enough of them prune something
	for n := 0; n < least || n < most && (removed == 0 || trimmed == 0); n++ {
		w := &writer{T: t, dst: open(t, t.TempDir())}
		w.random(r)
		policy := randomPolicy(r)
		need := needed(w.series, policy)
		before := folders(t, w.dst)
		planned, err := run(t, w.dst, policy, false)
		if err != nil {
			t.Fatal(err)
		}
		if got := folders(t, w.dst); !slices.Equal(got, before) {
			t.Fatalf("a dry run has changed %v to %v", before, got)
		}
		result, err := run(t, w.dst, policy, true)
		if err != nil {
			t.Fatal(err)
		}
		checkNeeded(t, w.dst, w.series, need, fmt.Sprintf("%+v", policy))
		if got, want := folders(t, w.dst), sorted(need); !slices.Equal(got, want) {
			t.Fatalf("%+v left\n%v, want\n%v\n%+v", policy, got, want, result.Series)
		}
		if planned.Backups != result.Backups || planned.Bytes != result.Bytes || result.Backups != len(before)-len(need) {
			t.Errorf("%d backups with %d bytes were to go, %d with %d went of %d", planned.Backups, planned.Bytes,
				result.Backups, result.Bytes, len(before))
		}
		for i, d := range result.Series {
			if d.Action != planned.Series[i].Action || d.Reason != planned.Series[i].Reason || d.Reason == "" {
				t.Errorf("planned %+v, done %+v", planned.Series[i], d)
			}
			switch d.Action {
			case prune.Remove:
				removed++
			case prune.Trim:
				trimmed++
			}
		}
	}
	if removed == 0 || trimmed == 0 {
		t.Errorf("%d series were removed and %d trimmed of %d histories: they are too easy", removed, trimmed, most)
	}
}

// TestPruneCrashesAnywhere makes prune fail at every call: once, with a lost
// answer, or for good. At no point a needed backup is missing or unsound, what
// is left of a series restores, and the next run comes to the same end.
func TestPruneCrashesAnywhere(t *testing.T) {
	t.Parallel()
	r := newRandom(t)
	injected := errors.New("injected: the storage says no")
	for _, mode := range []destinationtest.Rule{{Crash: true}, {Err: injected}, {Err: injected, Late: true}} {
		dir := t.TempDir()
		w := &writer{T: t, dst: open(t, dir)}
		day := 24 * time.Hour
		w.add(0, now.Add(-70*day), now.Add(-69*day))
		w.add(0, now.Add(-60*day), now.Add(-59*day), now.Add(-30*day))
		w.add(r.IntN(2), now.Add(-20*day))
		w.add(0, now.Add(-10*day), now.Add(-9*day))
		policy := prune.Policy{KeepMonthly: 2}
		if r.IntN(2) == 0 {
			policy = prune.Policy{KeepLast: 1 + r.IntN(4)}
		}
		need := needed(w.series, policy)
		for n := 1; ; n++ {
			inner, at := copyOf(t, dir)
			faulty := destinationtest.NewFaulty(inner)
			mode.Nth = n
			faulty.Add(mode)
			_, err := run(t, faulty, policy, true)
			what := fmt.Sprintf("call %d of %+v with %+v", n, mode, policy)
			checkNeeded(t, inner, w.series, need, what)
			checkWhole(t, inner, what)
			if err == nil && faulty.Count(destinationtest.AnyOp) < n {
				break
			}
			bury(t, at)
			// The rules of this test do not ask what time it is, the age of debris does.
			next := prune.Prune{Destination: open(t, at), Policy: policy, Remove: true,
				Now: func() time.Time { return time.Now().Add(48 * time.Hour) }}
			again, err := next.Run(t.Context())
			if err != nil {
				t.Fatalf("%s: the next run: %v", what, err)
			}
			if got, want := folders(t, inner), sorted(need); !slices.Equal(got, want) {
				t.Fatalf("%s: in the end there is %v, want %v\n%+v", what, got, want, again)
			}
			checkNoDebris(t, inner, what)
		}
	}
}

// bury removes the lease and the marks of a process that has died; this one, who
// plays it, lives.
func bury(t *testing.T, dir string) {
	t.Helper()
	for _, name := range []string{"brock.lease", "brock.marks"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
}

// checkWhole fails unless every series at d is one whole history.
func checkWhole(t *testing.T, d destination.Destination, what string) {
	t.Helper()
	listing, err := backup.List(t.Context(), d)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range listing.Series {
		if _, err := s.Chain(0); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
}

func checkNoDebris(t *testing.T, d destination.Destination, what string) {
	t.Helper()
	listing, err := backup.List(t.Context(), d)
	if err != nil || len(listing.Unfinished) > 0 {
		t.Fatalf("%s: debris is left: %v, %v", what, listing.Unfinished, err)
	}
}

func TestDebris(t *testing.T) {
	t.Parallel()
	w := &writer{T: t, dst: open(t, t.TempDir())}
	w.add(0, now.Add(-time.Hour))
	name := manifest.PartName(7, 1, 1)
	old := manifest.FolderName(time.Now().Add(-72 * time.Hour))
	young := manifest.FolderName(time.Now().Add(time.Hour))
	for _, folder := range []string{old, young} {
		destinationtest.Put(t, w.dst, path.Join(folder, name), []byte("part"))
	}
	p := prune.Prune{Destination: w.dst, Remove: true, DebrisAge: 24 * time.Hour,
		Now: func() time.Time { return time.Now().Add(25 * time.Hour) }}
	result, err := p.Run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := destinationtest.Names(t, w.dst, "")
	has := func(folder string) bool {
		return slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, folder+"/") })
	}
	if len(result.Debris) != 2 || has(old) || has(young) != (result.Debris[1].Action == prune.Keep) {
		t.Errorf("%+v, left %v", result.Debris, names)
	}
	if result.Debris[0].Action != prune.Remove || result.Backups != 0 {
		t.Errorf("%+v", result)
	}
}

// TestReadersAreLeftAlone holds a mark on each series in turn.
func TestReadersAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := &writer{T: t, dst: open(t, t.TempDir())}
	day := 24 * time.Hour
	for i := range 4 {
		w.add(0, now.Add(-time.Duration(40-10*i)*day), now.Add(-time.Duration(39-10*i)*day))
	}
	policy := prune.Policy{KeepLast: 1}
	clock := func() time.Time { return now }
	read := w.series[1]
	mark, err := destination.MarkReading(t.Context(), w.dst, destination.MarkOptions{
		Owner: "a test", Purpose: "restore", Series: []string{read.id}, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	result, err := run(t, w.dst, policy, true)
	if err != nil {
		t.Fatal(err)
	}
	if d := result.Series[1]; d.Action != prune.Keep || !strings.Contains(d.Reason, "a test") || !strings.Contains(d.Reason, "restore") || len(d.Gone) > 0 {
		t.Errorf("what is read: %+v", d)
	}
	if result.Series[0].Action != prune.Remove || result.Series[2].Action != prune.Remove || result.Backups != 4 {
		t.Errorf("what is not read: %+v", result.Series)
	}
	if err := mark.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if result, err = run(t, w.dst, policy, true); err != nil || result.Series[0].Action != prune.Remove {
		t.Errorf("after the reader: %+v, %v", result, err)
	}
	if got := destinationtest.Names(t, w.dst, "brock.marks"); len(got) > 0 {
		t.Errorf("marks are left: %v", got)
	}
}

// TestRemovalIsNotRead shows the other half: who would read what is being
// removed is told so.
func TestRemovalIsNotRead(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	o := destination.MarkOptions{Owner: "prune of a test", Series: []string{"s1", "s2"}}
	mark, err := destination.MarkRemoving(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	reading := destination.MarkOptions{Owner: "a reader", Purpose: "verify", Series: []string{"s2"}}
	if _, err := destination.MarkReading(t.Context(), d, reading); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "prune of a test") {
		t.Errorf("reading what is being removed: %v", err)
	}
	reading.Series = []string{"s3"}
	other, err := destination.MarkReading(t.Context(), d, reading)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range []*destination.Mark{mark, other} {
		if err := m.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if got := destinationtest.Names(t, d, ""); len(got) > 0 {
		t.Errorf("left are %v", got)
	}
}

// retained refuses to give objects back, as a bucket with Object Lock does.
type retained struct {
	destination.Destination
	folder string
	until  time.Time
}

func (r retained) Remove(ctx context.Context, name string) error {
	if strings.HasPrefix(name, r.folder+"/") && r.until.After(now) {
		return &fault.Error{Kind: fault.Denied, Op: "remove " + name, Err: &destination.RetainedError{Until: r.until}}
	}
	return r.Destination.Remove(ctx, name)
}

func TestRetention(t *testing.T) {
	t.Parallel()
	w := &writer{T: t, dst: open(t, t.TempDir())}
	day := 24 * time.Hour
	locked := w.add(0, now.Add(-40*day), now.Add(-39*day))
	w.add(0, now.Add(-30*day))
	w.add(0, now.Add(-20*day))
	until := now.Add(5 * day)
	d := retained{w.dst, locked.points[1].folder, until}
	result, err := run(t, d, prune.Policy{KeepLast: 1}, true)
	if err != nil {
		t.Fatal(err)
	}
	if got := result.Series[0]; got.Action != prune.Keep || !strings.Contains(got.Reason, "retained until "+until.Format(time.RFC3339)) {
		t.Errorf("what is retained: %+v", got)
	}
	if result.Series[1].Action != prune.Remove || result.Backups != 1 {
		t.Errorf("%+v", result.Series)
	}
	d.until = now.Add(-time.Second)
	if result, err = run(t, d, prune.Policy{KeepLast: 1}, true); err != nil || result.Series[0].Action != prune.Remove {
		t.Errorf("after the retention: %+v, %v", result, err)
	}
}

// TestRefusedRemoval takes away the permission to remove one manifest.
func TestRefusedRemoval(t *testing.T) {
	t.Parallel()
	w := &writer{T: t, dst: open(t, t.TempDir())}
	day := 24 * time.Hour
	refused := w.add(0, now.Add(-40*day), now.Add(-39*day))
	w.add(0, now.Add(-30*day))
	w.add(0, now.Add(-20*day))
	f := destinationtest.NewFaulty(w.dst)
	f.Add(destinationtest.Rule{Op: destinationtest.OpRemove, Name: refused.points[1].folder, Nth: 1, Forever: true,
		Err: fault.New(fault.Denied, "remove", "no permission")})
	result, err := run(t, f, prune.Policy{KeepLast: 1}, true)
	if !fault.Is(err, fault.Denied) || result == nil {
		t.Fatalf("%+v, %v", result, err)
	}
	if d := result.Series[0]; d.Action != prune.Keep || !strings.Contains(d.Reason, "no permission") || len(d.Gone) != 0 {
		t.Errorf("what was refused: %+v", d)
	}
	if result.Series[1].Action != prune.Remove || len(result.Series[1].Gone) != 1 {
		t.Errorf("what was not: %+v", result.Series[1])
	}
	checkWhole(t, w.dst, "after a refusal")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	d := open(t, t.TempDir())
	for _, policy := range []prune.Policy{{KeepLast: -1}, {KeepDaily: -1}, {KeepWeekly: -1}, {KeepMonthly: -1}, {OlderThan: -1}} {
		if _, err := run(t, d, policy, false); !fault.Is(err, fault.Usage) || !strings.Contains(err.Error(), "below 0") {
			t.Errorf("%+v: %v", policy, err)
		}
	}
	p := prune.Prune{Destination: d, DebrisAge: -1}
	if _, err := p.Run(t.Context()); !fault.Is(err, fault.Usage) {
		t.Errorf("%v", err)
	}
	held, err := destination.AcquireLease(t.Context(), d, destination.LeaseOptions{Owner: "a backup", Purpose: "backup"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := run(t, d, prune.Policy{KeepLast: 1}, true); !fault.Is(err, fault.Locked) || !strings.Contains(err.Error(), "a backup") {
		t.Errorf("beside a backup: %v", err)
	}
	if err := held.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
}
