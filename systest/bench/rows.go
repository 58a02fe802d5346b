package main

import (
	"fmt"
	"path/filepath"

	"github.com/brockdb/brock/restore"
)

// row compares brock with a peer on one piece of work.
type row struct {
	name string
	// peer and brock run in turn. Without a peer both figures are of one job
	// that measures several things and takes its own medians.
	peer, brock     job
	peerIs, brockIs string // names in figures.Named; "" is the wall time

	goal float64
	// most is set where the ratio is brock/peer and must be at most the goal;
	// otherwise it is peer/brock and must be at least that.
	most bool
	// peakMB bounds brock's peak of anonymous memory; 0 is no bound.
	peakMB int64
}

// goals are what brock is to reach, by set.
var goals = map[string]struct{ backup, raw, restore float64 }{
	"a": {3.0, 3.5, 3.0}, "b": {1.3, 2.0, 2.2}, "c": {1.8, 2.8, 2.8},
}

const (
	backupPeakMB = 200
	tablesPeakMB = 450
	streamPeakMB = 900
	historyGoal  = 1.10
	stagesGoal   = 1.10
	verifyGoal   = 1.2
	latencyGoal  = 8
	recentGoal   = 0.1
	spreadGoal   = 0.7
	nothingGoal  = 0.02
)

func (c *config) rows() []row {
	var rows []row
	for _, set := range []string{"a", "b", "c"} {
		rows = append(rows, c.setRows(set)...)
	}
	return append(rows, c.seriesRows()...)
}

func (c *config) path(format string, args ...any) string {
	return filepath.Join(c.dir, fmt.Sprintf(format, args...))
}

// source is the generated database of a set; kinds of jobs that change it have
// one of their own.
func (c *config) source(set, use string) string { return c.path("%s%s-%g", set, use, c.scale) }

func (c *config) setRows(set string) []row {
	on := func(j job) job { j.Set, j.Scale = set, c.scale; return j }
	series, raw, plain, out := c.path("series-%s", set), c.path("raw-%s", set), c.path("plain-%s", set), c.path("restored")
	peer := on(job{Kind: "badger-backup", DB: c.source(set, ""), Out: plain})
	load := on(job{Kind: "badger-load", In: plain, Out: out})
	goal := goals[set]
	return []row{
		{name: "full backup, gzip + AES-256, " + set, peer: peer, goal: goal.backup, peakMB: backupPeakMB,
			brock: on(job{Kind: "brock-backup", DB: c.source(set, ""), Out: series})},
		{name: "full backup, AES-256 only, " + set, peer: peer, goal: goal.raw, peakMB: backupPeakMB,
			brock: on(job{Kind: "brock-backup", DB: c.source(set, ""), Out: raw, Level: "NoCompression"})},
		{name: "restore, gzip + AES-256, tables, " + set, peer: load, goal: goal.restore, peakMB: tablesPeakMB,
			brock: on(job{Kind: "brock-restore", In: series, Out: out, Sink: restore.SinkTables})},
		{name: "restore, gzip + AES-256, StreamWriter, " + set, peer: load, goal: 1, peakMB: streamPeakMB,
			brock: on(job{Kind: "brock-restore", In: series, Out: out, Sink: restore.SinkStream})},
	}
}

// seriesRows are the rows on set a.
func (c *config) seriesRows() []row {
	on := func(j job) job { j.Set, j.Scale = "a", c.scale; return j }
	history, series, out := c.path("history"), c.path("series-a"), c.path("restored")
	restored := func(num int) job {
		return on(job{Kind: "brock-restore", In: history, Out: out, Num: num, Sink: restore.SinkTables})
	}
	incs := on(job{Kind: "incrementals", DB: c.source("a", "-changing"), Out: c.path("incrementals")})
	spread := on(job{Kind: "compacted", DB: c.source("a", "-compacted"), Out: c.path("compacted")})
	load := on(job{Kind: "after-load", Out: c.path("after-load")})
	online := func(level string) job {
		return on(job{Kind: "online-writers", DB: c.source("a", "-online"), Out: c.path("online%s", level), Level: level})
	}
	return []row{
		{name: "restore of full + 5 incrementals of 2 %", peer: restored(1), brock: restored(6), goal: historyGoal, most: true, peakMB: tablesPeakMB},
		{name: "incremental of 1 %, recent", brock: incs, peerIs: "full scan", brockIs: "incremental of 1 %, recent", goal: recentGoal, most: true},
		{name: "incremental of 1 %, spread and compacted", brock: spread, peerIs: "full scan", brockIs: "incremental of 1 %, compacted", goal: spreadGoal, most: true},
		{name: "incremental of nothing", brock: incs, peerIs: "full scan", brockIs: "incremental of nothing", goal: nothingGoal, most: true},
		{name: "incremental after a bulk load", brock: load, peerIs: "full scan", brockIs: "incremental after a bulk load", goal: nothingGoal, most: true},
		{name: "backup CPU, beside the sum of its parts", goal: stagesGoal, most: true, peerIs: "sum", brockIs: "whole",
			brock: on(job{Kind: "backup-stages", DB: c.source("a", ""), Out: c.path("stages")})},
		{name: "verify full, beside SHA-256 + gunzip", goal: verifyGoal, most: true,
			peer: on(job{Kind: "sha256-gunzip", In: series}), brock: on(job{Kind: "brock-verify", In: series})},
		{name: "commit p99 at 20,000 writes/s, idle / backup", brock: online(""), peerIs: "idle p99", brockIs: "p99", goal: latencyGoal, most: true},
		{name: "  the same during DB.Backup", brock: online("badger"), peerIs: "idle p99", brockIs: "p99", goal: 0, most: true},
	}
}
