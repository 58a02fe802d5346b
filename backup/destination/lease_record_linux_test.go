package destination

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestLeaseNames(t *testing.T) {
	for epoch, name := range map[uint64]string{
		1:                    "brock.lease/00000000000000000001",
		18446744073709551615: "brock.lease/18446744073709551615",
	} {
		if got := leaseName(epoch); got != name {
			t.Errorf("epoch %d has the name %s", epoch, got)
		}
		if got, ok := leaseEpoch(name); got != epoch || !ok {
			t.Errorf("%s has the epoch %d, %t", name, got, ok)
		}
	}
	for _, name := range []string{
		"", "brock.lease", "brock.lease/", "brock.lease/1", "brock.lease/000000000000000000001", "other/00000000000000000001",
		"brock.lease/-0000000000000000001", "brock.lease/+0000000000000000001", "brock.lease/0000000000000000000x",
		"brock.lease/18446744073709551616", "brock.lease/99999999999999999999", "brock.lease/0x000000000000000001",
	} {
		if epoch, ok := leaseEpoch(name); ok {
			t.Errorf("%s has the epoch %d", name, epoch)
		}
	}
}

const goodLease = `{"owner":"alpha-1","purpose":"backup","nonce":"N","host":"h","pid":7,"system":"s","start_time":9,
	"acquired_at":"2026-11-20T18:15:02Z","renewed_at":"2026-11-20T18:15:22.5Z","expires_at":"2026-11-20T18:16:22.5Z","released":false}`

func TestDecodeLease(t *testing.T) {
	r, err := decodeLease([]byte(goodLease))
	if err != nil {
		t.Fatal(err)
	}
	at := func(s int, ms int) time.Time { return time.Date(2026, 11, 20, 18, 15, s, ms*1e6, time.UTC) }
	want := &leaseRecord{Owner: "alpha-1", Purpose: "backup", Nonce: "N", process: process{Host: "h", PID: 7, System: "s", Start: 9},
		AcquiredAt: at(2, 0), RenewedAt: at(22, 500), ExpiresAt: at(82, 500)}
	if !reflect.DeepEqual(r, want) {
		t.Errorf("got %+v", r)
	}
	if r.ttl() != time.Minute || !r.heldUntil().Equal(at(97, 500)) {
		t.Errorf("TTL %v, held until %v", r.ttl(), r.heldUntil())
	}
	for name, edit := range map[string]*strings.Replacer{
		"no JSON":      strings.NewReplacer("{", ""),
		"cut":          strings.NewReplacer("}", ""),
		"twice":        strings.NewReplacer("}", "}{}"),
		"no owner":     strings.NewReplacer("alpha-1", ""),
		"no nonce":     strings.NewReplacer(`"N"`, `""`),
		"long owner":   strings.NewReplacer("alpha-1", strings.Repeat("a", 257)),
		"control":      strings.NewReplacer("alpha-1", `alpha\u001b[1m`),
		"newline":      strings.NewReplacer(`"host":"h"`, `"host":"h\n"`),
		"too long":     strings.NewReplacer("{", "{"+strings.Repeat(" ", maxLeaseBytes)),
		"no times":     strings.NewReplacer("acquired_at", "a", "renewed_at", "r", "expires_at", "e"),
		"bad time":     strings.NewReplacer("2026-11-20T18:15:02Z", "yesterday"),
		"renewed":      strings.NewReplacer("2026-11-20T18:15:22.5Z", "2026-11-20T18:15:01Z"),
		"expired":      strings.NewReplacer("2026-11-20T18:16:22.5Z", "2026-11-20T18:15:03Z"),
		"a day":        strings.NewReplacer("2026-11-20T18:16:22.5Z", "2026-11-22T18:16:22Z"),
		"9,000 years":  strings.NewReplacer("2026-11-20T18:16:22.5Z", "9999-11-22T18:16:22Z"),
		"another type": strings.NewReplacer("7", `"7"`),
	} {
		if r, err := decodeLease([]byte(edit.Replace(goodLease))); err == nil {
			t.Errorf("%s: decoded to %+v", name, r)
		}
	}
}

func FuzzDecodeLease(f *testing.F) {
	f.Add([]byte(goodLease))
	f.Add([]byte(`{"owner":"o","nonce":"n","acquired_at":"0001-01-01T00:00:01Z","renewed_at":"9999-12-31T23:59:59Z","expires_at":"9999-12-31T23:59:59Z"}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := decodeLease(data)
		if err != nil {
			return
		}
		if r.ttl() < 0 || r.ttl() > maxLeaseTTL || r.heldUntil().Before(r.ExpiresAt) || len(r.String()) > 3*maxLeaseText+64 {
			t.Fatalf("accepted %+v", r)
		}
		encoded, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := decodeLease(encoded)
		if err != nil || again.Nonce != r.Nonce || !again.ExpiresAt.Equal(r.ExpiresAt) {
			t.Fatalf("%s became %+v, %v", encoded, again, err)
		}
	})
}

func TestProcessIsDead(t *testing.T) {
	self, err := currentProcess()
	if err != nil {
		t.Fatal(err)
	}
	if self.System == "" || self.Start == 0 || self.PID != os.Getpid() || self.Host == "" {
		t.Fatalf("this process is %+v", self)
	}
	const noProcess = 1<<31 - 1
	for name, test := range map[string]struct {
		edit func(*process)
		dead bool
	}{
		"self":                   {func(*process) {}, false},
		"no such process":        {func(p *process) { p.PID = noProcess }, true},
		"its id is used again":   {func(p *process) { p.Start-- }, true},
		"another boot":           {func(p *process) { p.PID, p.System = noProcess, "other"+p.System }, false},
		"another host":           {func(p *process) { p.PID, p.Host = noProcess, "other" }, false},
		"a system unknown":       {func(p *process) { p.PID, p.System = noProcess, "" }, false},
		"a group, not a process": {func(p *process) { p.PID = -1 }, false},
		"process 0":              {func(p *process) { p.PID = 0 }, false},
		"the parent":             {func(p *process) { p.PID, p.Start = os.Getppid(), parentStart(t) }, false},
	} {
		p := self
		test.edit(&p)
		if got := p.isDead(self); got != test.dead {
			t.Errorf("%s: dead is %t", name, got)
		}
	}
	unknown := self
	unknown.System = ""
	other := unknown
	other.PID = noProcess
	if other.isDead(unknown) {
		t.Error("a process is called dead on a system that cannot be told apart")
	}
}

func parentStart(t *testing.T) uint64 {
	t.Helper()
	start, _, err := processStart(os.Getppid())
	if err != nil {
		t.Fatal(err)
	}
	return start
}
