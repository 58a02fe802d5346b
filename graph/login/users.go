// Package login knows the users of an alpha: who they are, by a file of bcrypt
// hashes, and that it is they, by tokens that a login gives.
package login

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"os"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/bcrypt"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
)

// user is one line of the file.
type user struct {
	name string
	role caller.Role
	hash []byte // bcrypt
}

// mark changes with the user's password and role: tokens of before are void.
func (u *user) mark() string {
	sum := sha256.Sum256(slices.Concat([]byte(u.name+"\x00"+string(u.role)+"\x00"), u.hash))
	return hex.EncodeToString(sum[:8])
}

const (
	maxNameBytes = 128
	// MaxPasswordBytes is what bcrypt looks at.
	MaxPasswordBytes = 72
	maxFileBytes     = 4 << 20
)

// CheckName refuses names that a line of the file cannot hold.
func CheckName(name string) error {
	bad := func(r rune) bool { return r == ':' || r == '#' || unicode.IsSpace(r) || !unicode.IsPrint(r) }
	if name == "" || len(name) > maxNameBytes || !utf8.ValidString(name) || strings.ContainsFunc(name, bad) {
		return fault.New(fault.Usage, "use user name", "it is empty, longer than %d bytes, or has a blank, a colon or a #", maxNameBytes)
	}
	return nil
}

// CheckRole returns the role of that name.
func CheckRole(name string) (caller.Role, error) {
	switch role := caller.Role(name); role {
	case caller.Guardian, caller.Reader:
		return role, nil
	}
	return "", fault.New(fault.Usage, "use role", "%.40q is none", name).
		WithHint("a role is %s (everything) or %s (queries and dumps)", caller.Guardian, caller.Reader)
}

// Line makes a line of the file. cost is that of bcrypt; 0 means 12.
func Line(name string, role caller.Role, password []byte, cost int) (string, error) {
	if err := CheckName(name); err != nil {
		return "", err
	}
	if len(password) == 0 || len(password) > MaxPasswordBytes {
		return "", fault.New(fault.Usage, "use password", "it has %d bytes; it must have 1 to %d", len(password), MaxPasswordBytes)
	}
	if cost == 0 {
		cost = 12
	}
	hash, err := bcrypt.GenerateFromPassword(password, cost)
	if err != nil {
		return "", fault.Wrap(err, "hash password")
	}
	return fmt.Sprintf("%s:%s:%s", name, role, hash), nil
}

// readUsers reads a file of lines "user:role:bcrypt". Errors hold numbers of
// lines, never hashes.
func readUsers(name string) (map[string]*user, error) {
	op := "use users file " + name
	info, err := os.Stat(name)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Usage, Op: op, Err: err}
	}
	if info.Size() > maxFileBytes {
		return nil, fault.New(fault.Usage, op, "it has %d bytes; the limit is %d", info.Size(), maxFileBytes)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		return nil, &fault.Error{Kind: fault.Usage, Op: op, Err: err}
	}
	users := make(map[string]*user)
	lines := bufio.NewScanner(bytes.NewReader(text))
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || line[0] == '#' {
			continue
		}
		u, err := parseLine(line)
		if err == nil && users[u.name] != nil {
			err = fmt.Errorf("the user stands twice")
		}
		if err != nil {
			return nil, fault.New(fault.Usage, op, "line %d: %w", number, err).
				WithHint("a line is user:role:bcrypt; brock user add makes one")
		}
		users[u.name] = u
	}
	if err := lines.Err(); err != nil {
		return nil, fault.New(fault.Usage, op, "%w", err)
	}
	if len(users) == 0 {
		return nil, fault.New(fault.Usage, op, "it holds no user").WithHint("brock user add makes a line for it")
	}
	return users, nil
}

func parseLine(line string) (*user, error) {
	parts := strings.Split(line, ":")
	if len(parts) != 3 {
		return nil, fmt.Errorf("it has %d fields", len(parts))
	}
	if err := CheckName(parts[0]); err != nil {
		return nil, err
	}
	role, err := CheckRole(parts[1])
	if err != nil {
		return nil, err
	}
	hash := []byte(parts[2])
	const mostCost = 16 // a login takes seconds
	if cost, err := bcrypt.Cost(hash); err != nil || cost > mostCost || len(hash) != 60 {
		return nil, fmt.Errorf("its third field is no bcrypt hash of a cost up to %d", mostCost)
	}
	return &user{name: parts[0], role: role, hash: hash}, nil
}
