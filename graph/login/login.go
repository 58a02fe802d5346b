package login

import (
	"context"
	"crypto/rand"
	"errors"
	"os"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/golang/glog"
	"golang.org/x/crypto/bcrypt"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
)

// Options of Users. UsersFile must be set.
type Options struct {
	UsersFile string // of lines user:role:bcrypt, read again when it changes
	// Secret signs the tokens, 32 bytes or more; nil means a random one, with
	// which no token outlives the process.
	Secret     []byte
	AccessTTL  time.Duration    // of a token for requests; 0 means 6 hours
	RefreshTTL time.Duration    // of a token for new tokens; 0 means 30 days
	Now        func() time.Time // nil means time.Now
}

// Users are those who may log in. Its methods may be called from many
// goroutines.
type Users struct {
	file      string
	secret    []byte
	access    time.Duration
	refresh   time.Duration
	now       func() time.Time
	byUser    *Limiter
	byAddress *Limiter
	checking  chan struct{} // holds a place for each password that is checked
	nobody    []byte        // the hash for users that do not exist

	mu     sync.Mutex
	looked time.Time
	seen   os.FileInfo
	users  map[string]*user
}

const (
	leastSecret = 32
	lookEvery   = time.Second
	// A password takes a core for a quarter of a second. Guessing must not take
	// all of them.
	checkedAtOnce = 2
	checkPatience = 5 * time.Second
)

// Open reads the users. A file that cannot be used is an error of kind Usage.
func Open(o Options) (*Users, error) {
	u := &Users{file: o.UsersFile, secret: o.Secret, access: o.AccessTTL, refresh: o.RefreshTTL, now: o.Now,
		checking: make(chan struct{}, checkedAtOnce)}
	if u.now == nil {
		u.now = time.Now
	}
	if u.access == 0 {
		u.access = 6 * time.Hour
	}
	if u.refresh == 0 {
		u.refresh = 30 * 24 * time.Hour
	}
	switch {
	case u.secret == nil:
		u.secret = make([]byte, leastSecret)
		_, _ = rand.Read(u.secret) // it never fails
	case len(u.secret) < leastSecret:
		return nil, fault.New(fault.Usage, "use JWT secret", "it has %d bytes; it must have %d or more", len(u.secret), leastSecret)
	}
	// An address may be that of many people, a user is one: what slows guessing
	// from many addresses must not lock the user out for long.
	u.byAddress = NewLimiter(5, 5*time.Minute, 10_000, u.now)
	u.byUser = NewLimiter(20, 30*time.Second, 10_000, u.now)
	u.seen, _ = os.Stat(u.file) // what is missing shows now
	users, err := readUsers(u.file)
	if err != nil {
		return nil, err
	}
	u.users, u.looked = users, u.now()
	cost := bcrypt.MinCost
	for _, known := range users {
		if c, err := bcrypt.Cost(known.hash); err == nil {
			cost = max(cost, c)
		}
	}
	if u.nobody, err = bcrypt.GenerateFromPassword([]byte(rand.Text()), cost); err != nil {
		return nil, fault.Wrap(err, "hash password")
	}
	return u, nil
}

// find returns a user of the file as it is now, or nil. A new file that cannot
// be used is logged, and the users of before stay.
func (u *Users) find(name string) *user {
	u.mu.Lock()
	defer u.mu.Unlock()
	now := u.now()
	if now.Sub(u.looked) >= lookEvery {
		u.looked = now
		u.lookAgain()
	}
	return u.users[name]
}

// lookAgain must be called with the lock held.
func (u *Users) lookAgain() {
	info, err := os.Stat(u.file)
	if err == nil && u.seen != nil && os.SameFile(info, u.seen) && info.Size() == u.seen.Size() && info.ModTime().Equal(u.seen.ModTime()) {
		return
	}
	if err != nil && u.seen == nil {
		return // said already
	}
	u.seen = info
	if err != nil {
		u.seen = nil
	}
	users, err := readUsers(u.file)
	if err != nil {
		glog.Errorf("%v; the users of before stay", err)
		return
	}
	glog.Infof("read the users file %s again: %d users", u.file, len(users))
	u.users = users
}

// Tokens are what a login gives.
type Tokens struct{ Access, Refresh string }

