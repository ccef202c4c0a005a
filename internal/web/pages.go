package web

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"strings"

	"pushgateway/internal/access"
	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// pageHandler answers requests for the pages.
type pageHandler struct {
	config  *Config
	metrics *metrics
	audit   *auditor
	views   *groupview.Source
	deletes *deleteHandler
	static  http.Handler
	secret  []byte // signs the tokens of confirmation pages
}

func newPageHandler(s *Server, views *groupview.Source, deletes *deleteHandler) *pageHandler {
	secret := make([]byte, 32)
	_, _ = rand.Read(secret) // never fails
	return &pageHandler{&s.config, s.metrics, s.audit, views, deletes, s.config.Pages.Static(), secret}
}

// visitor returns who looks at a page, and what they may do.
func (c *Config) visitor(r *request) webui.Visitor {
	p := r.principal
	v := webui.Visitor{
		MayDelete:  func(key metric.GroupingKey) bool { return p.May(access.Delete, key) },
		DeleteMany: c.AdminAPI && p.Has(access.Delete),
		DeleteAll:  c.AdminAPI && p.Has(access.Admin) && p.Has(access.Delete),
		NoMetrics:  !p.Has(access.Scrape),
	}
	if c.Guard != nil {
		v.Name, v.Anonymous, v.MaySignOut = p.Name(), p.Anonymous(), c.Guard.HasSession(r.Request)
	}
	return v
}

// depth returns how many folders the request's page is below the gateway's own.
func (c *Config) depth(r *request) int {
	return strings.Count(r.URL.EscapedPath(), "/") - strings.Count(c.RoutePrefix, "/") - 1
}

// staticFile answers GET /static/….
func (h *pageHandler) staticFile(w http.ResponseWriter, r *request) error {
	h.static.ServeHTTP(w, r.Request)
	return nil
}

// document answers GET /docs/….
func (h *pageHandler) document(w http.ResponseWriter, r *request) error {
	h.config.Pages.Document(w, r.Request)
	return nil
}

// help answers GET /help.
func (h *pageHandler) help(w http.ResponseWriter, r *request) error {
	return h.config.Pages.Help(w, r.Request, h.config.visitor(r))
}

// groups answers GET /.
func (h *pageHandler) groups(w http.ResponseWriter, r *request) error {
	return h.config.Pages.Groups(w, r.Request, viewFor(r, h.views), storageFor(r, h.config.Store), h.config.visitor(r))
}

// status answers GET /status.
func (h *pageHandler) status(w http.ResponseWriter, r *request) error {
	view := viewFor(r, h.views)
	status := webui.Status{Status: h.config.Status, Totals: view.Totals(), Rules: h.rulesInUse()}
	status.Storage, status.Replicas = storageFor(r, h.config.Store), replicasOf(h.config.Store)
	if r.principal.Limited() {
		status.Rules.All = nil // their selectors name other groups
	}
	return h.config.Pages.Status(w, r.Request, status, view, h.config.visitor(r))
}

// configFileFlag is the flag that names the rules file.
const configFileFlag = "config.file"

// rulesInUse returns the options of pushes that set none themselves.
func (h *pageHandler) rulesInUse() webui.Rules {
	builtIn := metric.Options{Expiry: metric.Expiry{Set: true}, Timestamps: metric.TimestampsReject}
	shown := webui.Rules{Defaults: append(pushoptions.Format(h.config.Defaults.Or(builtIn)), h.config.Limits.Format()...)}
	if h.config.Rules.Configured() {
		status := h.config.Rules.Status()
		shown.File, shown.Loaded = h.config.Status.Flags[configFileFlag], status.Loaded
		if status.Err != nil {
			shown.Failed = status.Err.Error()
		}
	}
	for _, rule := range h.config.Rules.Rules().All() {
		shown.All = append(shown.All, webui.Rule{Match: rule.Match(), Options: rule.Settings()})
	}
	return shown
}

// group answers GET /groups/….
func (h *pageHandler) group(w http.ResponseWriter, r *request) error {
	view := viewFor(r, h.views)
	key, err := h.findKey(view.Listing, strings.TrimPrefix(r.path, groupsPath), r.components(groupsPath))
	if err != nil {
		return err
	}
	return h.config.Pages.Group(w, r.Request, h.config.depth(r), view, key, h.config.visitor(r))
}

// findKey returns the key of the group that is named by ref, if that is a ref of search.Ref,
// or else by path, as a person may type it.
func (h *pageHandler) findKey(l *search.Listing, ref string, path groupPath) (metric.GroupingKey, error) {
	key, isHash := l.ByHash(ref)
	if !isHash {
		var err error
		if key, err = path.key(h.config.Validation); err != nil {
			return key, &statusError{http.StatusNotFound, "No such group", err}
		}
	} else if key.ID() == "" {
		return key, &statusError{http.StatusNotFound, "No such group",
			sentence("There is no such group: it may have been deleted or have expired.")}
	}
	return key, nil
}

