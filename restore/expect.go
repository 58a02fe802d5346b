package restore

import (
	"strings"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/backup/manifest"
)

// Expect is what somebody knows of a series from elsewhere. A destination cannot
// tell that its newest backups were removed: what is left is a sound series that
// is shorter. The zero Expect expects nothing.
type Expect struct {
	BackupNum int    // the series has a backup with at least this number
	Digest    string // of the manifest of one of its backups, hex: proves all before it as well
}

// IsZero reports whether nothing is expected.
func (e Expect) IsZero() bool { return e == Expect{} }

func (e Expect) check() error {
	digest := strings.ToLower(e.Digest)
	switch {
	case e.BackupNum < 0:
		return fault.New(fault.Usage, "expect a backup", "its number is %d", e.BackupNum)
	case digest != "" && (len(digest) != 64 || strings.Trim(digest, "0123456789abcdef") != ""):
		return fault.New(fault.Usage, "expect a backup", "the digest is not 64 hexadecimal digits").
			WithHint("brock lsbackup shows the digest of each backup")
	}
	return nil
}

// of tells whether a series is as expected. Kind: Corrupt.
func (e Expect) of(s *manifest.Series) error {
	op := "trust series " + s.BackupID
	const hint = "the newest backups were removed, or the destination was set back; look for another copy"
	if newest := s.Newest().BackupNum; newest < e.BackupNum {
		return fault.New(fault.Corrupt, op, "its newest backup is number %d, and number %d was expected", newest, e.BackupNum).WithHint(hint)
	}
	if e.Digest == "" {
		return nil
	}
	for _, m := range s.Members {
		if m.Digest == strings.ToLower(e.Digest) {
			return nil
		}
	}
	return fault.New(fault.Corrupt, op, "it has no backup with the digest that was expected, %.12s…", e.Digest).WithHint(hint)
}
