package restore

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
	"golang.org/x/sync/errgroup"

	"github.com/brockdb/brock/backup"
	"github.com/brockdb/brock/backup/archive"
	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
	"github.com/brockdb/brock/ee"
)

// Level says how thorough a verification is; each includes those before.
type Level string

const (
	// Quick checks manifests, chain, part lists, and that every object is there
	// with its size.
	Quick Level = "quick"
	// Every reads every byte: digests, decryption, decompression, order of
	// keys, versions, counts.
	Every Level = "full"
	// Rehearse restores into a scratch directory and reads the result.
	Rehearse Level = "restore"
)

// Levels are all levels, least thorough first.
var Levels = []Level{Quick, Every, Rehearse}

// Verify checks the backups at a destination.
type Verify struct {
	Source    destination.Destination
	BackupID  string // "" means every series
	BackupNum int    // 0 means all of a series; else up to that number
	Keys      ee.KeyRing
	Expect    Expect // of the series that BackupID names, or of the one begun last
	Level     Level
	Workers   int    // parallel parts; 0 means all cores
	Scratch   string // where Rehearse restores to; "" means the system's temporary directory

	// AtRest encrypts the scratch directory.
	AtRest ee.Key

	// NewSchema is for Rehearse what it is for Restore.
	NewSchema func() Schema

	Progress *backup.Progress // may be nil
}

// Report is what a verification found.
type Report struct {
	Location string         `json:"location"`
	Level    Level          `json:"level"`
	Good     bool           `json:"good"`
	Series   []SeriesReport `json:"series"`
	Problems []string       `json:"problems"` // those of no series: damaged manifests
}

// SeriesReport is what was found of one series.
type SeriesReport struct {
	BackupID    string `json:"backup_id"`
	Good        bool   `json:"good"`
	Backups     int    `json:"backups"` // checked
	Records     int64  `json:"records"`
	StoredBytes int64  `json:"stored_bytes"`
	Problem     string `json:"problem,omitempty"`
	Hint        string `json:"hint,omitempty"`
}

// The phases of a verification.
const (
	PhaseQuick    = "quick"
	PhaseRead     = "read"
	PhaseRehearse = "rehearse"
)

// Run verifies and reports. Damage is in the report and is an error of kind
// Corrupt as well; other errors (a missing key, a destination that cannot be
// read) come as their own kind, with as much of a report as there is.
func (v *Verify) Run(ctx context.Context) (*Report, error) {
	if !slices.Contains(Levels, v.Level) {
		return nil, fault.New(fault.Usage, "verify", "level %.80q is none of quick, full, restore", string(v.Level))
	}
	if err := v.Expect.check(); err != nil {
		return nil, err
	}
	v.Progress.Enter(PhaseQuick)
	listing, err := backup.List(ctx, v.Source)
	if err != nil {
		return nil, err
	}
	report := &Report{Location: v.Source.String(), Level: v.Level, Good: true, Series: []SeriesReport{}, Problems: []string{}}
	series := listing.Series
	if v.BackupID != "" || len(series) == 0 && len(listing.Damaged) == 0 {
		one, err := manifest.Find(series, v.BackupID, v.Source.String())
		if err != nil {
			return nil, err
		}
		series = []manifest.Series{*one}
	}
	var first error
	fail := func(err error) {
		report.Good = false
		if first == nil || fault.Is(err, fault.Corrupt) && !fault.Is(first, fault.Corrupt) {
			first = err
		}
	}
	for _, d := range listing.Damaged {
		report.Problems = append(report.Problems, d.Err.Error())
		fail(d.Err)
	}
	for i := range series {
		found := SeriesReport{BackupID: series[i].BackupID}
		err := v.series(ctx, &series[i], &found)
		if i == len(series)-1 {
			err = errors.Join(v.Expect.of(&series[i]), err)
		}
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		if found.Good = err == nil; err != nil {
			found.Problem, found.Hint = err.Error(), fault.HintOf(err)
			fail(err)
		}
		report.Series = append(report.Series, found)
	}
	if first != nil {
		return report, fault.Wrap(first, "verify %s", v.Source)
	}
	v.Progress.Enter(backup.PhaseDone)
	return report, nil
}

