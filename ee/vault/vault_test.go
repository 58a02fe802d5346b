package vault

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/ee"
)

// tokens is a Vault that gives tokens: what keep needs of one.
type tokens struct {
	ttl, maxTTL time.Duration
	renewable   bool

	mu        sync.Mutex
	downUntil time.Time

	born, ends      time.Time
	logins, renewed int
}

// left is for how long there is a token that lives; more than zero when it lives
// for ever.
func (k *tokens) left() time.Duration {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ttl == 0 {
		return time.Hour
	}
	return time.Until(k.ends)
}

func (k *tokens) goDown(d time.Duration) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.downUntil = time.Now().Add(d)
}

var errDown = errors.New("down")

func (k *tokens) login(context.Context) (lease, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if time.Now().Before(k.downUntil) {
		return lease{}, errDown
	}
	k.logins++
	k.born = time.Now()
	k.ends = k.born.Add(k.ttl)
	return lease{k.ttl, k.renewable}, nil
}

func (k *tokens) renew(context.Context) (lease, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	now := time.Now()
	if now.Before(k.downUntil) || now.After(k.ends) {
		return lease{}, errDown
	}
	k.renewed++
	ttl := min(k.ttl, k.born.Add(k.maxTTL).Sub(now))
	k.ends = now.Add(ttl)
	return lease{ttl, k.renewable}, nil
}

// TestKeep: there is always a token that lives, through renewals, the end of
// what can be renewed, and times without Vault.
func TestKeep(t *testing.T) {
	for name, c := range map[string]struct {
		tokens          *tokens
		logins, renewed bool
	}{
		"renewable":     {&tokens{ttl: time.Hour, maxTTL: 24 * 365 * time.Hour, renewable: true}, false, true},
		"with an end":   {&tokens{ttl: time.Hour, maxTTL: 5 * time.Hour, renewable: true}, true, true},
		"not renewable": {&tokens{ttl: time.Hour}, true, false},
		"for ever":      {&tokens{}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithCancel(t.Context())
				k := c.tokens
				first, err := k.login(ctx)
				if err != nil {
					t.Fatal(err)
				}
				ended := make(chan struct{})
				go func() {
					keep(ctx, k, first, func(string, error) {})
					close(ended)
				}()
				for range 100 {
					time.Sleep(17 * time.Minute)
					synctest.Wait()
					if k.left() < 0 {
						t.Fatalf("the token ended %v ago", -k.left())
					}
				}
				k.goDown(3 * time.Hour)
				time.Sleep(3*time.Hour + longestRetry + time.Second)
				synctest.Wait()
				if k.left() < 0 {
					t.Error("there is no token long after Vault is back")
				}
				cancel()
				<-ended
				if again := k.logins > 2; again != c.logins || (k.renewed > 0) != c.renewed {
					t.Errorf("%d logins and %d renewals", k.logins, k.renewed)
				}
			})
		})
	}
}

