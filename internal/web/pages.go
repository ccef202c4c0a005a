package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/url"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// pages answers the URLs for people.
type pages struct {
	*Server
	secret []byte // of the tokens of confirmation pages
}

func newPages(s *Server) *pages {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return &pages{Server: s, secret: secret}
}

// held returns what the pages tell of.
func (s *Server) held() webui.Held {
	ruled := s.rules.Load()
	return webui.Held{
		Listing: s.index.Of(s.Store.Snapshot()), Log: s.history, Admin: s.AdminAPI, ExpiresAt: s.Store.ExpiresAt,
		ByRule: func(key metric.GroupingKey) bool { return ruled.For(key).Expiry.Set },
	}
}

// page returns the handler of a page. What it returns as an error could not be
// rendered; or it could, but not be sent, and then the status is out and what is
// written here goes nowhere.
func (p *pages) page(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := handle(w, r); err != nil {
			p.Logger.Error("page not shown", "path", r.URL.Path, "source", r.RemoteAddr, "err", err)
			answerError(w, err)
		}
	})
}

// onceLoaded is page for pages that would show, or delete, a part of the groups
// before all that were kept are there.
func (p *pages) onceLoaded(handle func(http.ResponseWriter, *http.Request) error) http.Handler {
	return p.page(func(w http.ResponseWriter, r *http.Request) error {
		if p.Storage.Loading() {
			return p.Pages.Problem(w, r, p.depth(r), http.StatusServiceUnavailable, "Loading",
				"The groups that were kept are still being loaded. This page shows them as soon as they are there.")
		}
		return handle(w, r)
	})
}

// depth returns how many folders the request's page lies below the gateway's own.
func (p *pages) depth(r *http.Request) int {
	return strings.Count(r.URL.EscapedPath(), "/") - strings.Count(p.RoutePrefix, "/") - 1
}

func (p *pages) groups(w http.ResponseWriter, r *http.Request) error {
	return p.Pages.Groups(w, r, p.held())
}

func (p *pages) status(w http.ResponseWriter, r *http.Request) error {
	status := webui.Status{Status: p.Status, Totals: p.Store.Totals(), Rules: p.rulesInUse()}
	status.Storage = p.Storage.Status()
	return p.Pages.Status(w, r, status, p.held())
}

// configFileFlag names the file of rules, as the status page has it.
const configFileFlag = "config.file"

// rulesInUse returns what pushes are taken by that do not say it themselves.
func (s *Server) rulesInUse() webui.Rules {
	builtIn := metric.Options{Expiry: metric.Expiry{Set: true}, Timestamps: metric.TimestampsReject}
	shown := webui.Rules{Defaults: pushoptions.Format(s.Defaults.Or(builtIn))}
	if last := s.lastReload.Load(); last != nil {
		shown.File, shown.Loaded = s.Status.Flags[configFileFlag], last.loaded
		if last.failed != nil {
			shown.Failed = last.failed.Error()
		}
	}
	for _, rule := range s.rules.Load().All() {
		shown.All = append(shown.All, webui.Rule{Match: rule.Match(), Options: pushoptions.Format(rule.Options())})
	}
	return shown
}

// Where the page and the API have one group each, before its ref or its path.
const (
	groupsPrefix    = "/groups/"
	apiGroupsPrefix = "/api/v1/groups/"
)

func (p *pages) group(w http.ResponseWriter, r *http.Request) error {
	held := p.held()
	depth := p.depth(r)
	key, err := p.keyOf(held.Listing, strings.TrimPrefix(p.relativePath(r), groupsPrefix))
	if err != nil {
		return p.Pages.Problem(w, r, depth, http.StatusNotFound, "No such group", err.Error())
	}
	return p.Pages.Group(w, r, depth, held, key, held.Listing.Snapshot().Group(key))
}

// keyOf returns the key that a ref of search.Ref names, or that a path names
// which somebody wrote.
func (s *Server) keyOf(l *search.Listing, ref string) (metric.GroupingKey, error) {
	if key, isHash := l.ByHash(ref); isHash {
		if key.ID() == "" {
			return key, errors.New("there is no such group: it may have been deleted or have expired")
		}
		return key, nil
	}
	return parseGroupPath("/metrics/"+ref, s.Names)
}

// confirmation answers GET /delete: it asks whether to delete the groups.
func (p *pages) confirmation(w http.ResponseWriter, r *http.Request) error {
	d, problem := p.deletion(r.URL.Query())
	if problem != nil {
		return p.Pages.Problem(w, r, 0, problem.status, problem.title, problem.text)
	}
	return p.Pages.Confirm(w, r, d)
}

// maxFormSize bounds the body of a confirmed deletion.
const maxFormSize = 64 << 10

