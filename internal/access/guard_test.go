package access

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var noon = time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)

// clock is a time that tests set.
type clock struct{ atomic.Int64 }

func (c *clock) now() time.Time              { return noon.Add(time.Duration(c.Load())) }
func (c *clock) advance(after time.Duration) { c.Add(int64(after)) }

func hashOf(t testing.TB, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

func guardOf(t testing.TB, policy *Policy, now func() time.Time) *Guard {
	t.Helper()
	g, err := NewGuard(Config{Load: func() (*Policy, error) { return policy, nil }, Now: now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reload has the guard use another policy.
func reload(t testing.TB, g *Guard, policy *Policy) {
	t.Helper()
	g.config.Load = func() (*Policy, error) { return policy, nil }
	if err := g.Reload(); err != nil {
		t.Fatal(err)
	}
}

// newTestGuard returns a guard whose bcrypt calls are counted.
func newTestGuard(t testing.TB, text string) (g *Guard, c *clock, calls *atomic.Int64) {
	t.Helper()
	c, calls = &clock{}, &atomic.Int64{}
	g = guardOf(t, mustParse(t, text), c.now)
	g.passwords.compare = func(hash, password []byte) error {
		calls.Add(1)
		return bcrypt.CompareHashAndPassword(hash, password)
	}
	return g, c, calls
}

// request returns a request from an address with headers, which come in pairs.
func request(address string, headers ...string) *http.Request {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.RemoteAddr = address
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func withPassword(address, login, password string) *http.Request {
	r := request(address)
	r.SetBasicAuth(login, password)
	return r
}

func TestIdentify(t *testing.T) {
	g, _, _ := newTestGuard(t, `
users:
  - {name: token, bearer_token_sha256: `+tokenHash+`, allow: [push]}
  - {name: password, username: pw, password_bcrypt: "`+hashOf(t, "secret")+`", allow: [push]}
  - {name: certificate, client_cert_name: [host.example.org, old name], allow: [push]}
  - {name: proxied, proxy_user: carol, allow: [push]}
anonymous: {allow: [scrape]}
trusted_proxy: {addresses: [10.0.0.1], user_header: X-User}
`)
	certificate := func(verified bool, c x509.Certificate) *http.Request {
		r := request("192.0.2.1:1")
		r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{&c}}
		if verified {
			r.TLS.VerifiedChains = [][]*x509.Certificate{{&c}}
		}
		return r
	}
	const wrong = "wrong"
	for _, c := range []struct {
		name string
		r    *http.Request
		want string
	}{
		{"nothing", request("192.0.2.1:1"), "anonymous"},
		{"token", request("192.0.2.1:1", "Authorization", "Bearer test"), "token"},
		{"scheme in lower case", request("192.0.2.1:1", "Authorization", "bearer  test "), "token"},
		{"wrong token", request("192.0.2.1:1", "Authorization", "Bearer tesT"), wrong},
		{"the hash as token", request("192.0.2.1:1", "Authorization", "Bearer "+tokenHash), wrong},
		{"no token", request("192.0.2.1:1", "Authorization", "Bearer"), wrong},
		{"two tokens", request("192.0.2.1:1", "Authorization", "Bearer test", "Authorization", "Bearer test"), wrong},
		{"other scheme", request("192.0.2.1:1", "Authorization", "Negotiate abc"), wrong},
		{"empty header", request("192.0.2.1:1", "Authorization", ""), wrong},
		{"password", withPassword("192.0.2.1:1", "pw", "secret"), "password"},
		{"wrong password", withPassword("192.0.2.1:1", "pw", "Secret"), wrong},
		{"user's name is not its user name", withPassword("192.0.2.1:1", "password", "secret"), wrong},
		{"broken base64", request("192.0.2.1:1", "Authorization", "Basic ***"), wrong},
		{"proxy", request("10.0.0.1:1", "X-User", "carol"), "proxied"},
		{"proxy mapped to IPv6", request("[::ffff:10.0.0.1]:1", "X-User", "carol"), "proxied"},
		{"header not from the proxy", request("10.0.0.2:1", "X-User", "carol"), "anonymous"},
		{"stranger from the proxy", request("10.0.0.1:1", "X-User", "mallory"), wrong},
		{"two users from the proxy", request("10.0.0.1:1", "X-User", "carol", "X-User", "carol"), wrong},
		{"proxy names nobody", request("10.0.0.1:1", "X-User", ""), "anonymous"},
		{"authorization comes first", request("10.0.0.1:1", "X-User", "carol", "Authorization", "Bearer test"), "token"},
		{"certificate", certificate(true, x509.Certificate{DNSNames: []string{"host.example.org"}}), "certificate"},
		{"common name", certificate(true, x509.Certificate{Subject: pkix.Name{CommonName: "old name"}}), "certificate"},
		{"other certificate", certificate(true, x509.Certificate{DNSNames: []string{"x.example.org"}}), "anonymous"},
		{"certificate that nobody verified", certificate(false, x509.Certificate{DNSNames: []string{"host.example.org"}}), "anonymous"},
		{"unknown cookie", request("192.0.2.1:1", "Cookie", SessionCookie+"=x"), "anonymous"},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := g.Identify(c.r)
			got := p.Name()
			if _, ok := errors.AsType[*WrongCredentialError](err); ok {
				got = wrong
			} else if err != nil {
				t.Fatal(err)
			}
			if got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestWithoutAuthFileEverybodyMayDoEverything(t *testing.T) {
	var g *Guard
	p, err := g.Identify(request("192.0.2.1:1", "Authorization", "Bearer x"))
	if err != nil || !p.Has(Admin) || p.Limited() || p.Name() != "" {
		t.Errorf("got %v, %v", p, err)
	}
	if got := g.Client(p, request("192.0.2.1:1")); got != "192.0.2.1" {
		t.Errorf("client %s", got)
	}
}

// TestBcryptCalls counts what passwords cost: nothing once they are known to be right,
// and the same for a wrong password as for a user that does not exist.
func TestBcryptCalls(t *testing.T) {
	text := `
users:
  - {name: a, password_bcrypt: "` + hashOf(t, "right") + `", allow: [scrape]}
  - {name: t, bearer_token_sha256: ` + tokenHash + `, allow: [scrape]}
`
	g, c, calls := newTestGuard(t, text)
	cost := func(r *http.Request) int64 {
		c.advance(time.Minute)
		before := calls.Load()
		_, _ = g.Identify(r)
		return calls.Load() - before
	}
	for _, step := range []struct {
		name string
		r    *http.Request
		want int64
	}{
		{"the right password, first", withPassword("192.0.2.1:1", "a", "right"), 1},
		{"the right password again", withPassword("192.0.2.1:1", "a", "right"), 0},
		{"the right password from elsewhere", withPassword("192.0.2.2:1", "a", "right"), 0},
		{"a wrong password", withPassword("192.0.2.1:1", "a", "wrong"), 1},
		{"the wrong password again", withPassword("192.0.2.1:1", "a", "wrong"), 1},
		{"an unknown user", withPassword("192.0.2.1:1", "b", "right"), 1},
		{"the unknown user again", withPassword("192.0.2.1:1", "b", "right"), 1},
		{"a password with a zero byte", withPassword("192.0.2.1:1", "a", "right\x00right"), 0},
		{"a token", request("192.0.2.1:1", "Authorization", "Bearer test"), 0},
		{"a wrong token", request("192.0.2.1:1", "Authorization", "Bearer x"), 0},
	} {
		if got := cost(step.r); got != step.want {
			t.Errorf("%s: %d bcrypt calls, want %d", step.name, got, step.want)
		}
	}
	reload(t, g, mustParse(t, text))
	if got := cost(withPassword("192.0.2.1:1", "a", "right")); got != 1 {
		t.Errorf("after a reload: %d bcrypt calls, want 1", got)
	}
	reload(t, g, mustParse(t, "users: [{name: t, bearer_token_sha256: "+tokenHash+", allow: []}]"))
	if got := cost(withPassword("192.0.2.1:1", "a", "right")); got != 0 {
		t.Errorf("in a file without passwords: %d bcrypt calls, want 0", got)
	}
}

func TestLongPasswordsHaveOneForm(t *testing.T) {
	long := strings.Repeat("x", maxPasswordSize)
	g, _, calls := newTestGuard(t, `users: [{name: a, password_bcrypt: "`+hashOf(t, long)+`", allow: [scrape]}]`)
	for i := range 100 {
		if _, err := g.Identify(withPassword("192.0.2.1:1", "a", long+fmt.Sprint(i))); err != nil {
			t.Fatal(err)
		}
	}
	if calls.Load() != 1 {
		t.Errorf("%d bcrypt calls, want 1", calls.Load())
	}
}

func TestWrongPasswordsAreBoundedPerSource(t *testing.T) {
	g, c, calls := newTestGuard(t, `users: [{name: a, password_bcrypt: "`+hashOf(t, "right")+`", allow: [scrape]}]`)
	if _, err := g.Identify(withPassword("192.0.2.1:1", "a", "right")); err != nil {
		t.Fatal(err)
	}
	calls.Store(0)
	throttled := 0
	for i := range 1000 {
		_, err := g.Identify(withPassword(fmt.Sprintf("192.0.2.1:%d", i+1), "a", fmt.Sprint("guess", i)))
		if e, ok := errors.AsType[*ThrottledError](err); ok {
			throttled++
			if e.RetryAfter <= 0 || e.RetryAfter > time.Second {
				t.Fatalf("retry after %v", e.RetryAfter)
			}
		}
	}
	if calls.Load() != passwordBurst || throttled != 1000-passwordBurst {
		t.Errorf("%d bcrypt calls and %d attempts throttled, want %d and %d", calls.Load(), throttled, passwordBurst, 1000-passwordBurst)
	}
	if _, err := g.Identify(withPassword("192.0.2.1:1", "a", "right")); err != nil {
		t.Errorf("a password that is known to be right is throttled: %v", err)
	}
	if _, err := g.Identify(withPassword("192.0.2.2:1", "a", "wrong")); errors.As(err, new(*ThrottledError)) {
		t.Error("another source is throttled")
	}
	c.advance(time.Second)
	if _, err := g.Identify(withPassword("192.0.2.1:1", "a", "wrong")); errors.As(err, new(*ThrottledError)) {
		t.Error("the source is throttled a second later")
	}
}

func TestBcryptIsBoundedInAll(t *testing.T) {
	g, _, _ := newTestGuard(t, `users: [{name: a, password_bcrypt: "`+hashOf(t, "right")+`", allow: [scrape]}]`)
	var running, most atomic.Int64
	release := make(chan struct{})
	g.passwords.compare = func([]byte, []byte) error {
		n := running.Add(1)
		for m := most.Load(); n > m && !most.CompareAndSwap(m, n); m = most.Load() {
		}
		<-release
		running.Add(-1)
		return bcrypt.ErrMismatchedHashAndPassword
	}
	limit := cap(g.passwords.turns)
	results := make(chan error)
	const attempts = 500
	for i := range attempts {
		go func() {
			_, err := g.Identify(withPassword(fmt.Sprintf("10.0.%d.%d:1", i/250, i%250), "a", fmt.Sprint(i)))
			results <- err
		}()
	}
	for range attempts - limit {
		if err := <-results; !errors.As(err, new(*ThrottledError)) {
			t.Fatalf("beyond the limit: %v", err)
		}
	}
	close(release)
	for range limit {
		if err := <-results; !errors.As(err, new(*WrongCredentialError)) {
			t.Fatalf("within the limit: %v", err)
		}
	}
	if got := int(most.Load()); got > cap(g.passwords.running) {
		t.Errorf("%d ran at the same time, want at most %d", got, cap(g.passwords.running))
	}
}

func TestOneCheckServesAllThatSendTheSamePassword(t *testing.T) {
	g, _, calls := newTestGuard(t, `users: [{name: a, password_bcrypt: "`+hashOf(t, "right")+`", allow: [scrape]}]`)
	var done sync.WaitGroup
	for range 200 {
		done.Go(func() {
			if p, err := g.Identify(withPassword("192.0.2.1:1", "a", "right")); err != nil || p.Name() != "a" {
				t.Errorf("got %v, %v", p, err)
			}
		})
	}
	done.Wait()
	if calls.Load() != 1 {
		t.Errorf("%d bcrypt calls, want 1", calls.Load())
	}
}

func TestAClientThatGoesAwayDoesNotFailOthers(t *testing.T) {
	g, _, _ := newTestGuard(t, `users: [{name: a, password_bcrypt: "`+hashOf(t, "right")+`", allow: [scrape]}]`)
	for range cap(g.passwords.running) {
		g.passwords.running <- struct{}{} // so that the first has to wait
	}
	gone, leave := context.WithCancel(t.Context())
	first := make(chan error)
	go func() {
		_, err := g.Identify(withPassword("192.0.2.1:1", "a", "right").WithContext(gone))
		first <- err
	}()
	second := make(chan error)
	for len(g.passwords.turns) == 0 {
		time.Sleep(time.Millisecond)
	}
	go func() {
		_, err := g.Identify(withPassword("192.0.2.1:1", "a", "right"))
		second <- err
	}()
	leave()
	if err := <-first; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that left got %v", err)
	}
	for range cap(g.passwords.running) {
		<-g.passwords.running
	}
	if err := <-second; err != nil {
		t.Errorf("the other got %v", err)
	}
}

func TestSessions(t *testing.T) {
	text := `
users:
  - {name: a, bearer_token_sha256: ` + tokenHash + `, password_bcrypt: "` + hashOf(t, "right") + `", allow: [read]}
session_lifetime: 1h
`
	g, c, _ := newTestGuard(t, text)
	with := func(secret string) *http.Request { return request("192.0.2.1:1", "Cookie", SessionCookie+"="+secret) }
	user := func(secret string) string {
		p, err := g.Identify(with(secret))
		if err != nil {
			t.Fatal(err)
		}
		return p.Name()
	}
	byToken := func() string {
		in, err := g.SignInToken("test")
		if err != nil || in.Principal.Name() != "a" || !in.Expires.Equal(c.now().Add(time.Hour)) {
			t.Fatalf("got %v, %v", in, err)
		}
		return in.Secret
	}
	if _, err := g.SignInToken("x"); !errors.As(err, new(*WrongCredentialError)) {
		t.Errorf("a wrong token: %v", err)
	}
	if _, err := g.SignInPassword(request("192.0.2.1:1"), "a", "x"); !errors.As(err, new(*WrongCredentialError)) {
		t.Errorf("a wrong password: %v", err)
	}

	secret := byToken()
	if got := user(secret); got != "a" {
		t.Errorf("signed in as %s", got)
	}
	if got := user(secret + "x"); got != "anonymous" {
		t.Errorf("another secret is %s's", got)
	}
	c.advance(time.Hour)
	if got := user(secret); got != "anonymous" {
		t.Errorf("an expired session is %s's", got)
	}

	secret = byToken()
	if p := g.SignOut(with(secret)); p.Name() != "a" {
		t.Errorf("signed out %s", p.Name())
	}
	if got := user(secret); got != "anonymous" {
		t.Errorf("after signing out: %s", got)
	}

	// A reload ends just the sessions whose credential is gone.
	secret = byToken()
	in, err := g.SignInPassword(request("192.0.2.1:1"), "a", "right")
	if err != nil {
		t.Fatal(err)
	}
	reload(t, g, mustParse(t, text))
	if user(secret) != "a" || user(in.Secret) != "a" {
		t.Error("a reload of the same file ended a session")
	}
	reload(t, g, mustParse(t, strings.Replace(text, tokenHash, strings.Repeat("00", 32), 1)))
	if user(secret) != "anonymous" || user(in.Secret) != "a" {
		t.Error("after the token was replaced: its session must end, that of the password stay")
	}
	if len(g.sessions.byID) != 1 || len(g.sessions.byUser) != 1 {
		t.Errorf("%d sessions are left, want 1", len(g.sessions.byID))
	}
	reload(t, g, mustParse(t, "anonymous: {allow: []}"))
	if user(in.Secret) != "anonymous" || len(g.sessions.byID) != 0 {
		t.Error("a session outlived its user")
	}
}

func TestSessionsOfAUserAreBounded(t *testing.T) {
	g, _, _ := newTestGuard(t, "users: [{name: a, bearer_token_sha256: "+tokenHash+", allow: [read]}]")
	var secrets []string
	for range 3 * maxUserSessions {
		in, err := g.SignInToken("test")
		if err != nil {
			t.Fatal(err)
		}
		secrets = append(secrets, in.Secret)
	}
	if got := len(g.sessions.byID); got != maxUserSessions {
		t.Errorf("%d sessions, want %d", got, maxUserSessions)
	}
	first := request("192.0.2.1:1", "Cookie", SessionCookie+"="+secrets[0])
	last := request("192.0.2.1:1", "Cookie", SessionCookie+"="+secrets[len(secrets)-1])
	if g.HasSession(first) || !g.HasSession(last) {
		t.Error("the oldest session must have ended, and the latest not")
	}
}

// TestReloadWhileInUse replaces the policy while requests are identified: each is
// judged by one file or the other.
func TestReloadWhileInUse(t *testing.T) {
	hash := hashOf(t, "right")
	texts := []string{
		`users: [{name: a, password_bcrypt: "` + hash + `", bearer_token_sha256: ` + tokenHash + `, allow: [push]}]`,
		`users: [{name: b, username: a, password_bcrypt: "` + hash + `", bearer_token_sha256: ` + tokenHash + `, allow: [read]}]`,
	}
	g, _, _ := newTestGuard(t, texts[0])
	stop := make(chan struct{})
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				r := withPassword(fmt.Sprintf("192.0.2.%d:1", i), "a", "right")
				if n%2 == 0 {
					in, err := g.SignInToken("test")
					if err != nil {
						t.Errorf("sign in: %v", err)
					}
					r = request("192.0.2.1:1", "Cookie", SessionCookie+"="+in.Secret)
				}
				p, err := g.Identify(r)
				switch {
				case err != nil:
					t.Errorf("identify: %v", err)
				case p.Name() == "a" && (!p.Has(Push) || p.Has(Read)), p.Name() == "b" && (p.Has(Push) || !p.Has(Read)):
					t.Errorf("%s may %s", p.Name(), p.Allows())
				}
			}
		})
	}
	for i := range 50 {
		reload(t, g, mustParse(t, texts[i%2]))
	}
	close(stop)
	done.Wait()
}

func TestSourceBehindProxies(t *testing.T) {
	g, _, _ := newTestGuard(t, "anonymous: {allow: []}\ntrusted_proxy: {addresses: [10.0.0.0/8, 192.0.2.1]}\n")
	for _, c := range []struct {
		address string
		headers []string
		want    string
	}{
		{"198.51.100.1:1", nil, "198.51.100.1"},
		{"198.51.100.1:1", []string{"X-Forwarded-For", "203.0.113.9"}, "198.51.100.1"},
		{"10.0.0.1:1", []string{"X-Forwarded-For", "203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"X-Forwarded-For", "198.51.100.7, 203.0.113.9"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"X-Forwarded-For", "203.0.113.9", "X-Forwarded-For", "192.0.2.1"}, "203.0.113.9"},
		{"10.0.0.1:1", []string{"X-Forwarded-For", "10.0.0.5"}, "10.0.0.5"},
		{"10.0.0.1:1", []string{"X-Forwarded-For", "nonsense"}, "10.0.0.1"},
		{"10.0.0.1:1", nil, "10.0.0.1"},
		{"@", nil, ""},
	} {
		if got := g.Client(nobody, request(c.address, c.headers...)); got != c.want {
			t.Errorf("from %s with %v: %s, want %s", c.address, c.headers, got, c.want)
		}
	}
}

func FuzzIdentify(f *testing.F) {
	text := `
users:
  - {name: t, bearer_token_sha256: ` + tokenHash + `, allow: [push]}
  - {name: p, password_bcrypt: "` + passwordHash + `", allow: [push]}
  - {name: x, proxy_user: carol, allow: [push]}
trusted_proxy: {addresses: [192.0.2.0/24], user_header: X-User}
`
	g := guardOf(f, mustParse(f, text), func() time.Time { return noon })
	g.passwords.compare = func([]byte, []byte) error { return bcrypt.ErrMismatchedHashAndPassword }
	in, err := g.SignInToken("test")
	if err != nil {
		f.Fatal(err)
	}
	f.Add("Bearer test", "", "", "")
	f.Add("Basic cDpx", "", "", "")
	f.Add("", SessionCookie+"="+in.Secret, "", "")
	f.Add("", "a=b; "+SessionCookie+"=\"x\"; "+SessionCookie+"=y", "carol", "1.2.3.4, ::1%a")
	f.Fuzz(func(t *testing.T, authorization, cookie, user, forwarded string) {
		r := request("192.0.2.1:1")
		for name, value := range map[string]string{
			"Authorization": authorization, "Cookie": cookie, "X-User": user, "X-Forwarded-For": forwarded,
		} {
			if value != "" {
				r.Header[name] = []string{value}
			}
		}
		p, err := g.Identify(r)
		if (p == nil) == (err == nil) {
			t.Fatalf("got %v, %v", p, err)
		}
		if err == nil && !p.Anonymous() {
			_, token, _ := strings.Cut(authorization, " ")
			if !strings.Contains(token, "test") && !strings.Contains(cookie, in.Secret) && user != "carol" {
				t.Errorf("%s was identified without a credential", p.Name())
			}
		}
		g.Client(nobody, r)
		g.SignOut(request("192.0.2.1:1"))
	})
}

func TestAFailedReloadChangesNothing(t *testing.T) {
	g, c, _ := newTestGuard(t, "users: [{name: a, bearer_token_sha256: "+tokenHash+", allow: [push]}]")
	loaded := c.now()
	c.advance(time.Hour)
	g.config.Load = func() (*Policy, error) { return Parse([]byte("nonsense: 1")) }
	if err := g.Reload(); err == nil {
		t.Fatal("a wrong file was loaded")
	}
	if status := g.Status(); status.Err == nil || !status.Loaded.Equal(loaded) {
		t.Errorf("status %+v", status)
	}
	if p, err := g.Identify(request("192.0.2.1:1", "Authorization", "Bearer test")); err != nil || p.Name() != "a" {
		t.Errorf("got %v, %v", p, err)
	}
}

// A request costs microseconds, whatever its credential, once a password is known.
func BenchmarkIdentify(b *testing.B) {
	g, _, _ := newTestGuard(b, `
users:
  - {name: t, bearer_token_sha256: `+tokenHash+`, allow: [push]}
  - {name: p, password_bcrypt: "`+hashOf(b, "right")+`", allow: [push]}
`)
	in, err := g.SignInToken("test")
	if err != nil {
		b.Fatal(err)
	}
	for name, r := range map[string]*http.Request{
		"token": request("192.0.2.1:1", "Authorization", "Bearer test"), "password": withPassword("192.0.2.1:1", "p", "right"),
		"session": request("192.0.2.1:1", "Cookie", SessionCookie+"="+in.Secret), "anonymous": request("192.0.2.1:1"),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if _, err := g.Identify(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
