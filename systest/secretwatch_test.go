package systest

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
)

// secretWatch collects what the processes of the whole run have shown, and what
// must not be in it. It is looked through when all tests are done: a secret of
// one test in the log of another's alpha is found as well.
type secretWatch struct {
	mu      sync.Mutex
	secrets map[string]string // value -> name of the test
	shown   map[string]string // text -> place
}

var watched = secretWatch{secrets: map[string]string{}, shown: map[string]string{}}

// leastSecret is how long a secret must be to be told from other texts.
const leastSecret = 12

// watchSecret registers a key, a token or a password of a test: it must be in
// nothing that any process of the run shows.
func watchSecret(t *testing.T, value string) {
	t.Helper()
	if len(value) < leastSecret {
		t.Fatalf("a secret of %d bytes cannot be told from other texts", len(value))
	}
	watched.mu.Lock()
	defer watched.mu.Unlock()
	watched.secrets[value] = t.Name()
}

// show adds something that anybody may see.
func (w *secretWatch) show(place, text string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if text != "" {
		w.shown[text] = place
	}
}

// formsOf returns how a secret may be written.
func formsOf(secret string) []string {
	b := []byte(secret)
	forms := []string{
		secret, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), url.QueryEscape(secret),
		fmt.Sprintf("%d", b), strings.Trim(fmt.Sprintf("%q", secret), `"`),
	}
	// In base64 a text that surrounds it shifts it: whole groups of each shift.
	for shift := range 3 {
		whole := base64.StdEncoding.EncodeToString(append(make([]byte, shift), b...))
		inner := whole[4*((shift+2)/3) : len(whole)/4*4-4]
		forms = append(forms, inner, strings.NewReplacer("+", "-", "/", "_").Replace(inner))
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// leaks says which secrets were shown where.
func (w *secretWatch) leaks() (found []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for secret, test := range w.secrets {
		for _, form := range formsOf(secret) {
			for text, place := range w.shown {
				if strings.Contains(text, form) {
					found = append(found, fmt.Sprintf("a secret of %s stands in %s", test, place))
				}
			}
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

// showAlpha adds what a running alpha tells: its tasks with all they keep, its
// health and its metrics.
func (w *secretWatch) showAlpha(t *testing.T, a *alpha) {
	t.Helper()
	const everything = `{ tasks { id kind status phase message hint destination backupId backupNum path } health { status ongoing } }`
	header := []string{"Content-Type: application/graphql"}
	if a.token != "" {
		header = append(header, "X-Dgraph-AuthToken: "+a.token)
	}
	w.show("the tasks of an alpha of "+t.Name(), a.request(t, http.MethodPost, "/admin", everything, header...).body)
	for _, path := range []string{"/health", "/metrics"} {
		w.show(path+" of an alpha of "+t.Name(), a.request(t, http.MethodGet, path, "").body)
	}
}

// TestSecretWatch: the watch finds what it is for, in every form.
func TestSecretWatch(t *testing.T) {
	t.Parallel()
	const secret = "S3cret+of/32 bytes \x01\xfe, not ASCII!"
	for _, form := range []string{
		secret, hex.EncodeToString([]byte(secret)), fmt.Sprintf("%q", secret), fmt.Sprintf("%d", []byte(secret)),
		base64.StdEncoding.EncodeToString([]byte(secret)), base64.RawURLEncoding.EncodeToString([]byte(secret)),
		base64.StdEncoding.EncodeToString([]byte("user:" + secret)), base64.StdEncoding.EncodeToString([]byte("u:" + secret + "\n")),
	} {
		w := secretWatch{secrets: map[string]string{secret: "test"}, shown: map[string]string{}}
		w.show("a harmless place", "nothing to be seen here: S3cret+of/32")
		if found := w.leaks(); len(found) != 0 {
			t.Errorf("found without reason: %v", found)
		}
		w.show("log", "some text "+form+" and more")
		if found := w.leaks(); len(found) != 1 || !strings.Contains(found[0], "log") {
			t.Errorf("%q was not found: %v", form, found)
		}
	}
}
