package access

import (
	"crypto/sha256"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/limits"
)

// A Guard identifies the senders of requests by an auth file. It is safe for concurrent
// use. A nil *Guard is a gateway without an auth file: everybody may do everything.
type Guard struct {
	config    Config
	policy    atomic.Pointer[Policy]
	passwords *passwordChecker
	sessions  *sessions

	reloading sync.Mutex // serializes loads
	status    atomic.Pointer[Status]
}

// Config configures a Guard. All fields are required.
type Config struct {
	Load   func() (*Policy, error) // reads the auth file
	Now    func() time.Time
	Logger *slog.Logger
}

// Status is the outcome of the last loads of the auth file.
type Status struct {
	Loaded time.Time // when the policy in use was loaded
	Err    error     // why the last reload failed; nil if it succeeded
}

// NewGuard loads the auth file and returns its guard.
func NewGuard(c Config) (*Guard, error) {
	g := &Guard{config: c, passwords: newPasswordChecker(c.Now), sessions: newSessions()}
	return g, g.load()
}

// Reload loads the auth file again. Sessions whose credential is gone end, and passwords
// are checked anew. On an error the policy in use stays. Reload logs its outcome.
func (g *Guard) Reload() error {
	if err := g.load(); err != nil {
		g.config.Logger.Error("auth file not reloaded, the previous one stays in use", "err", err)
		return err
	}
	g.config.Logger.Info("auth file reloaded", "users", len(g.policy.Load().users))
	return nil
}

func (g *Guard) load() error {
	g.reloading.Lock()
	defer g.reloading.Unlock()
	policy, err := g.config.Load()
	if err != nil {
		g.status.Store(&Status{g.Status().Loaded, err})
		return err
	}
	g.status.Store(&Status{Loaded: g.config.Now()})
	g.policy.Store(policy)
	g.sessions.prune(policy)
	return nil
}

// Status returns when the policy in use was loaded, and whether the last reload failed.
func (g *Guard) Status() Status {
	if status := g.status.Load(); status != nil {
		return *status
	}
	return Status{}
}

// PasswordChecks returns how often bcrypt has been run.
func (g *Guard) PasswordChecks() uint64 { return g.passwords.checks.Load() }

// WrongCredentialError says that a request carries a credential that nobody has.
type WrongCredentialError struct{ kind string }

// Error names the kind of credential, and nothing about those that there are.
func (e *WrongCredentialError) Error() string { return e.kind + " is not valid" }

// ThrottledError says that a credential was not looked at, since there were too many
// attempts.
type ThrottledError struct{ RetryAfter time.Duration }

func (e *ThrottledError) Error() string {
	return "too many passwords were tried, and this one was not looked at: try again later"
}

// Identify returns who sent the request. What the Authorization header says counts
// first, then a session, then the header of a trusted proxy, then a client
// certificate; a request without any of them is anonymous. Only a session that has
// ended counts as none; any other credential must be right.
//
// The error is a *WrongCredentialError, a *ThrottledError or that of the request's
// context. Cost: microseconds, but for a password that is not known to be right, which
// takes bcrypt's time.
func (g *Guard) Identify(r *http.Request) (*Principal, error) {
	if g == nil {
		return unrestricted, nil
	}
	policy := g.policy.Load()
	u, err := g.identify(policy, r)
	switch {
	case err != nil:
		return nil, err
	case u != nil:
		return &u.Principal, nil
	case policy.anonymous != nil:
		return policy.anonymous, nil
	}
	return nobody, nil
}

// identify returns the user that the request's credential belongs to, nil if it has no
// credential.
func (g *Guard) identify(policy *Policy, r *http.Request) (*user, error) {
	if given := r.Header["Authorization"]; len(given) > 0 {
		return g.authorization(policy, r, given)
	}
	if u := g.session(policy, r); u != nil {
		return u, nil
	}
	if policy.proxyHeader != "" && policy.fromProxy(r) {
		if given := r.Header[policy.proxyHeader]; len(given) > 0 && given[0] != "" {
			u := policy.byProxy[given[0]]
			if len(given) > 1 || u == nil {
				return nil, &WrongCredentialError{"the user that the proxy names"}
			}
			return u, nil
		}
	}
	return policy.certificate(r), nil
}

// authorization returns the user of the Authorization headers.
func (g *Guard) authorization(policy *Policy, r *http.Request, given []string) (*user, error) {
	if len(given) > 1 {
		return nil, &WrongCredentialError{"a second Authorization header"}
	}
	scheme, value, _ := strings.Cut(given[0], " ")
	if strings.EqualFold(scheme, "Bearer") {
		if u := policy.byToken[sha256.Sum256([]byte(strings.Trim(value, " ")))]; u != nil {
			return u, nil
		}
		return nil, &WrongCredentialError{"the bearer token"}
	}
	login, password, ok := r.BasicAuth()
	if !ok {
		return nil, &WrongCredentialError{"the Authorization header (it must be Bearer or Basic)"}
	}
	u, err := g.passwords.check(r.Context(), policy, login, password, g.source(policy, r))
	if u == nil && err == nil {
		err = &WrongCredentialError{"the user name or password"}
	}
	return u, err
}

