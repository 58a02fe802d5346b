package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"hash"
	"io"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// copyBuffer is what an object is read in while it is copied.
const copyBuffer = 256 << 10

// checksum tells whether what was written to it is what it should be.
type checksum interface {
	io.Writer
	Good() bool
}

// digestSum is the checksum of an object whose SHA-256 is known, in hex.
type digestSum struct {
	hash.Hash
	want string
}

func newDigestSum(want string) digestSum { return digestSum{sha256.New(), want} }

func (s digestSum) Good() bool { return hex.EncodeToString(s.Sum(nil)) == s.want }

// anySum is the checksum of an object of which nothing is known.
type anySum struct{}

func (anySum) Write(b []byte) (int, error) { return len(b), nil }
func (anySum) Good() bool                  { return true }

// sendObject copies an object. It becomes visible only when it has the size, and
// sum is good.
func sendObject(ctx context.Context, from, to destination.Destination, name string, size int64, sum checksum) error {
	body, err := from.Open(ctx, name, 0, size)
	if err != nil {
		return fault.Wrap(err, "read %s", name)
	}
	defer body.Close() // only read
	w, err := to.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return fault.Wrap(err, "store %s", name)
	}
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), onlyReader{body}, make([]byte, copyBuffer))
	switch {
	case err != nil:
	case n != size:
		err = fault.New(fault.Corrupt, "read "+name+" at "+from.String(), "it ends after %d of %d bytes", n, size)
	case !sum.Good():
		err = fault.New(fault.Corrupt, "read "+name+" at "+from.String(), "it was altered: its SHA-256 is not its part list's").
			WithHint("bring the object back from another copy")
	default:
		err = w.Commit(ctx)
	}
	if err != nil {
		return fault.Wrap(errors.Join(err, w.Abort()), "copy %s", name)
	}
	return nil
}

// onlyReader hides a WriterTo, which would choose its own buffers.
type onlyReader struct{ io.Reader }

// digestOf reads an object and returns its SHA-256 in hex.
func digestOf(ctx context.Context, d destination.Destination, name string, size int64) (string, error) {
	body, err := d.Open(ctx, name, 0, size)
	if err != nil {
		return "", err
	}
	sum := sha256.New()
	_, err = io.Copy(sum, body)
	return hex.EncodeToString(sum.Sum(nil)), fault.Wrap(errors.Join(err, body.Close()), "read %s", name)
}