// delete answers POST /delete: it deletes the groups that the visitor has seen on
// the confirmation page, and no others.
func (p *pages) delete(w http.ResponseWriter, r *http.Request) error {
	if fromOtherSite(r) {
		p.Logger.Warn("deletion rejected: it comes from another site", "source", r.RemoteAddr, "origin", r.Header.Get("Origin"))
		return p.Pages.Problem(w, r, 0, http.StatusForbidden, "Not deleted", "This request comes from another site, which must not delete anything here.")
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxFormSize)
	if err := r.ParseForm(); err != nil {
		return p.Pages.Problem(w, r, 0, http.StatusBadRequest, "Not deleted", err.Error())
	}
	d, problem := p.deletion(r.PostForm)
	if problem != nil {
		return p.Pages.Problem(w, r, 0, problem.status, problem.title, problem.text)
	}
	if len(d.Groups) == 0 || !hmac.Equal([]byte(d.Token), []byte(r.PostForm.Get("token"))) {
		d.Changed = true
		return p.Pages.Confirm(w, r, d)
	}
	count := 0
	var err error
	if d.All {
		count, err = p.Store.Wipe()
		p.history.ForgetAll()
	} else {
		var deleted []*store.Group
		deleted, err = p.deleteAll(d.Groups, nil)
		count = len(deleted)
	}
	if count > 0 {
		p.Logger.Warn("groups deleted on the page", "groups", count, "source", r.RemoteAddr, "all", d.All, "request", d.Fields.Encode())
	}
	if err != nil {
		return err
	}
	p.Pages.Deleted(w, r, count)
	return nil
}

// fromOtherSite reports whether a browser says that the request comes from another
// site. Where it says nothing, only the token tells a page of ours, which no
// other site can read: over plain HTTP browsers do not send Sec-Fetch-Site, and
// the Origin of pages without referrers is null.
func fromOtherSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return false
	case "":
	default:
		return true
	}
	origin := r.Header.Get("Origin")
	if origin == "" || origin == "null" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || u.Host != r.Host
}

// problem is why something cannot be shown or done.
type problem struct {
	status      int
	title, text string
}

// deletion returns what the fields of the delete page name: one group, the groups
// of a search, or all.
func (p *pages) deletion(fields url.Values) (webui.Deletion, *problem) {
	held := p.held()
	d := webui.Deletion{Fields: url.Values{}}
	take := func(names ...string) {
		for _, name := range names {
			if values := fields[name]; len(values) > 0 {
				d.Fields[name] = values
			}
		}
	}
	switch {
	case fields.Get("group") != "":
		take("group")
		// The ref is as in a URL; in a path the server has decoded it already.
		var key metric.GroupingKey
		ref, err := url.PathUnescape(fields.Get("group"))
		if err == nil {
			key, err = p.keyOf(held.Listing, ref)
		}
		if err != nil {
			return d, &problem{http.StatusNotFound, "No such group", err.Error()}
		}
		if g := held.Listing.Snapshot().Group(key); g != nil {
			d.Groups = append(d.Groups, g)
		}
	case fields.Get("all") == "yes":
		if !p.AdminAPI {
			return d, &problem{http.StatusForbidden, "Not allowed", "To delete all groups at once, start the gateway with --web.enable-admin-api."}
		}
		take("all")
		d.All = true
		for i := range held.Listing.Rows {
			d.Groups = append(d.Groups, held.Listing.Rows[i].Group)
		}
	default:
		take("match[]", "search", "state", "age")
		query, some, err := webui.DeletionQuery(d.Fields)
		if err != nil {
			return d, &problem{http.StatusBadRequest, "Not a search", err.Error()}
		}
		if !some {
			return d, &problem{http.StatusBadRequest, "Nothing chosen", "Search for the groups to delete, or choose one."}
		}
		for _, row := range held.Listing.Find(query, held.Log.Rejected(), p.Now()).Rows {
			d.Groups = append(d.Groups, row.Group)
		}
	}
	d.Token = p.token(d.Groups)
	return d, nil
}

// token returns what shows that somebody has seen the confirmation for just these
// groups.
func (p *pages) token(groups []*store.Group) string {
	mac := hmac.New(sha256.New, p.secret)
	for _, g := range groups {
		mac.Write([]byte(g.Key.ID()))
		mac.Write([]byte{0xff, 0xff}) // not in any ID
	}
	return hex.EncodeToString(mac.Sum(nil))
}

// deleteAll deletes those of the groups that are still there, and of which still
// holds where that is not nil, in one step.
func (s *Server) deleteAll(groups []*store.Group, still func(*store.Group) bool) ([]*store.Group, error) {
	keys := make([]metric.GroupingKey, len(groups))
	for i, g := range groups {
		keys[i] = g.Key
	}
	deleted, err := s.Store.DeleteAll(keys, still)
	for _, g := range deleted {
		s.history.Forget(g.Key)
	}
	return deleted, err
}
