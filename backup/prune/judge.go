package prune

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// judged is a series and how much of it can be restored.
type judged struct {
	manifest.Series
	sound   int    // members 1 to sound are one history with all their objects
	problem string // of the member after those
	keeps   int    // the highest number that a rule keeps; 0 for none
	reason  string // of that rule
}

func (j *judged) good() bool { return j.sound == len(j.Members) }

func (j *judged) newest() time.Time {
	newest := j.Members[0].CreatedAt
	for _, m := range j.Members {
		if m.CreatedAt.After(newest) {
			newest = m.CreatedAt
		}
	}
	return newest
}

// judgeReaders bounds how many folders are looked at at once.
const judgeReaders = 16

// judge decides about everything at the destination and changes nothing.
func (p *Prune) judge(ctx context.Context) (*Result, error) {
	p.Progress.Enter(PhaseJudge)
	listing, err := backup.List(ctx, p.Destination)
	if err != nil {
		return nil, err
	}
	all := make([]*judged, len(listing.Series))
	for i, s := range listing.Series {
		all[i] = &judged{Series: s}
		if err := p.look(ctx, all[i]); err != nil {
			return nil, fault.Wrap(err, "look at series %s", s.BackupID)
		}
	}
	r := &Result{Location: p.Destination.String(), DryRun: !p.Remove, Series: make([]Decision, len(all)), Debris: []Debris{}, Damaged: []string{}}
	decided := make(map[*judged]Decision, len(all))
	for _, line := range lines(all) {
		p.decide(line, decided)
	}
	for i, j := range all {
		r.Series[i] = decided[j]
	}
	for _, d := range listing.Damaged {
		r.Damaged = append(r.Damaged, d.Err.Error())
	}
	for _, folder := range listing.Unfinished {
		d, err := p.judgeDebris(ctx, folder)
		if err != nil {
			return nil, err
		}
		r.Debris = append(r.Debris, d)
	}
	return r, nil
}

// look finds out how much of a series can be restored.
func (p *Prune) look(ctx context.Context, j *judged) error {
	chain, err := j.Chain(0)
	for num := j.Newest().BackupNum - 1; err != nil && num > 0; num-- {
		j.problem = err.Error()
		if chain, err = j.Chain(num); err == nil {
			break
		}
	}
	if err != nil {
		j.problem = err.Error()
		return nil
	}
	flaws := make([]error, len(chain))
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(judgeReaders)
	for i, m := range chain {
		group.Go(func() error {
			err := backup.Present(gctx, p.Destination, m.Manifest)
			if fault.Is(err, fault.Corrupt) {
				flaws[i], err = err, nil
			}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	for _, flaw := range flaws {
		if flaw != nil {
			j.problem = flaw.Error()
			return nil
		}
		j.sound++
	}
	return nil
}

// lines sorts series by what they are backups of: no series can stand in for one
// of another database, or one that holds other collections. The order of the
// series stays.
func lines(all []*judged) map[string][]*judged {
	byLine := make(map[string][]*judged)
	for _, j := range all {
		newest := j.Newest()
		line := fmt.Sprint(newest.DBID, slices.Sorted(maps.Keys(newest.Groups)), newest.AllVersions, newest.Partial, newest.Selection)
		byLine[line] = append(byLine[line], j)
	}
	return byLine
}

// decide decides about the series of one line.
func (p *Prune) decide(line []*judged, decided map[*judged]Decision) {
	p.choose(line)
	newest := -1 // the newest good one
	for i, j := range line {
		if j.good() {
			newest = i
		}
	}
	for i, j := range line {
		d := Decision{BackupID: j.BackupID, Action: Keep, Backups: len(j.Members), Gone: []string{},
			Oldest: j.Members[0].CreatedAt, Newest: j.newest()}
		for _, m := range j.Members {
			d.Bytes += m.StoredBytes
		}
		from := len(j.Members)
		switch {
		case newest < 0:
			d.Reason = "no series of this database is whole, so none goes"
		case i == newest:
			d.Reason = "it is the newest good series of its database"
		case i > newest:
			d.Reason = "it is newer than the newest good series"
		case j.keeps == 0 && p.young(j):
			d.Reason = fmt.Sprintf("it is not older than %v", p.Policy.OlderThan)
		case j.keeps == 0:
			d.Action, d.Reason, from = Remove, "no rule keeps any of its backups", 0
		case j.good() && j.keeps < len(j.Members):
			d.Action, from = Trim, j.keeps
			d.Reason = fmt.Sprintf("no rule keeps a backup after number %d: %s", j.keeps, j.reason)
		default:
			d.Reason = fmt.Sprintf("number %d: %s", j.keeps, j.reason)
		}
		if !j.good() {
			d.Reason += "; it is damaged: " + j.problem
		}
		for _, m := range slices.Backward(j.Members[from:]) {
			d.members, d.Gone = append(d.members, m), append(d.Gone, m.Path)
		}
		decided[j] = d
	}
}

// choose lets the rules choose among the backups of a line that can be restored.
func (p *Prune) choose(line []*judged) {
	type point struct {
		series *judged
		num    int
		begun  time.Time
	}
	var points []point
	for _, j := range line {
		for i, m := range j.Members[:j.sound] {
			points = append(points, point{j, i + 1, m.CreatedAt})
		}
	}
	slices.SortStableFunc(points, func(a, b point) int { return b.begun.Compare(a.begun) })
	begun := make([]time.Time, len(points))
	for i := range points {
		begun[i] = points[i].begun
	}
	for i, reason := range p.Policy.choose(begun, p.Now()) {
		if j := points[i].series; reason != "" && points[i].num > j.keeps {
			j.keeps, j.reason = points[i].num, reason
		}
	}
}

// young reports whether any backup of a series, sound or not, is younger than
// what may go.
func (p *Prune) young(j *judged) bool {
	return p.Policy.IsZero() || p.Policy.OlderThan > 0 && p.Now().Sub(j.newest()) < p.Policy.OlderThan
}

// judgeDebris decides about a folder without a manifest.
func (p *Prune) judgeDebris(ctx context.Context, folder string) (Debris, error) {
	last, _ := manifest.FolderTime(folder)
	err := p.Destination.List(ctx, folder, func(info destination.Info) error {
		if info.Modified.After(last) {
			last = info.Modified
		}
		return nil
	})
	if err != nil {
		return Debris{}, fault.Wrap(err, "look at folder %s", folder)
	}
	if age := p.Now().Sub(last); age < p.DebrisAge {
		return Debris{folder, Keep, fmt.Sprintf("it has no manifest and is %v old: it goes after %v",
			max(age, 0).Round(time.Second), p.DebrisAge)}, nil
	}
	return Debris{folder, Remove, "it has no manifest: the backup did not come to its end, or was being removed"}, nil
}