func TestDecode(t *testing.T) {
	raw := "0123456789abcdef0123456789abcd+/"
	want, err := ee.NewKey([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	padded := base64.StdEncoding.EncodeToString([]byte(raw))
	for _, c := range []struct {
		text, format string
		step         step // "" means good
	}{
		{padded, Base64, ""}, {strings.TrimRight(padded, "="), Base64, ""}, {" " + padded + "\r\n", Base64, ""}, {raw, Raw, ""},
		{padded[:20] + "\n" + padded[20:], Base64, ""}, {raw + "\n", Raw, stepFormat}, {"x" + padded, Base64, stepSize},
		{"?! no such text", Base64, stepFormat}, {padded[:20], Base64, stepSize}, {"", Base64, stepSize}, {"", Raw, stepSize}, {raw[:15], Raw, stepSize},
	} {
		key, err := decode(c.text, Secret{Path: "p", Field: "f", Format: c.format})
		var known *stepError
		switch {
		case c.step == "" && (err != nil || key.ID() != want.ID()):
			t.Errorf("%s of %d characters: %v", c.format, len(c.text), err)
		case c.step != "" && (!errors.As(err, &known) || known.step != c.step):
			t.Errorf("%s of %d characters: %v, want step %s", c.format, len(c.text), err, c.step)
		case err != nil && len(c.text) > 10 && strings.Contains(err.Error(), c.text[:10]):
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add("MDEyMzQ1Njc4OWFiY2RlZg==\n", Base64)
	f.Add("0123456789abcdef", Raw)
	f.Fuzz(func(t *testing.T, text, format string) {
		key, err := decode(text, Secret{Path: "p", Field: "f", Format: format})
		if (err == nil) == key.IsZero() {
			t.Errorf("key %v, error %v", key, err)
		}
		if err != nil && len(text) >= 16 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the text: %v", err)
		}
		if out := fmt.Sprintf("%v %+v %#v", key, key, &key); len(text) >= 16 && strings.Contains(out, text) {
			t.Errorf("printing reveals the key: %s", out)
		}
	})
}

// TestHostileServer: what calls itself Vault gets no token but its own, and no
// memory.
func TestHostileServer(t *testing.T) {
	t.Setenv("VAULT_TOKEN", "token-of-the-environment")
	t.Setenv("VAULT_HEADERS", `{"Secret": "header-of-the-environment"}`)
	t.Setenv("VAULT_NAMESPACE", "namespace-of-the-environment")
	var stolen atomic.Int64
	thief := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, _ *http.Request) { stolen.Add(1) }))
	defer thief.Close()
	redirect := httptest.NewServer(http.RedirectHandler(thief.URL, http.StatusTemporaryRedirect))
	defer redirect.Close()
	_, err := Open(t.Context(), Options{Address: redirect.URL, Timeout: time.Second})
	if err == nil || !strings.Contains(err.Error(), "redirect") || stolen.Load() > 0 {
		t.Errorf("a redirect was followed %d times: %v", stolen.Load(), err)
	}
	endless := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"data": {"x": "`)) // as long as somebody reads
		for {
			if _, err := w.Write(make([]byte, 1<<16)); err != nil {
				return
			}
		}
	}))
	defer endless.Close()
	if _, err := Open(t.Context(), Options{Address: endless.URL, Timeout: time.Second}); err == nil {
		t.Error("an endless answer is no error")
	}
	var seen string
	listening := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen += fmt.Sprint(r.Header)
		http.Error(w, `{"errors": ["no"]}`, http.StatusForbidden)
	}))
	defer listening.Close()
	if _, err := Open(t.Context(), Options{Address: listening.URL, Foreign: true}); err == nil || !strings.Contains(err.Error(), "step login") {
		t.Errorf("without a login of its own: %v", err)
	}
	file := t.TempDir() + "/role"
	if err := writeText(file, "role"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{Address: listening.URL, Foreign: true, RoleIDFile: file}); !fault.Is(err, fault.Denied) || seen == "" {
		t.Errorf("with a role: %v", err)
	}
	if strings.Contains(seen, "of-the-environment") {
		t.Errorf("it was told %s", seen)
	}
}

func TestOptions(t *testing.T) {
	for _, o := range []Options{
		{SecretIDFile: "x"}, {RoleIDFile: "x", TokenFile: "y"}, {TokenFile: "x", KubernetesRole: "y"}, {ClientCert: "x"}, {Timeout: -1},
		{Address: "vault:8200"}, {Address: "ftp://vault"}, {Address: "http://"}, {Address: "http://u:secret-word@vault"}, {Address: "http://vault?secret-word"},
	} {
		_, err := Open(t.Context(), o)
		if !fault.Is(err, fault.Usage) || strings.Contains(err.Error()+fault.HintOf(err), "secret-word") {
			t.Errorf("%+v: %v", o, err)
		}
	}
	same := func(a, b string, want bool) {
		t.Helper()
		if SameAddress(a, b) != want {
			t.Errorf("%s and %s: %t", a, b, !want)
		}
	}
	same("https://Vault.example.com", "https://vault.EXAMPLE.com:443/", true)
	same("http://vault:8200", "http://vault:8200", true)
	same("http://vault:8200", "https://vault:8200", false)
	same("http://vault", "http://vault.evil", false)
	same("http://vault@evil", "http://vault", false)
	same("", "", false)
}

func writeText(path, text string) error { return os.WriteFile(path, []byte(text), 0o600) }
