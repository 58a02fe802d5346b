package ee

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/brockdb/brock/backup/fault"
)

func TestKeyRing(t *testing.T) {
	a, _ := testKey(t, 16)
	b, _ := testKey(t, 24)
	c, _ := testKey(t, 32)
	ring := NewKeyRing(Key{}, b, a, b)
	if got, want := ring.IDs(), []string{b.ID(), a.ID()}; !slices.Equal(got, want) {
		t.Errorf("ids %q, want %q", got, want)
	}
	if ring.First() != b || ring.IsZero() {
		t.Error("the first key is not the one that was named first")
	}
	more := ring.With(c)
	if _, found := ring.Find(c.ID()); found || len(more.Keys()) != 3 || len(ring.Join(NewKeyRing(c, a)).Keys()) != 3 {
		t.Error("With changed its ring, or Join lost or doubled a key")
	}
	if got, err := more.Need(c.ID(), "use backup x"); err != nil || got != c {
		t.Errorf("need a key that is there: %v", err)
	}
	_, err := ring.Need(c.ID(), "use backup x")
	if !fault.Is(err, fault.WrongKey) || fault.HintOf(err) == "" ||
		!strings.Contains(err.Error(), "key "+c.ID()+" is needed, the ring has "+b.ID()+", "+a.ID()) {
		t.Errorf("need a key that is not there: %v", err)
	}
	var none KeyRing
	if _, err := none.Need(c.ID(), "use backup x"); !fault.Is(err, fault.KeyMissing) || fault.HintOf(err) == "" {
		t.Errorf("need a key of no keys: %v", err)
	}
	if _, found := none.Find(""); found || !none.First().IsZero() || !none.IsZero() {
		t.Error("the zero ring has a key")
	}
}

func TestKeyRingTakesPlain(t *testing.T) {
	key, _ := testKey(t, 16)
	for ring, want := range map[*KeyRing]bool{
		{}: true, ptr(NewKeyRing(key)): false, ptr(NewKeyRing(key).OrPlain()): true, ptr(NewKeyRing(key).OrPlain().With(key)): true,
	} {
		if ring.TakesPlain() != want {
			t.Errorf("ring of %d keys takes plain: %t", len(ring.keys), !want)
		}
	}
}

func ptr[T any](v T) *T { return &v }

// TestHoldersNeverPrint: whatever holds a key, also where a printer may not call
// its methods, shows "[redacted]" and nothing of the key.
func TestHoldersNeverPrint(t *testing.T) {
	raw := []byte("0123456789abcdef")
	key, err := NewKey(bytes.Clone(raw))
	if err != nil {
		t.Fatal(err)
	}
	ring := NewKeyRing(key)
	for _, holder := range []any{
		key, &key, ring, &ring, []Key{key}, map[string]KeyRing{"k": ring},
		struct{ Key Key }{key}, struct{ key Key }{key}, &struct{ ring KeyRing }{ring}, struct{ Keys []Key }{ring.Keys()},
		fmt.Errorf("use %v and %+v", key, ring),
	} {
		js, err := json.Marshal(holder)
		if err != nil {
			t.Fatal(err)
		}
		all := string(js)
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d"} {
			out := fmt.Sprintf(verb, holder)
			if (verb == "%v" || verb == "%+v") && !strings.Contains(out, "[redacted]") {
				t.Errorf("%s of %T prints %s", verb, holder, out)
			}
			all += out
		}
		mac := key.secret.material().macKey
		for _, secret := range []string{
			string(raw), hex.EncodeToString(raw), "MDEyMzQ1Njc4OWFiY2RlZg", "48 49 50", "0x30, 0x31",
			string(mac), hex.EncodeToString(mac), fmt.Sprintf("%d %d %d", mac[0], mac[1], mac[2]),
		} {
			if strings.Contains(all, secret) {
				t.Errorf("printing %T reveals %q", holder, secret)
			}
		}
	}
}
