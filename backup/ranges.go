package backup

import (
	"bytes"
	"fmt"
	"reflect"

	badger "github.com/dgraph-io/badger/v4"

	"github.com/brockdb/brock/backup/archive"
)

// keyRange is [left, right); nil means unbounded.
type keyRange struct{ left, right []byte }

// String returns the range in hex, for errors.
func (r keyRange) String() string {
	if len(r.right) == 0 {
		return fmt.Sprintf("from key '%x' on", clip(r.left))
	}
	return fmt.Sprintf("from key '%x' up to '%x'", clip(r.left), clip(r.right))
}

const (
	minRangeBytes = 16 << 20
	maxRangeBytes = 1 << 30
	// rangesPerWorker keeps all workers busy until near the end.
	rangesPerWorker = 16
)

// cutRanges cuts the key space into contiguous ranges of about equal size. One
// range becomes one part, so their number grows with the data, slowly.
func cutRanges(db *badger.DB, workers int) (ranges []keyRange, rawBytes int64) {
	for _, t := range db.Tables() {
		rawBytes += int64(t.UncompressedSize)
	}
	size := min(max(rawBytes/int64(workers*rangesPerWorker), minRangeBytes), maxRangeBytes)
	n := int(rawBytes/size) + 1
	if n == 1 {
		return []keyRange{{}}, rawBytes
	}
	return contiguous(splits(db, n)), rawBytes
}

// splits returns about n keys to cut at. DB.Ranges computes them but returns an
// unexported type; its fields are read by name.
func splits(db *badger.DB, n int) [][]byte {
	list := reflect.ValueOf(db.Ranges(nil, n))
	keys := make([][]byte, 0, list.Len())
	for i := range list.Len() {
		left := list.Index(i).Elem().FieldByName("left")
		if left.Kind() == reflect.Slice && left.Len() > 0 {
			keys = append(keys, bytes.Clone(left.Bytes()))
		}
	}
	return keys
}

// contiguous turns cut keys into ranges that cover all keys, whatever the cuts.
func contiguous(cuts [][]byte) []keyRange {
	ranges := make([]keyRange, 0, len(cuts)+1)
	var left []byte
	for _, cut := range cuts {
		if bytes.Compare(cut, left) > 0 {
			ranges = append(ranges, keyRange{left, cut})
			left = cut
		}
	}
	return append(ranges, keyRange{left, nil})
}

// without returns what of the ranges is not covered by parts that are stored,
// both by key. A part holds every record from its first key to its last.
func without(ranges []keyRange, kept []archive.Part) []keyRange {
	var left []keyRange
	for _, r := range ranges {
		for len(kept) > 0 && (len(r.right) == 0 || bytes.Compare(kept[0].FirstKey, r.right) < 0) {
			p := &kept[0]
			if bytes.Compare(p.FirstKey, r.left) > 0 {
				left = append(left, keyRange{r.left, p.FirstKey})
			}
			if after := append(bytes.Clone(p.LastKey), 0); bytes.Compare(after, r.left) > 0 {
				r.left = after
			}
			if len(r.right) > 0 && bytes.Compare(r.left, r.right) >= 0 {
				break // it may cover some of the next range too
			}
			kept = kept[1:]
		}
		if len(r.right) == 0 || bytes.Compare(r.left, r.right) < 0 {
			left = append(left, r)
		}
	}
	return left
}
