package destination

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"path"
	"regexp"
	"slices"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// SeriesMark is a mark that holds now.
type SeriesMark struct {
	Holder   string   // for people
	Purpose  string   // what for
	Series   []string // backup ids
	Removing bool     // it is not a reader's
	// Unreadable marks hold every series until they expire.
	Unreadable bool
}

func (s *SeriesMark) holds(series []string) bool {
	r := markRecord{Series: s.Series}
	return s.Unreadable || r.names(series)
}

// Holds reports whether the mark is about the series with the given backup id.
func (s *SeriesMark) Holds(backupID string) bool { return s.holds([]string{backupID}) }

var markPattern = regexp.MustCompile(`^[A-Z2-7]{26}$`)

// ReadMarks returns the marks that hold at a destination: those that have not
// expired and whose holder is not known to be dead.
func ReadMarks(ctx context.Context, d Destination, now time.Time) ([]SeriesMark, error) {
	var marks []SeriesMark
	err := eachMark(ctx, d, now, func(_ string, held bool, mark SeriesMark) error {
		if held {
			marks = append(marks, mark)
		}
		return nil
	})
	return marks, err
}

// RemoveDeadMarks removes the marks that hold no more. The lease must be held.
func RemoveDeadMarks(ctx context.Context, d Destination, now time.Time) error {
	var dead []string
	err := eachMark(ctx, d, now, func(name string, held bool, _ SeriesMark) error {
		if !held {
			dead = append(dead, name)
		}
		return nil
	})
	for _, name := range dead {
		if rerr := d.Remove(ctx, name); rerr != nil && !mayStay(rerr) {
			err = also(err, rerr)
		}
	}
	return fault.Wrap(err, "remove expired marks at %s", d)
}

// eachMark visits the marks at d and says whether they hold.
func eachMark(ctx context.Context, d Destination, now time.Time, visit func(name string, held bool, mark SeriesMark) error) error {
	self, err := currentProcess()
	if err != nil {
		self = process{}
	}
	var found []Info
	err = d.List(ctx, markDir, func(info Info) error {
		if !info.Dir && markPattern.MatchString(path.Base(info.Name)) {
			found = append(found, info)
		}
		return nil
	})
	if err != nil {
		return fault.Wrap(err, "read marks at %s", d)
	}
	for _, info := range found {
		r, err := readMark(ctx, d, info.Name)
		var mark SeriesMark
		var held bool
		switch {
		case fault.Is(err, fault.NotFound):
			continue // released meanwhile
		case fault.Is(err, fault.Corrupt):
			held = now.Before(info.Modified.Add(markTTL + skewMargin(markTTL)))
			mark = SeriesMark{Holder: "somebody whose mark is unreadable", Purpose: "unknown", Unreadable: true}
		case err != nil:
			return fault.Wrap(err, "read marks at %s", d)
		default:
			held = now.Before(r.heldUntil()) && !r.isDead(self)
			mark = SeriesMark{Holder: r.leaseRecord.String(), Purpose: r.Purpose, Series: r.Series, Removing: r.Purpose == removing}
		}
		if err := visit(info.Name, held, mark); err != nil {
			return err
		}
	}
	return nil
}

// readMark reads a mark, which is hostile input. Content that is no mark is an
// error of kind Corrupt.
func readMark(ctx context.Context, d Destination, name string) (*markRecord, error) {
	object, err := d.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(object, maxMarkBytes+1))
	if err := also(err, object.Close()); err != nil {
		return nil, err
	}
	r, err := decodeMark(data)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "read mark "+d.String()+"/"+name, "%w", err)
	}
	return r, nil
}

func decodeMark(data []byte) (*markRecord, error) {
	if len(data) > maxMarkBytes {
		return nil, errors.New("it is too long for a mark")
	}
	r := new(markRecord)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if len(r.Series) == 0 || len(r.Series) > maxMarkSeries {
		return nil, errors.New("it names no series, or too many")
	}
	if slices.ContainsFunc(r.Series, func(id string) bool { return id == "" || checkLeaseText(id) != nil }) {
		return nil, errors.New("it names a series that cannot be one")
	}
	return r, nil
}

// writeJSON commits v as a small object.
func writeJSON(ctx context.Context, d Destination, name string, mode Mode, v any) (err error) {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	w, err := d.Create(ctx, name, mode)
	if err != nil {
		return err
	}
	defer func() { err = also(err, w.Abort()) }()
	if _, err := io.Copy(w, bytes.NewReader(append(data, '\n'))); err != nil {
		return err
	}
	return w.Commit(ctx)
}
