package login

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/bcrypt"

	"github.com/brockdb/brock/backup/fault"
	"github.com/brockdb/brock/graph/caller"
)

// line makes a line as fast as bcrypt can.
func line(t *testing.T, name string, role caller.Role, password string) string {
	t.Helper()
	text, err := Line(name, role, []byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return text + "\n"
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// world is users with a clock.
type world struct {
	*Users
	file  string
	clock time.Time
}

func newWorld(t *testing.T, lines ...string) *world {
	t.Helper()
	w := &world{file: filepath.Join(t.TempDir(), "users"), clock: time.Unix(1_700_000_000, 0)}
	write(t, w.file, "# users\n\n"+strings.Join(lines, ""))
	u, err := Open(Options{UsersFile: w.file, Now: func() time.Time { return w.clock }})
	if err != nil {
		t.Fatal(err)
	}
	w.Users = u
	return w
}

func from(address string) context.Context {
	return caller.With(context.Background(), caller.Caller{Address: address})
}

func TestLogin(t *testing.T) {
	w := newWorld(t, line(t, "groot", caller.Guardian, "pass word"), line(t, "ro", caller.Reader, "x"))
	tokens, err := w.Login(from("1"), "groot", "pass word")
	if err != nil {
		t.Fatal(err)
	}
	if who, err := w.Check(tokens.Access); err != nil || who.User != "groot" || who.Role != caller.Guardian {
		t.Errorf("%+v, %v", who, err)
	}
	if _, err := w.Check(tokens.Refresh); !fault.Is(err, fault.Denied) {
		t.Errorf("a refresh token is taken for an access token: %v", err)
	}
	if _, err := w.Refresh(from("1"), tokens.Access); !fault.Is(err, fault.Denied) {
		t.Errorf("an access token is taken for a refresh token: %v", err)
	}
	for _, test := range [][2]string{{"groot", "pass wor"}, {"groot", ""}, {"Groot", "pass word"}, {"", ""}, {"ro", "pass word"}, {"groot", strings.Repeat("x", 100)}} {
		if _, err := w.Login(from(test[0]+test[1]), test[0], test[1]); !fault.Is(err, fault.Denied) || err.Error() != errWrong().Error() {
			t.Errorf("%q: %v", test, err)
		}
	}
	w.clock = w.clock.Add(6*time.Hour + time.Second)
	if _, err := w.Check(tokens.Access); err == nil || !strings.Contains(err.Error(), "it has expired") {
		t.Errorf("after 6 hours: %v", err)
	}
	again, err := w.Refresh(from("1"), tokens.Refresh)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Check(again.Access); err != nil {
		t.Error(err)
	}
	w.clock = w.clock.Add(31 * 24 * time.Hour)
	if _, err := w.Refresh(from("1"), again.Refresh); !fault.Is(err, fault.Denied) {
		t.Errorf("after 31 days: %v", err)
	}
}

func TestLongPasswords(t *testing.T) {
	long := strings.Repeat("x", MaxPasswordBytes)
	w := newWorld(t, line(t, "a", caller.Reader, long))
	if _, err := w.Login(from("1"), "a", long); err != nil {
		t.Error(err)
	}
	if _, err := w.Login(from("1"), "a", long+"y"); !fault.Is(err, fault.Denied) {
		t.Errorf("bytes that bcrypt does not look at: %v", err)
	}
	for _, password := range []string{"", long + "y"} {
		if _, err := Line("a", caller.Reader, []byte(password), bcrypt.MinCost); !fault.Is(err, fault.Usage) {
			t.Errorf("%d bytes: %v", len(password), err)
		}
	}
}

// TestUsersChange holds that a token is void when its user is gone, has another
// role or another password, without a restart.
func TestUsersChange(t *testing.T) {
	groot := line(t, "groot", caller.Guardian, "a")
	w := newWorld(t, groot)
	tokens, err := w.Login(from("1"), "groot", "a")
	if err != nil {
		t.Fatal(err)
	}
	valid := func() bool {
		w.clock = w.clock.Add(lookEvery)
		_, err1 := w.Check(tokens.Access)
		_, err2 := w.Refresh(from("2"), tokens.Refresh)
		w.byAddress.Succeeded("2")
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("access %v, refresh %v", err1, err2)
		}
		return err1 == nil
	}
	for _, step := range []struct {
		name, text string
		valid      bool
	}{
		{"another user", groot + line(t, "x", caller.Reader, "a"), true},
		{"broken", groot + "x:nobody:y\n", true},
		{"empty", "", true},
		{"another password", line(t, "groot", caller.Guardian, "b"), false},
		{"the password of before", groot, true},
		{"another role", strings.Replace(groot, "guardian", "reader", 1), false},
		{"gone", line(t, "x", caller.Reader, "a"), false},
	} {
		write(t, w.file, step.text)
		if got := valid(); got != step.valid {
			t.Errorf("%s: valid is %v", step.name, got)
		}
	}
	if err := os.Remove(w.file); err != nil {
		t.Fatal(err)
	}
	w.clock = w.clock.Add(lookEvery)
	if _, err := w.Login(from("3"), "x", "a"); err != nil {
		t.Errorf("without the file the users of before stay: %v", err)
	}
}

func TestForgedTokens(t *testing.T) {
	w := newWorld(t, line(t, "groot", caller.Guardian, "a"))
	tokens, err := w.Login(from("1"), "groot", "a")
	if err != nil {
		t.Fatal(err)
	}
	good := claims{Use: useAccess, Role: "guardian", Mark: w.users["groot"].mark(), RegisteredClaims: jwt.RegisteredClaims{
		Subject: "groot", IssuedAt: jwt.NewNumericDate(w.clock), ExpiresAt: jwt.NewNumericDate(w.clock.Add(time.Hour))}}
	sign := func(method jwt.SigningMethod, key any, c claims) string {
		token, err := jwt.NewWithClaims(method, c).SignedString(key)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	if _, err := w.Check(sign(jwt.SigningMethodHS256, w.secret, good)); err != nil {
		t.Fatalf("the one that is right: %v", err)
	}
	endless, future := good, good
	endless.ExpiresAt = nil
	future.IssuedAt = jwt.NewNumericDate(w.clock.Add(time.Hour))
	parts := strings.Split(tokens.Access, ".")
	for name, token := range map[string]string{
		"none":             sign(jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType, good),
		"another secret":   sign(jwt.SigningMethodHS256, []byte(strings.Repeat("x", 32)), good),
		"another method":   sign(jwt.SigningMethodHS512, w.secret, good),
		"without an end":   sign(jwt.SigningMethodHS256, w.secret, endless),
		"of the future":    sign(jwt.SigningMethodHS256, w.secret, future),
		"without a sign":   parts[0] + "." + parts[1] + ".",
		"empty":            "",
		"long":             strings.Repeat("x", 1<<20),
		"of another start": newToken(t),
	} {
		if who, err := w.Check(token); !fault.Is(err, fault.Denied) || who != (caller.Caller{}) {
			t.Errorf("%s: %+v %v", name, who, err)
		}
	}
}

func newToken(t *testing.T) string {
	t.Helper()
	tokens, err := newWorld(t, line(t, "groot", caller.Guardian, "a")).Login(from("1"), "groot", "a")
	if err != nil {
		t.Fatal(err)
	}
	return tokens.Access
}

// TestSecretOutlivesRestarts is why there is --jwt_secret_file.
func TestSecretOutlivesRestarts(t *testing.T) {
	file := filepath.Join(t.TempDir(), "users")
	write(t, file, line(t, "groot", caller.Guardian, "a"))
	o := Options{UsersFile: file, Secret: []byte(strings.Repeat("s", 32))}
	first, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := first.Login(from("1"), "groot", "a")
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := second.Check(tokens.Access); err != nil {
		t.Error(err)
	}
	o.Secret = o.Secret[1:]
	if _, err := Open(o); !fault.Is(err, fault.Usage) {
		t.Errorf("31 bytes: %v", err)
	}
}

func TestGuessingIsSlowed(t *testing.T) {
	w := newWorld(t, line(t, "groot", caller.Guardian, "right"), line(t, "other", caller.Guardian, "right"))
	guess := func(address, user, password string) (slowed, in bool) {
		_, err := w.Login(from(address), user, password)
		if err != nil && !fault.Is(err, fault.Denied) {
			t.Fatal(err)
		}
		return err != nil && strings.Contains(err.Error(), "too many logins have failed"), err == nil
	}
	for i := range 6 {
		if slowed, _ := guess("evil", "groot", "wrong"); slowed {
			t.Fatalf("slowed at guess %d", i+1)
		}
	}
	if slowed, in := guess("evil", "groot", "right"); !slowed || in {
		t.Error("the right password gets in though the address has to wait")
	}
	if slowed, in := guess("good", "groot", "right"); slowed || !in {
		t.Error("the guesses of one address keep another out")
	}
	waited := time.Duration(0)
	for range 12 { // as fast as it may
		wait := w.byAddress.Wait("evil")
		waited += wait
		w.clock = w.clock.Add(wait)
		if slowed, _ := guess("evil", "other", "wrong"); slowed {
			t.Error("slowed after the wait")
		}
	}
	if waited < 15*time.Minute {
		t.Errorf("12 guesses took %v", waited)
	}
	for i := range 30 { // from many addresses
		guess(string(rune('a'+i)), "groot", "wrong")
	}
	if slowed, _ := guess("new", "groot", "right"); !slowed {
		t.Error("many addresses may guess one user")
	}
	w.clock = w.clock.Add(30 * time.Second)
	if _, in := guess("new", "groot", "right"); !in {
		t.Error("the user is locked out for long")
	}
}

func TestLimiterIsBounded(t *testing.T) {
	clock := time.Unix(0, 0)
	l := NewLimiter(2, time.Minute, 100, func() time.Time { return clock })
	for i := range 10_000 {
		clock = clock.Add(time.Millisecond)
		l.Failed(strings.Repeat("x", i%50) + string(rune(i)))
		if l.size() > 100 {
			t.Fatalf("%d names", l.size())
		}
	}
	for range 60 {
		l.Failed("last")
	}
	if wait := l.Wait("last"); wait != time.Minute {
		t.Errorf("the longest wait is %v", wait)
	}
	clock = clock.Add(forgetIn)
	l.Failed("last")
	if wait := l.Wait("last"); wait != 0 {
		t.Errorf("after a long time: %v", wait)
	}
}

func TestUsersFileThatCannotBeUsed(t *testing.T) {
	hash := strings.TrimSpace(strings.TrimPrefix(line(t, "a", caller.Reader, "p"), "a:reader:"))
	for name, text := range map[string]string{
		"empty": "", "only remarks": "# x\n", "two fields": "a:" + hash, "four fields": "a:reader:" + hash + ":x",
		"role": "a:root:" + hash, "no name": ":reader:" + hash, "blank": "a b:reader:" + hash, "plain password": "a:reader:hunter2",
		"twice": "a:reader:" + hash + "\na:guardian:" + hash, "cost": "a:reader:" + strings.Replace(hash, "$04$", "$31$", 1), "cut": "a:reader:" + hash[:50],
	} {
		file := filepath.Join(t.TempDir(), "users")
		write(t, file, text)
		_, err := Open(Options{UsersFile: file})
		if !fault.Is(err, fault.Usage) || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), hash[10:40]) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(Options{UsersFile: filepath.Join(t.TempDir(), "missing")}); !fault.Is(err, fault.Usage) {
		t.Error(err)
	}
}

func FuzzParseLine(f *testing.F) {
	f.Add("groot:guardian:$2a$04$abcdefghijklmnopqrstuuKq0n2C1y3p0a9J0yT3C4xR7m9B3m6Wq")
	f.Add("a:b:c")
	f.Fuzz(func(t *testing.T, text string) {
		u, err := parseLine(text)
		if err != nil {
			return
		}
		if CheckName(u.name) != nil || len(u.hash) != 60 || u.name+":"+string(u.role)+":"+string(u.hash) != text {
			t.Errorf("%q became %+v", text, u)
		}
	})
}