const opLogin = "log in"

// errWrong does not tell which of the two is wrong.
func errWrong() error {
	return fault.New(fault.Denied, opLogin, "the user or the password is wrong")
}

// Login checks a password. Of every failure the caller learns the same, and has
// to wait after some.
func (u *Users) Login(ctx context.Context, name, password string) (Tokens, error) {
	from := caller.From(ctx).Address
	if err := u.slowed(from, name); err != nil {
		return Tokens{}, err
	}
	known := u.find(name)
	hash := u.nobody
	if known != nil {
		hash = known.hash
	}
	patience, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	select {
	case u.checking <- struct{}{}:
	case <-patience.Done():
		return Tokens{}, fault.New(fault.Locked, opLogin, "too many are logging in").WithHint("try again in a moment")
	}
	err := bcrypt.CompareHashAndPassword(hash, []byte(password))
	<-u.checking
	if err != nil || known == nil || len(password) > MaxPasswordBytes {
		u.byAddress.Failed(from)
		u.byUser.Failed(short(name))
		return Tokens{}, errWrong()
	}
	u.byAddress.Succeeded(from)
	u.byUser.Succeeded(short(name))
	return u.issue(known)
}

func short(name string) string { return name[:min(len(name), maxNameBytes)] }

func (u *Users) slowed(from, name string) error {
	wait := max(u.byAddress.Wait(from), u.byUser.Wait(short(name)))
	if wait == 0 {
		return nil
	}
	return fault.New(fault.Denied, opLogin, "too many logins have failed").
		WithHint("try again in %v", wait.Round(time.Second)+time.Second)
}

// Refresh gives new tokens for a refresh token.
func (u *Users) Refresh(ctx context.Context, token string) (Tokens, error) {
	from := caller.From(ctx).Address
	if err := u.slowed(from, ""); err != nil {
		return Tokens{}, err
	}
	known, err := u.check(token, useRefresh)
	if err != nil {
		u.byAddress.Failed(from)
		return Tokens{}, fault.New(fault.Denied, opLogin, "the refresh token is not valid").WithHint("log in with user and password")
	}
	return u.issue(known)
}

// What a token is good for.
const (
	useAccess  = "access"
	useRefresh = "refresh"
)

// claims are what a token says.
type claims struct {
	Use  string `json:"use"`
	Role string `json:"role"`
	Mark string `json:"mark"` // of the user's line
	jwt.RegisteredClaims
}

func (u *Users) issue(known *user) (t Tokens, err error) {
	now := u.now()
	sign := func(use string, ttl time.Duration) (string, error) {
		return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{
			Use: use, Role: string(known.role), Mark: known.mark(),
			RegisteredClaims: jwt.RegisteredClaims{
				Subject: known.name, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(ttl)),
			},
		}).SignedString(u.secret)
	}
	if t.Access, err = sign(useAccess, u.access); err == nil {
		t.Refresh, err = sign(useRefresh, u.refresh)
	}
	return t, fault.Wrap(err, "sign token")
}

const maxTokenBytes = 4 << 10

// check returns the user of a token that is signed, in time, for this use, and
// of the user's present line.
func (u *Users) check(token, use string) (*user, error) {
	if len(token) > maxTokenBytes {
		return nil, errors.New("it is too long")
	}
	var c claims
	_, err := jwt.ParseWithClaims(token, &c, func(*jwt.Token) (any, error) { return u.secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired(), jwt.WithIssuedAt(), jwt.WithTimeFunc(u.now))
	switch {
	case errors.Is(err, jwt.ErrTokenExpired):
		return nil, errors.New("it has expired")
	case err != nil || c.Use != use:
		return nil, errors.New("it is not one that this alpha gave")
	}
	known := u.find(c.Subject)
	if known == nil || known.mark() != c.Mark {
		return nil, errors.New("the user is gone or has changed")
	}
	return known, nil
}

// Check returns who an access token is of.
func (u *Users) Check(token string) (caller.Caller, error) {
	known, err := u.check(token, useAccess)
	if err != nil {
		return caller.Caller{}, fault.New(fault.Denied, "use access token", "%w", err).WithHint("log in again")
	}
	return caller.Caller{User: known.name, Role: known.role}, nil
}
