package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/brockdb/brock/backup/fault"
)

// session is what brock login keeps about one alpha.
type session struct {
	User       string `json:"user"`
	AccessJWT  string `json:"access_jwt"`
	RefreshJWT string `json:"refresh_jwt"`
}

// loginFile returns where logins are kept, by the alpha's URL: readable by their
// owner only.
func loginFile() (string, error) {
	dir, err := os.UserConfigDir()
	if err != nil {
		return "", fault.New(fault.Usage, "find the folder of logins", "%w", err).WithHint("set HOME, or give --access_token")
	}
	return filepath.Join(dir, "brock", "login.json"), nil
}

// readLogins returns all logins, and none where there is no file. One that
// others may read is refused: whoever has a token is its user.
func readLogins() (map[string]session, error) {
	name, err := loginFile()
	if err != nil {
		return nil, err
	}
	logins := map[string]session{}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return logins, nil
	}
	if err != nil {
		return nil, fault.Wrap(err, "read logins")
	}
	op := "use logins of " + name
	if info, err := os.Stat(name); err != nil || info.Mode().Perm()&0o077 != 0 {
		return nil, fault.New(fault.Usage, op, "others may read the file").WithHint("chmod 600 %s, or remove it and log in again", name)
	}
	if json.Unmarshal(text, &logins) != nil { // the cause might show a token
		return nil, fault.New(fault.Usage, op, "it is not what brock login writes").WithHint("remove it and log in again")
	}
	return logins, nil
}

// keepSession adds a login, in place of the one to the same alpha. One without an
// access token is forgotten.
func keepSession(alpha string, s session) error {
	logins, err := readLogins()
	if err != nil {
		return err
	}
	logins[alpha] = s
	if s.AccessJWT == "" {
		delete(logins, alpha)
	}
	name, err := loginFile()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return fault.Wrap(err, "make the folder of logins")
	}
	return writeSecret(name, func(w io.Writer) error { return printJSON(w, logins) })
}

// writeSecret is writeFile for what only its owner may read, at no moment.
func writeSecret(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-") // of mode 0600
	if err != nil {
		return fault.Wrap(err, "write file %s", name)
	}
	err = errors.Join(write(f), f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return fault.Wrap(errors.Join(err, os.Remove(f.Name())), "write file %s", name)
	}
	return nil
}

// expires returns when a JWT ends, or the zero time when it does not say. Who
// made it, the alpha checks.
func expires(jwt string) time.Time {
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return time.Time{}
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	var claims struct {
		ExpiresAt float64 `json:"exp"` // seconds since 1970, RFC 7519 section 4.1.4
	}
	if err != nil || json.Unmarshal(payload, &claims) != nil || claims.ExpiresAt == 0 {
		return time.Time{}
	}
	return time.Unix(int64(claims.ExpiresAt), 0)
}