// confirmDeletion answers GET /delete: it asks whether to delete the groups.
func (h *pageHandler) confirmDeletion(w http.ResponseWriter, r *request) error {
	d, err := h.deletion(r, r.URL.Query())
	if err != nil {
		return err
	}
	return h.config.Pages.Confirm(w, r.Request, d, h.config.visitor(r))
}

// maxFormSize is the maximum size of the body of a confirmed deletion in bytes.
const maxFormSize = 64 << 10

// delete answers POST /delete: it deletes the groups that the visitor has seen on the
// confirmation page, and no others.
func (h *pageHandler) delete(w http.ResponseWriter, r *request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxFormSize)
	if err := r.ParseForm(); err != nil {
		return &statusError{http.StatusBadRequest, "Not deleted", err}
	}
	d, err := h.deletion(r, r.PostForm)
	if err != nil {
		return err
	}
	if len(d.Groups) == 0 || !hmac.Equal([]byte(d.Token), []byte(r.PostForm.Get("token"))) {
		d.Changed = true
		return h.config.Pages.Confirm(w, r.Request, d, h.config.visitor(r))
	}
	if d.All {
		_, err = h.deletes.deleteAll()
	} else {
		_, err = h.deletes.delete(d.Groups, nil)
	}
	if err != nil {
		return err
	}
	// Groups without metrics, known from rejected pushes alone, leave the list as well.
	count := len(d.Groups)
	h.deletes.forget(d.Groups)
	if d.All {
		h.audit.log(r, "wipe", "groups", count)
	} else {
		h.audit.log(r, "delete", "groups", count, "names", namesOf(d.Groups), "page", metric.Shorten(d.Fields.Encode()))
	}
	h.config.Pages.Deleted(w, d, count)
	return nil
}

// deletion returns the groups that the fields of the delete page select: one group, the
// groups of a search, or all. Deleting several at once needs the admin API. Groups that
// the visitor may not read, or not delete, are left out of a search.
func (h *pageHandler) deletion(r *request, fields url.Values) (webui.Deletion, error) {
	view := viewFor(r, h.views)
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
		take("group", "from")
		// The ref is percent-encoded, as in the path of a page.
		ref, err := url.PathUnescape(fields.Get("group"))
		if err != nil {
			return d, &statusError{http.StatusNotFound, "No such group", err}
		}
		key, err := h.findKey(view.Listing, ref, splitEscaped(fields.Get("group")))
		if err != nil {
			return d, err
		}
		if err := r.principal.CheckGroup(access.Delete, key); err != nil {
			h.audit.denied(r, err)
			return d, err
		}
		if row := view.Row(key); row != nil {
			d.Groups = append(d.Groups, row.Group)
		}
	case fields.Get("all") == "yes":
		if !h.config.AdminAPI {
			return d, &statusError{http.StatusForbidden, "Not allowed",
				sentence("To delete all groups at once, start the gateway with --web.enable-admin-api.")}
		}
		if err := r.principal.Check(access.Admin); err != nil {
			h.audit.denied(r, err)
			return d, err
		}
		take("all")
		d.All = true
		for i := range view.Rows {
			d.Groups = append(d.Groups, view.Rows[i].Group)
		}
	default:
		take("match[]", "search", "state", "age")
		query, some, err := webui.DeletionQuery(d.Fields)
		if err != nil {
			return d, &statusError{http.StatusBadRequest, "Not a search", err}
		}
		if !some {
			return d, &statusError{http.StatusBadRequest, "Nothing chosen", sentence("Search for the groups to delete, or choose one.")}
		}
		for _, row := range view.Find(query).Rows {
			if r.principal.May(access.Delete, row.Group.Key) {
				d.Groups = append(d.Groups, row.Group)
			}
		}
		if len(d.Groups) > 1 && !h.config.AdminAPI {
			return d, &statusError{http.StatusForbidden, "Not allowed",
				sentence("To delete more than one group at once, start the gateway with --web.enable-admin-api.")}
		}
	}
	d.Token = h.token(d.Groups)
	return d, nil
}

// token returns the token that the confirmation page for these groups carries.
func (h *pageHandler) token(groups []*store.Group) string {
	mac := hmac.New(sha256.New, h.secret)
	for _, g := range groups {
		mac.Write([]byte(g.Key.ID()))
		mac.Write([]byte{0xff, 0xff}) // occurs in no ID
	}
	return hex.EncodeToString(mac.Sum(nil))
}