// series verifies one series up to the wanted level.
func (v *Verify) series(ctx context.Context, s *manifest.Series, found *SeriesReport) error {
	chain, err := s.Chain(v.BackupNum)
	if err != nil {
		return err
	}
	mark, err := backup.Reading(ctx, v.Source, "verify", chain[len(chain)-1].Manifest)
	if err != nil {
		return err
	}
	defer func() { _ = mark.Release(context.WithoutCancel(ctx)) }() // it expires
	for _, m := range chain {
		if _, err := m.CheckKey(m.Data, v.Keys); err != nil {
			return err
		}
		found.Backups++
		found.Records += m.Records
		found.StoredBytes += m.StoredBytes
		for group := range m.Groups {
			one, err := readMember(ctx, v.Source, m, group, v.Keys)
			if err != nil {
				return err
			}
			if v.Level == Quick {
				continue
			}
			v.Progress.Enter(PhaseRead)
			if err := v.readAll(ctx, one); err != nil {
				return err
			}
		}
	}
	if v.Level != Rehearse {
		return nil
	}
	v.Progress.Enter(PhaseRehearse)
	return v.rehearse(ctx, chain[len(chain)-1].Manifest)
}

// readAll reads every part of one group of a backup, in parallel.
func (v *Verify) readAll(ctx context.Context, m *member) error {
	workers := v.Workers
	if workers == 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	group, gctx := errgroup.WithContext(ctx)
	group.SetLimit(workers)
	for i := range m.list.Parts {
		group.Go(func() error { return v.readPart(gctx, m, &m.list.Parts[i]) })
	}
	return group.Wait()
}

// readPart reads a whole part through the same checks as a restore, each chunk's
// digest among them.
func (v *Verify) readPart(ctx context.Context, m *member, p *archive.Part) (err error) {
	name := path.Join(m.manifest.Path, p.Name)
	damaged := func(format string, args ...any) error {
		return fault.New(fault.Corrupt, "verify part "+name, format, args...)
	}
	if p.IV != "" {
		iv, err := readHead(ctx, v.Source, name, ee.IVSize)
		if err != nil {
			return err
		}
		if hex.EncodeToString(iv) != p.IV {
			return damaged("its IV was altered")
		}
	}
	c := &cursor{ctx: ctx, src: v.Source, dec: new(archive.Decoder), member: m,
		runs: []run{{p, 0, len(p.Chunks)}}, batch: len(p.Chunks), progress: v.Progress}
	defer func() { err = errors.Join(err, c.close()) }()
	for {
		if err := c.next(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
	}
	switch {
	case c.accepts != p.Records:
		return damaged("it has %d records, its part list says %d", c.accepts, p.Records)
	case !bytes.Equal(c.prev, p.LastKey):
		return damaged("its last key is %.64x, its part list says %.64x", c.prev, p.LastKey)
	}
	return nil
}

func readHead(ctx context.Context, src archive.Opener, name string, n int64) ([]byte, error) {
	body, err := src.Open(ctx, name, 0, n)
	if err != nil {
		return nil, err
	}
	head := make([]byte, n)
	_, err = io.ReadFull(body, head)
	return head, fault.Wrap(errors.Join(err, body.Close()), "read %s", name)
}

// rehearse restores into a scratch directory, opens what was made and reads
// every record in it.
func (v *Verify) rehearse(ctx context.Context, newest *manifest.Manifest) (err error) {
	scratch, err := os.MkdirTemp(v.Scratch, "brock-verify-")
	if err != nil {
		return fault.Wrap(err, "make a scratch directory")
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	r := &Restore{Source: v.Source, BackupID: newest.BackupID, BackupNum: newest.BackupNum, Keys: v.Keys,
		Dir: scratch, AtRest: v.AtRest, Workers: v.Workers, NewSchema: v.NewSchema}
	res, err := r.Run(ctx)
	if err != nil {
		return err
	}
	var records int64
	for _, dir := range res.Dirs {
		n, err := countRecords(dir, v.AtRest)
		if err != nil {
			return err
		}
		records += n
	}
	if want := res.Records + res.Marks; records != want {
		return fault.New(fault.Other, "rehearse the restore of "+newest.Path, "%d records were restored, %d can be read", want, records)
	}
	return nil
}

// countRecords reads every version of every record in a restored directory.
func countRecords(dir string, atRest ee.Key) (n int64, err error) {
	db, err := badger.OpenManaged(targetOptions(dir, atRest))
	if err != nil {
		return 0, fault.Wrap(err, "open the restored database in %s", filepath.Base(dir))
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	txn := readAll(db)
	defer txn.Discard()
	it := txn.NewIterator(badger.IteratorOptions{AllVersions: true})
	defer it.Close()
	for it.Rewind(); it.Valid(); it.Next() {
		item := it.Item()
		if err := item.Value(func([]byte) error { return nil }); err != nil {
			return 0, fault.Wrap(err, "read key %s", strings.ToValidUTF8(string(item.Key()), "?"))
		}
		n++
	}
	return n, nil
}
