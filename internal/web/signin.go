package web

import (
	"net/http"

	"pushgateway/internal/access"
	"pushgateway/internal/webui"
)

// signInFor returns the sign-in page that answers a request for another page, which it
// leads back to.
func (c *Config) signInFor(r *request, err error) webui.SignIn {
	page := webui.SignIn{Text: err.Error()}
	if r.Method == http.MethodGet {
		page.Next = relativePath(r.URL.EscapedPath(), c.RoutePrefix)
		if r.URL.RawQuery != "" {
			page.Next += "?" + r.URL.RawQuery
		}
	}
	return page
}

// signInForm answers GET /sign-in.
func (h *pageHandler) signInForm(w http.ResponseWriter, r *request) error {
	return h.config.Pages.SignIn(w, r.Request, h.config.visitor(r), 0, http.StatusOK, webui.SignIn{})
}

// signIn answers POST /sign-in: it begins a session.
func (h *pageHandler) signIn(w http.ResponseWriter, r *request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormSize)
	if err := r.ParseForm(); err != nil {
		return &statusError{http.StatusBadRequest, "Not signed in", err}
	}
	form := r.PostForm
	var in access.SignIn
	var err error
	if token := form.Get("token"); token != "" {
		in, err = h.config.Guard.SignInToken(token)
	} else {
		in, err = h.config.Guard.SignInPassword(r.Request, form.Get("username"), form.Get("password"))
	}
	if err != nil {
		h.audit.failed(r, "sign-in failed", err, form.Get("username"))
		setRetryAfter(w.Header(), err)
		return h.config.Pages.SignIn(w, r.Request, h.config.visitor(r), 0, statusOf(err), webui.SignIn{Text: err.Error(), Next: form.Get("next")})
	}
	r.principal = in.Principal
	h.audit.log(r, "sign-in")
	cookie := h.cookie(r, in.Secret) // #nosec G124 -- see cookie
	cookie.Expires = in.Expires
	http.SetCookie(w, cookie)
	h.config.Pages.GoTo(w, form.Get("next"))
	return nil
}

// signOut answers POST /sign-out: it ends the session.
func (h *pageHandler) signOut(w http.ResponseWriter, r *request) error {
	if p := h.config.Guard.SignOut(r.Request); p != nil {
		r.principal = p
		h.audit.log(r, "sign-out")
	}
	cookie := h.cookie(r, "") // #nosec G124 -- see cookie
	cookie.MaxAge = -1
	http.SetCookie(w, cookie)
	h.config.Pages.GoTo(w, signInPath)
	return nil
}

// cookie returns the cookie of a session.
func (h *pageHandler) cookie(r *request, secret string) *http.Cookie {
	return &http.Cookie{ // #nosec G124 -- Secure where browsers come over TLS; elsewhere the cookie would not come back
		Name: access.SessionCookie, Value: secret, Path: h.config.Pages.CookiePath(),
		HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: h.config.Pages.Secure(r.Request),
	}
}
