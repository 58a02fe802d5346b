package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/vault/api"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// Where a key is by default, as in Dgraph but for the path.
const (
	DefaultPath  = "secret/data/brock"
	DefaultField = "enc_key"
)

// The forms of a key in a field.
const (
	Base64 = "base64" // RFC 4648, padded or not
	Raw    = "raw"    // the bytes themselves
)

// Secret says where a key is. What is empty has its default.
type Secret struct {
	Path     string // of the API: with data in it for a key/value engine of version 2
	Field    string
	Format   string
	Versions []uint // of the secret, in an engine of version 2; none means the newest
}

func (s Secret) withDefaults() Secret {
	if s.Path == "" {
		s.Path = DefaultPath
	}
	if s.Field == "" {
		s.Field = DefaultField
	}
	if s.Format == "" {
		s.Format = Base64
	}
	s.Path = strings.Trim(s.Path, "/")
	return s
}

func (s Secret) check() error {
	if s.Format != Base64 && s.Format != Raw {
		return fault.New(fault.Usage, "use a key of Vault", "its format %.40q is neither base64 nor raw", s.Format)
	}
	if strings.ContainsAny(s.Path, "?#%") || slices.Contains(strings.Split(s.Path, "/"), "..") {
		return fault.New(fault.Usage, "use a key of Vault", "its path %.200q is no path of a secret", s.Path)
	}
	return nil
}

// key reads one version of a secret; 0 is the newest.
func (c *Client) key(ctx context.Context, s Secret, version uint) (ee.Key, error) {
	text, err := c.read(ctx, s, version)
	var known *stepError
	if errors.As(err, &known) && known.step == stepPermission && c.owned {
		// The token may have ended; a new one tells.
		if _, err := c.login(ctx); err != nil {
			return ee.Key{}, err
		}
		text, err = c.read(ctx, s, version)
	}
	if err != nil {
		return ee.Key{}, err
	}
	return decode(text, s)
}

// read returns the text in the secret's field.
func (c *Client) read(ctx context.Context, s Secret, version uint) (string, error) {
	var query map[string][]string
	if version > 0 {
		query = map[string][]string{"version": {fmt.Sprint(version)}}
	}
	secret, err := c.api.Logical().ReadWithDataWithContext(ctx, s.Path, query)
	if err != nil {
		err = classify(err, stepPath)
		var known *stepError
		if errors.As(err, &known) && known.step == stepPermission && c.doubtful {
			return "", failed(stepLogin, fault.Denied, "check the token: it may have ended", "the token may read neither itself nor %s", s.Path)
		}
		return "", err
	}
	fields, err := fieldsOf(secret, s, version)
	if err != nil {
		return "", err
	}
	value, found := fields[s.Field]
	if !found {
		return "", failed(stepField, fault.NotFound, "check --vault_field", "%s has no field %q, but %s",
			s.Path, s.Field, strings.Join(slices.Sorted(maps.Keys(fields)), ", "))
	}
	text, ok := value.(string)
	if !ok {
		return "", failed(stepField, fault.Usage, "store the key as text", "field %q of %s is no text", s.Field, s.Path)
	}
	return text, nil
}

// fieldsOf finds the fields in an answer of an engine of version 1 or 2.
func fieldsOf(secret *api.Secret, s Secret, version uint) (map[string]any, error) {
	if secret == nil || secret.Data == nil {
		hint := pathHint
		if secret != nil && len(secret.Warnings) > 0 {
			hint = fmt.Sprintf("%.300s", strings.Join(secret.Warnings, "; "))
		}
		return nil, failed(stepPath, fault.NotFound, hint, "there is no secret at %s", s.Path)
	}
	_, versioned := secret.Data["metadata"].(map[string]any)
	data, present := secret.Data["data"]
	if !versioned || !present {
		if version > 0 {
			return nil, failed(stepPath, fault.Usage, "leave --vault_version out", "%s is in a key/value engine of version 1, which keeps no versions", s.Path)
		}
		return secret.Data, nil
	}
	fields, ok := data.(map[string]any)
	if !ok || fields == nil {
		which := "the newest version"
		if version > 0 {
			which = fmt.Sprintf("version %d", version)
		}
		return nil, failed(stepPath, fault.NotFound, "undelete it, or name another with --vault_version", "%s of %s was deleted", which, s.Path)
	}
	return fields, nil
}

// decode makes a key of the text in a field.
func decode(text string, s Secret) (ee.Key, error) {
	raw := []byte(text)
	defer func() { clear(raw) }()
	where := fmt.Sprintf("field %q of %s", s.Field, s.Path)
	if s.Format == Base64 {
		trimmed := strings.TrimRight(strings.TrimSpace(text), "=")
		decoded, err := base64.RawStdEncoding.DecodeString(trimmed)
		if err != nil {
			return ee.Key{}, failed(stepFormat, fault.Usage, "store the key in base64, or say --vault_format raw", "%s is not base64", where)
		}
		clear(raw)
		raw = decoded
	} else if n := len(raw); n > 0 && raw[n-1] == '\n' && (n == 17 || n == 25 || n == 33) {
		return ee.Key{}, failed(stepFormat, fault.Usage, "store the key without a newline, or in base64", "%s ends in a newline after %d bytes", where, n-1)
	}
	key, err := ee.NewKey(raw)
	if err != nil {
		return ee.Key{}, failed(stepSize, fault.Usage, "store 16, 24 or 32 random bytes; --vault_format says how they are written", "%s: %w", where, err)
	}
	return key, nil
}
