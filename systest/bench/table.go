package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/brockdb/brock/restore"
)

// row compares brock with a peer on one piece of work.
type row struct {
	name        string
	peer, brock job
	goal        float64 // how many times faster than the peer, at least
}

func (c *config) rows() []row {
	var rows []row
	goals := map[string][3]float64{"a": {3.0, 3.5, 3.0}, "b": {1.3, 2.0, 2.2}, "c": {1.8, 2.8, 2.8}}
	for _, set := range []string{"a", "b", "c"} {
		db := filepath.Join(c.dir, fmt.Sprintf("%s-%g", set, c.scale))
		plain, series := filepath.Join(c.dir, "plain-"+set), filepath.Join(c.dir, "series-"+set)
		raw, out := filepath.Join(c.dir, "raw-"+set), filepath.Join(c.dir, "restored")
		on := func(j job) job { j.Set, j.Scale = set, c.scale; return j }
		peer := on(job{Kind: "badger-backup", DB: db, Out: plain})
		load := on(job{Kind: "badger-load", In: plain, Out: out})
		rows = append(rows,
			row{"full backup, gzip + AES-256, " + set, peer, on(job{Kind: "brock-backup", DB: db, Out: series}), goals[set][0]},
			row{"full backup, AES-256 only, " + set, peer, on(job{Kind: "brock-backup", DB: db, Out: raw, Level: "NoCompression"}), goals[set][1]},
			row{"restore, gzip + AES-256, tables, " + set, load, on(job{Kind: "brock-restore", In: series, Out: out, Sink: restore.SinkTables}), goals[set][2]},
			row{"restore, gzip + AES-256, StreamWriter, " + set, load, on(job{Kind: "brock-restore", In: series, Out: out, Sink: restore.SinkStream}), 1},
		)
	}
	return rows
}

// table measures and prints every row.
func (c *config) table(ctx context.Context) error {
	fmt.Printf("%-44s %9s %9s %7s %7s   %9s %9s   %8s %8s\n", "", "peer", "brock", "ratio", "goal", "peer CPU", "brock CPU", "peer MB", "brock MB")
	var problems []error
	for _, r := range c.rows() {
		if !c.only.MatchString(r.name) {
			continue
		}
		if err := c.prepare(ctx, r); err != nil {
			return err
		}
		peer, brock, err := c.measure(ctx, r)
		if err != nil {
			return err
		}
		ratio := peer.Wall / brock.Wall
		mark := ""
		if ratio < r.goal {
			mark = " <"
		}
		fmt.Printf("%-44s %8.2fs %8.2fs %6.2fx %6.2fx   %8.2fs %8.2fs   %8d %8d%s\n", r.name, peer.Wall, brock.Wall, ratio, r.goal,
			peer.CPU, brock.CPU, peer.Peak>>20, brock.Peak>>20, mark)
		if ratio < r.goal*c.floor {
			problems = append(problems, fmt.Errorf("%s: %.2fx of the peer, less than %g of the goal %.2fx", r.name, ratio, c.floor, r.goal))
		}
	}
	return errors.Join(problems...)
}

// prepare makes what a row reads and does not measure.
func (c *config) prepare(ctx context.Context, r row) error {
	for _, j := range []job{r.peer, r.brock} {
		if _, err := os.Stat(j.DB); j.DB != "" && os.IsNotExist(err) {
			fmt.Fprintf(os.Stderr, "generating set %s\n", j.Set)
			if _, err := runChild(ctx, job{Kind: "generate", Set: j.Set, Scale: j.Scale, DB: j.DB}); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure runs both sides in turn, and returns each one's run of median wall
// time, with the median of its peaks.
func (c *config) measure(ctx context.Context, r row) (peer, brock figures, err error) {
	var peers, brocks []figures
	for range c.runs {
		f, err := runChild(ctx, r.peer)
		if err != nil {
			return peer, brock, err
		}
		peers = append(peers, f)
		if f, err = runChild(ctx, r.brock); err != nil {
			return peer, brock, err
		}
		brocks = append(brocks, f)
	}
	return median(peers), median(brocks), nil
}

func median(all []figures) figures {
	slices.SortFunc(all, func(a, b figures) int {
		if a.Wall < b.Wall {
			return -1
		}
		return 1
	})
	m := all[len(all)/2]
	slices.SortFunc(all, func(a, b figures) int { return int(a.Peak - b.Peak) })
	m.Peak = all[len(all)/2].Peak
	return m
}
