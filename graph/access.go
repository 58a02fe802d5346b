package graph

import (
	"context"
	"crypto/sha256"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/login"
)

// access decides who may use what: by the address the connection comes from,
// never by what a header says of it, by the page that a browser shows, and by
// tokens.
type access struct {
	token   *[sha256.Size]byte // of the token; nil when none is asked for
	from    []addrRange
	hosts   []string       // lower case
	origins []string       // of pages that may send requests, lower case
	guesses *login.Limiter // of the token, by address

	resolve func(ctx context.Context, host string) ([]netip.Addr, error)
	now     func() time.Time

	mu       sync.Mutex
	resolved time.Time // when hosts were looked up last
	known    []netip.Addr
}

// addrRange is from first to last, both included.
type addrRange struct{ first, last netip.Addr }

func (r addrRange) holds(a netip.Addr) bool {
	return a.Is4() == r.first.Is4() && r.first.Compare(a) <= 0 && a.Compare(r.last) <= 0
}

const (
	resolveEvery   = 30 * time.Second
	resolveTimeout = 2 * time.Second
)

func newAccess(whitelist, origins []string, token string) (*access, error) {
	const freeGuesses, longestWait, addresses = 10, 30 * time.Second, 10_000
	a := &access{now: time.Now, guesses: login.NewLimiter(freeGuesses, longestWait, addresses, nil), resolve: func(ctx context.Context, host string) ([]netip.Addr, error) {
		return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	}}
	if token != "" {
		sum := sha256.Sum256([]byte(token))
		a.token = &sum
	}
	for _, entry := range whitelist {
		if err := a.add(strings.TrimSpace(entry)); err != nil {
			return nil, err
		}
	}
	for _, origin := range origins {
		if err := a.addOrigin(strings.TrimSpace(origin)); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// add takes one entry of the whitelist: an address, a range, a CIDR or a name.
func (a *access) add(entry string) error {
	malformed := func(cause string) error {
		return fault.New(fault.Usage, "use whitelist", "%.100q %s", entry, cause).
			WithHint("give IP addresses, ranges (10.0.0.1:10.0.0.9), CIDRs (10.0.0.0/8) and host names, separated by commas")
	}
	if prefix, err := netip.ParsePrefix(entry); err == nil {
		a.from = append(a.from, prefixRange(prefix))
		return nil
	}
	if addr, err := netip.ParseAddr(entry); err == nil {
		addr = plain(addr)
		a.from = append(a.from, addrRange{addr, addr})
		return nil
	}
	if low, high, ok := cutRange(entry); ok {
		first, err1 := netip.ParseAddr(strings.TrimSpace(low))
		last, err2 := netip.ParseAddr(strings.TrimSpace(high))
		if err1 == nil && err2 == nil {
			r := addrRange{plain(first), plain(last)}
			if r.first.Is4() != r.last.Is4() || r.last.Less(r.first) {
				return malformed("is a range that ends before it begins")
			}
			a.from = append(a.from, r)
			return nil
		}
	}
	if !isHostName(entry) {
		return malformed("is no address, range, CIDR or host name")
	}
	a.hosts = append(a.hosts, strings.ToLower(entry))
	return nil
}

// cutRange splits "from:to", as Dgraph writes a range, and "from-to", the one
// form that is clear for IPv6.
func cutRange(entry string) (low, high string, ok bool) {
	if low, high, ok = strings.Cut(entry, "-"); ok {
		return low, high, true
	}
	if strings.Count(entry, ":") == 1 {
		return strings.Cut(entry, ":")
	}
	return "", "", false
}

// plain removes what makes equal addresses differ: the IPv6 form of an IPv4
// address, and the zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

func prefixRange(p netip.Prefix) addrRange {
	p = p.Masked()
	last := p.Addr().AsSlice()
	for bit := p.Bits(); bit < len(last)*8; bit++ {
		last[bit/8] |= 1 << (7 - bit%8)
	}
	end, _ := netip.AddrFromSlice(last) // of a length that it came with
	return addrRange{plain(p.Addr()), plain(end)}
}

// isHostName accepts what can be looked up. A name whose last label is a number
// is a mistyped address.
func isHostName(s string) bool {
	s = strings.TrimSuffix(s, ".")
	if s == "" || len(s) > 253 {
		return false
	}
	labels := strings.Split(s, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, "-") != label || strings.Trim(strings.ToLower(label), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

// checkAddress refuses peers that are neither loopback nor on the whitelist.
func (a *access) checkAddress(r *http.Request) error {
	op := "use " + r.URL.Path
	addr, err := peer(r)
	if err != nil {
		return fault.New(fault.Denied, op, "the peer's address is unknown")
	}
	if addr.IsLoopback() {
		return nil
	}
	for _, r := range a.from {
		if r.holds(addr) {
			return nil
		}
	}
	if slices.Contains(a.addresses(r.Context()), addr) {
		return nil
	}
	return fault.New(fault.Denied, op, "%s is not on the whitelist", addr).
		WithHint("start the alpha with --whitelist %s", addr)
}

// peer is where the connection comes from.
func peer(r *http.Request) (netip.Addr, error) {
	p, err := netip.ParseAddrPort(r.RemoteAddr)
	return plain(p.Addr()), err
}

// addresses returns those of the whitelist's host names. They are looked up
// again from time to time, because names move; one that cannot be looked up
// lets nobody in.
func (a *access) addresses(ctx context.Context) []netip.Addr {
	if len(a.hosts) == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if now := a.now(); a.resolved.IsZero() || now.Sub(a.resolved) >= resolveEvery {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
		defer cancel()
		var known []netip.Addr
		for _, host := range a.hosts {
			addrs, err := a.resolve(ctx, host)
			if err != nil {
				continue
			}
			for _, addr := range addrs {
				known = append(known, plain(addr))
			}
		}
		a.resolved, a.known = now, known
	}
	return a.known
}
