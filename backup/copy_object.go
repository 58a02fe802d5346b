package backup

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"

	"github.com/brockdb/brock/backup/destination"
	"github.com/brockdb/brock/backup/fault"
)

// copyBuffer is what an object is read in while it is copied.
const copyBuffer = 256 << 10

// sendObject copies an object. It becomes visible only when it has the size and,
// unless digest is "", the SHA-256.
func sendObject(ctx context.Context, from, to destination.Destination, name string, size int64, digest string) error {
	body, err := from.Open(ctx, name, 0, size)
	if err != nil {
		return fault.Wrap(err, "read %s", name)
	}
	defer body.Close() // only read
	w, err := to.Create(ctx, name, destination.Exclusive)
	if err != nil {
		return fault.Wrap(err, "store %s", name)
	}
	sum := sha256.New()
	n, err := io.CopyBuffer(io.MultiWriter(w, sum), onlyReader{body}, make([]byte, copyBuffer))
	switch {
	case err != nil:
	case n != size:
		err = fault.New(fault.Corrupt, "read "+name+" at "+from.String(), "it ends after %d of %d bytes", n, size)
	case digest != "" && hex.EncodeToString(sum.Sum(nil)) != digest:
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