// UserOf returns the name of the user that a login for passwords belongs to, or "" if there is none.
func (g *Guard) UserOf(login string) string {
	if g == nil {
		return ""
	}
	if u := g.policy.Load().byLogin[login]; u != nil {
		return u.name
	}
	return ""
}

func (g *Guard) session(policy *Policy, r *http.Request) *user {
	cookie, err := r.Cookie(SessionCookie)
	if err != nil {
		return nil
	}
	return g.sessions.user(cookie.Value, policy, g.config.Now())
}

// certificate returns the user of the request's client certificate, nil if there is
// none. Certificates that nobody verified do not count.
func (p *Policy) certificate(r *http.Request) *user {
	if len(p.byCert) == 0 || r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
		return nil
	}
	for _, name := range namesOf(r.TLS.VerifiedChains[0][0]) {
		if u := p.byCert[name]; u != nil {
			return u
		}
	}
	return nil
}

// namesOf returns the names in a certificate: the alternative ones, then the common one.
func namesOf(c *x509.Certificate) []string {
	names := append(append([]string{}, c.DNSNames...), c.EmailAddresses...)
	for _, ip := range c.IPAddresses {
		names = append(names, ip.String())
	}
	for _, uri := range c.URIs {
		names = append(names, uri.String())
	}
	return append(names, c.Subject.CommonName)
}

// A SignIn is a session that was just begun.
type SignIn struct {
	Principal *Principal
	Secret    string // for the session cookie
	Expires   time.Time
}

// SignInToken begins a session with a bearer token. The error is a
// *WrongCredentialError.
func (g *Guard) SignInToken(token string) (SignIn, error) {
	policy := g.policy.Load()
	hash := credential(sha256.Sum256([]byte(strings.TrimSpace(token))))
	u := policy.byToken[hash]
	if u == nil {
		return SignIn{}, &WrongCredentialError{"the token"}
	}
	return g.signIn(policy, u, hash), nil
}

// SignInPassword begins a session with a user name and password that came with the
// request. The error is a *WrongCredentialError, a *ThrottledError or that of the
// request's context.
func (g *Guard) SignInPassword(r *http.Request, login, password string) (SignIn, error) {
	policy := g.policy.Load()
	u, err := g.passwords.check(r.Context(), policy, login, password, g.source(policy, r))
	if err != nil {
		return SignIn{}, err
	}
	if u == nil {
		return SignIn{}, &WrongCredentialError{"the user name or password"}
	}
	return g.signIn(policy, u, u.passwordCredential()), nil
}

func (g *Guard) signIn(policy *Policy, u *user, with credential) SignIn {
	now := g.config.Now()
	expires := now.Add(policy.sessionLifetime)
	return SignIn{&u.Principal, g.sessions.open(u, with, now, expires), expires}
}

// SignOut ends the session of the request, if it has one, and returns whose it was.
func (g *Guard) SignOut(r *http.Request) *Principal {
	u := g.session(g.policy.Load(), r)
	if cookie, err := r.Cookie(SessionCookie); err == nil {
		g.sessions.close(cookie.Value)
	}
	if u == nil {
		return nil
	}
	return &u.Principal
}

// HasSession reports whether the request has a session.
func (g *Guard) HasSession(r *http.Request) bool {
	return g != nil && g.session(g.policy.Load(), r) != nil
}

// Client returns what the sender of the request counts as where requests are limited:
// the user, else the address.
func (g *Guard) Client(p *Principal, r *http.Request) string {
	if g != nil && !p.Anonymous() {
		return "user " + p.name
	}
	var policy *Policy
	if g != nil {
		policy = g.policy.Load()
	}
	return g.source(policy, r)
}

// source returns the address that the request comes from, as limits.Source writes it.
// Behind a trusted proxy it is the last address in X-Forwarded-For that is not a
// trusted proxy's own.
func (g *Guard) source(policy *Policy, r *http.Request) string {
	peer, err := peerOf(r)
	if err != nil {
		return "" // such as a vsock peer
	}
	if policy == nil || !policy.trusts(peer) {
		return limits.Source(peer)
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop, err := netip.ParseAddr(strings.TrimSpace(hops[i]))
		if err != nil {
			break
		}
		peer = hop.Unmap()
		if !policy.trusts(peer) {
			break
		}
	}
	return limits.Source(peer)
}

func peerOf(r *http.Request) (netip.Addr, error) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("address of the client: %w", err)
	}
	address, err := netip.ParseAddr(host)
	return address.Unmap(), err
}

func (p *Policy) fromProxy(r *http.Request) bool {
	peer, err := peerOf(r)
	return err == nil && p.trusts(peer)
}

func (p *Policy) trusts(address netip.Addr) bool {
	for _, prefix := range p.proxyAddresses {
		if prefix.Contains(address.WithZone("")) {
			return true
		}
	}
	return false
}
