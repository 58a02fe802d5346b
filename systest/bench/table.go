package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
)

// table measures and prints every row.
func (c *config) table(ctx context.Context) error {
	fmt.Printf("%-46s %9s %9s %8s %9s   %9s %9s   %8s %8s\n", "", "peer", "brock", "ratio", "goal", "peer CPU", "brock CPU", "peer MB", "brock MB")
	seen := map[job]figures{}
	var problems []error
	for _, r := range c.rows() {
		if !c.only.MatchString(r.name) {
			continue
		}
		if err := c.prepare(ctx, r); err != nil {
			return err
		}
		peer, brock, err := c.measure(ctx, r, seen)
		if err != nil {
			return err
		}
		problems = append(problems, c.print(r, peer, brock))
	}
	return errors.Join(problems...)
}

// print prints a row and returns an error when it is far from its goal.
func (c *config) print(r row, peer, brock figures) error {
	ratio, goal, bad, far := peer.Wall/brock.Wall, fmt.Sprintf(">= %.2fx", r.goal), false, false
	if r.most {
		ratio, goal = brock.Wall/peer.Wall, fmt.Sprintf("<= %.2fx", r.goal)
		bad, far = ratio > r.goal, ratio*c.floor > r.goal
	} else {
		bad, far = ratio < r.goal, ratio < r.goal*c.floor
	}
	if r.goal == 0 {
		goal, bad, far = "", false, false
	}
	peak := brock.Peak >> 20
	mark := ""
	if bad {
		mark = "  < goal"
	}
	if r.peakMB > 0 && peak > r.peakMB {
		mark += fmt.Sprintf("  > %d MB", r.peakMB)
	}
	fat := r.peakMB > 0 && c.floor > 0 && float64(peak)*c.floor > float64(r.peakMB)
	line := fmt.Sprintf("%-46s %8.3fs %8.3fs %7.3fx %9s", r.name, peer.Wall, brock.Wall, ratio, goal)
	if r.peer.Kind != "" {
		line += fmt.Sprintf("   %8.2fs %8.2fs   %8d %8d", peer.CPU, brock.CPU, peer.Peak>>20, peak)
	}
	fmt.Println(strings.TrimRight(line+mark, " "))
	if far {
		return fmt.Errorf("%s: the ratio is %.3fx, far from its goal %s", r.name, ratio, goal)
	}
	if fat {
		return fmt.Errorf("%s: the peak of memory is %d MB, far above its bound of %d MB", r.name, peak, r.peakMB)
	}
	return nil
}

// prepare makes what a row reads and does not measure.
func (c *config) prepare(ctx context.Context, r row) error {
	make := func(j job, what string) error {
		if what == "" {
			return nil
		}
		if _, err := os.Stat(what); !os.IsNotExist(err) {
			return err
		}
		fmt.Fprintf(os.Stderr, "%s: making %s\n", r.name, what)
		_, err := runChild(ctx, j)
		return err
	}
	for _, j := range []job{r.peer, r.brock} {
		err := make(job{Kind: "generate", Set: j.Set, Scale: j.Scale, DB: j.DB}, j.DB)
		if err == nil && j.In == c.path("history") {
			db := c.source("a", "-history")
			err = errors.Join(make(job{Kind: "generate", Set: "a", Scale: c.scale, DB: db}, db),
				make(job{Kind: "brock-history", Set: "a", Scale: c.scale, DB: db, Out: j.In}, j.In))
		} else if err == nil {
			err = make(c.makes(j), j.In)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// makes returns the job that makes what j restores from.
func (c *config) makes(j job) job {
	kind := "brock-backup"
	if j.Kind == "badger-load" {
		kind = "badger-backup"
	}
	return job{Kind: kind, Set: j.Set, Scale: j.Scale, DB: c.source(j.Set, ""), Out: j.In}
}

// measure runs both sides in turn, and returns each one's run of median wall
// time, with the median of its peaks.
func (c *config) measure(ctx context.Context, r row, seen map[job]figures) (peer, brock figures, err error) {
	if r.peer.Kind == "" {
		r.brock.Profiles = c.profiles
		f, ok := seen[r.brock]
		if !ok {
			if f, err = runChild(ctx, r.brock); err != nil {
				return peer, brock, err
			}
			seen[r.brock] = f
		}
		return named(f, r.peerIs), named(f, r.brockIs), nil
	}
	r.peer.Profiles, r.brock.Profiles = c.profiles, c.profiles
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

// named returns one of the things a job measured; "sum" is all but "whole",
// less what begins with a minus sign.
func named(f figures, name string) figures {
	if name != "sum" {
		return figures{Wall: f.Named[name]}
	}
	var sum figures
	for part, seconds := range f.Named {
		switch {
		case strings.HasPrefix(part, "-"):
			sum.Wall -= seconds
		case part != "whole":
			sum.Wall += seconds
		}
	}
	return sum
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
