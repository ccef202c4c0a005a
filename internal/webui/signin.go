package webui

import "net/http"

// SignIn is what the sign-in page shows.
type SignIn struct {
	Text string // why one has to sign in; may be empty
	Next string // where to go then, as a path and query of the gateway
}

type signInPage struct {
	layout
	SignIn
}

// SignIn answers a request, depth directories below the gateway's root, with a form to
// sign in.
func (p *Pages) SignIn(w http.ResponseWriter, r *http.Request, visitor Visitor, depth, status int, s SignIn) error {
	s.Text, s.Next = cut(s.Text, 1000), cut(s.Next, 1000)
	return p.render(w, status, "sign-in", signInPage{p.layoutOf(r, visitor, "Sign in", "sign-in", depth), s})
}

// CookiePath returns the path below which the gateway's pages are.
func (p *Pages) CookiePath() string { return p.config.External.Path + "/" }

// Secure reports whether browsers reach the gateway over TLS by this request.
func (p *Pages) Secure(r *http.Request) bool {
	return r.TLS != nil || p.config.External.Scheme == "https"
}
