package destination

import (
	"context"
	"strings"

	"github.com/brockdb/brock/backup/fault"
)

// isKept reports whether an object is part of a backup, which a retention is
// for. Leases, marks and probes come and go: a mark that stayed would say for
// minutes that a series is read, or removed, when it is not.
func isKept(name string) bool {
	return strings.Contains(name, "/") && !isPresence(name)
}

// checkLock refuses a retention where the bucket has no object lock. It asks
// once.
func (s *s3Store) checkLock(ctx context.Context) error {
	if s.options.Retention == 0 {
		return nil
	}
	s.lockMu.Lock()
	defer s.lockMu.Unlock()
	if s.lockOK {
		return s.lockErr
	}
	op := "lock objects in bucket " + s.location.Bucket
	enabled, _, _, _, err := s.core.GetObjectLockConfig(ctx, s.location.Bucket)
	failed := s.fail(ctx, "ask for the object lock of", "", "s3:GetBucketObjectLockConfiguration", err)
	switch {
	case err == nil && enabled == "Enabled", fault.Is(failed, fault.Denied):
		s.lockOK = true // who may not ask sees it at the first object
	case err == nil, fault.Is(failed, fault.Usage), fault.Is(failed, fault.NotFound):
		s.lockOK = true
		s.lockErr = fault.New(fault.Usage, op, "the bucket has no object lock").
			WithHint("leave --retention away, or use a bucket that was made with object lock")
	default:
		return failed
	}
	return s.lockErr
}
