package destination

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/brockdb/brock/backup/fault"
)

const (
	leaseDir         = "brock.lease"
	leaseEpochDigits = 20 // of the largest uint64, so that names sort as numbers
	maxLeaseBytes    = 16 << 10
	maxLeaseText     = 256 // bytes, of each text in a lease object
	maxLeaseTTL      = 24 * time.Hour
)

// leaseRecord is the content of a lease object.
type leaseRecord struct {
	Owner   string `json:"owner"`
	Purpose string `json:"purpose"`
	Nonce   string `json:"nonce"` // random: one AcquireLease
	process
	AcquiredAt time.Time `json:"acquired_at"`
	RenewedAt  time.Time `json:"renewed_at"`
	ExpiresAt  time.Time `json:"expires_at"`
	Released   bool      `json:"released"`
}

// process says which process wrote a lease, as far as the machine can tell.
type process struct {
	Host   string `json:"host"`
	PID    int    `json:"pid"`
	System string `json:"system,omitempty"`     // the boot and the namespaces pid belongs to
	Start  uint64 `json:"start_time,omitempty"` // of the process, in ticks since boot
}

// leaseName returns the name of the lease object of an epoch.
func leaseName(epoch uint64) string {
	return fmt.Sprintf("%s/%0*d", leaseDir, leaseEpochDigits, epoch)
}

// leaseEpoch returns the epoch of a lease object; ok is false for other names.
func leaseEpoch(name string) (epoch uint64, ok bool) {
	digits, ok := strings.CutPrefix(name, leaseDir+"/")
	if !ok || len(digits) != leaseEpochDigits || strings.Trim(digits, "0123456789") != "" {
		return 0, false
	}
	epoch, err := strconv.ParseUint(digits, 10, 64)
	return epoch, err == nil
}

// ttl returns how long the holder may stay silent.
func (r *leaseRecord) ttl() time.Duration { return r.ExpiresAt.Sub(r.RenewedAt) }

// heldUntil returns when somebody else may take the lease: the clocks of two
// hosts differ.
func (r *leaseRecord) heldUntil() time.Time { return r.ExpiresAt.Add(skewMargin(r.ttl())) }

// skewMargin returns by how much the clocks of two hosts may differ.
func skewMargin(ttl time.Duration) time.Duration { return ttl / 4 }

// String names the holder for an error.
func (r *leaseRecord) String() string {
	purpose := ""
	if r.Purpose != "" {
		purpose = ", " + r.Purpose
	}
	return fmt.Sprintf("%s on %s (pid %d%s)", r.Owner, r.Host, r.PID, purpose)
}

// decodeLease parses and checks a lease object. It is hostile input: its texts
// are printed and its times are added to.
func decodeLease(data []byte) (*leaseRecord, error) {
	if len(data) > maxLeaseBytes {
		return nil, errors.New("it is too long for a lease")
	}
	var r leaseRecord
	if err := json.Unmarshal(data, &r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	return &r, nil
}

// check refuses what no holder writes.
func (r *leaseRecord) check() error {
	for _, text := range []string{r.Owner, r.Purpose, r.Nonce, r.Host, r.System} {
		if err := checkLeaseText(text); err != nil {
			return err
		}
	}
	switch {
	case r.Owner == "" || r.Nonce == "":
		return errors.New("owner or nonce is missing")
	case r.AcquiredAt.IsZero() || r.RenewedAt.Before(r.AcquiredAt) || r.ExpiresAt.Before(r.RenewedAt):
		return errors.New("its times are out of order")
	case r.ttl() > maxLeaseTTL:
		return errors.New("it is valid for longer than a day")
	}
	return nil
}

func checkLeaseText(text string) error {
	switch {
	case len(text) > maxLeaseText:
		return fmt.Errorf("a text is longer than %d bytes", maxLeaseText)
	case !utf8.ValidString(text) || strings.ContainsFunc(text, unicode.IsControl):
		return errors.New("a text is not printable")
	}
	return nil
}

// readLease returns a lease object. Content that is no lease is an error of
// kind Corrupt.
func readLease(ctx context.Context, d Destination, epoch uint64) (*leaseRecord, error) {
	name := leaseName(epoch)
	object, err := d.Open(ctx, name, 0, -1)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(object, maxLeaseBytes+1))
	if err := also(err, object.Close()); err != nil {
		return nil, err
	}
	r, err := decodeLease(data)
	if err != nil {
		return nil, fault.New(fault.Corrupt, "read lease "+d.String()+"/"+name, "%w", err)
	}
	return r, nil
}

// writeLease commits a lease object.
func writeLease(ctx context.Context, d Destination, epoch uint64, mode Mode, r *leaseRecord) error {
	return writeJSON(ctx, d, leaseName(epoch), mode, r)
}

// listLeases returns the lease objects, lowest epoch first. What else lies in
// the folder is none of ours.
func listLeases(ctx context.Context, d Destination) ([]leaseInfo, error) {
	var leases []leaseInfo
	err := d.List(ctx, leaseDir, func(info Info) error {
		if epoch, ok := leaseEpoch(info.Name); ok && !info.Dir {
			leases = append(leases, leaseInfo{epoch, info.Modified})
		}
		return nil
	})
	return leases, err
}

type leaseInfo struct {
	epoch    uint64
	modified time.Time
}

// newestLease returns the lease object with the highest epoch; ok is false when
// there is none.
func newestLease(ctx context.Context, d Destination) (newest leaseInfo, ok bool, err error) {
	leases, err := listLeases(ctx, d)
	if err != nil || len(leases) == 0 {
		return leaseInfo{}, false, err
	}
	return leases[len(leases)-1], true, nil
}
