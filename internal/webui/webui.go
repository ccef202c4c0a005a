// Package webui renders the HTML pages: the list of groups, a single group, the status
// of the gateway, and help. All links are relative, so the pages work under any path
// prefix, including one that only a proxy knows.
package webui

import (
	"bytes"
	"crypto/rand"
	"embed"
	"fmt"
	"hash/crc32"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"

	"pushgateway/docs"
	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/words"
)

//go:embed assets
var assets embed.FS

// Pages renders the pages. It is safe for concurrent use.
type Pages struct {
	config    Config
	templates *template.Template
	// process makes the ETags of this process differ from those of others, whose
	// listings have the same version numbers.
	process string
}

// Config is the gateway's address.
type Config struct {
	// External is the gateway's address as clients know it. Only scheme, host and path
	// are used. Without a host it is a path prefix; the host is then that of each
	// request.
	External url.URL
	// MetricsPath is the path of the metrics, relative to External.
	MetricsPath string
	// Replica is the gateway's name among those that share a database; empty if there are no
	// others. History is of each replica.
	Replica string
	// Prometheus is the URL, with http or https, of the Prometheus server that scrapes the
	// gateway; may be empty.
	Prometheus string
}

// New returns the pages of a gateway.
func New(c Config) (*Pages, error) {
	prefix := strings.Trim(c.External.Path, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	c.External = url.URL{Scheme: c.External.Scheme, Host: c.External.Host, Path: prefix}
	if u, err := url.Parse(c.Prometheus); c.Prometheus != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "") {
		return nil, fmt.Errorf("%q is not the URL of a Prometheus server, such as https://prometheus.example.org", c.Prometheus)
	}
	t, err := template.New("").Funcs(template.FuncMap{
		"count": words.Count,
		"bytes": words.Bytes,
	}).ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse page templates: %w", err)
	}
	return &Pages{config: c, templates: t, process: rand.Text()[:8]}, nil
}

// Visitor is who looks at a page, and what they may do. Pages offer nothing else. The
// zero value is a visitor of a gateway without an auth file, who may delete single
// groups.
type Visitor struct {
	Name       string // of the user; empty if there is no auth file
	Anonymous  bool   // has not signed in, though there is an auth file
	MaySignOut bool   // has signed in on the page
	// MayDelete reports whether the visitor may delete the group with this key; nil if
	// they may delete any.
	MayDelete  func(metric.GroupingKey) bool
	DeleteMany bool // more than one group at once
	DeleteAll  bool // all groups at once
	NoMetrics  bool // may not look at the metrics as Prometheus does
}

func (v *Visitor) mayDelete(key metric.GroupingKey) bool {
	return v.MayDelete == nil || v.MayDelete(key)
}

// layout is common to all pages.
type layout struct {
	Visitor Visitor
	Title   string
	Here    string // the page's entry in the navigation
	Root    string // relative link to the gateway's root, as ./ or ../../
	Metrics string // relative link to the metrics
	// Refresh is the number of seconds after which the page reloads itself; 0 for never.
	Refresh int
	Version string // ETag, for reloading
	Replica string // see Config
	place
}

// place is the gateway's address as the client knows it.
type place struct {
	Scheme, Host string
	Address      string // without a trailing slash
	MetricsPath  string
}

// Address returns the gateway's address as the client of the request knows it, without
// a slash at the end.
func (p *Pages) Address(r *http.Request) string { return p.placeOf(r).Address }

func (p *Pages) placeOf(r *http.Request) place {
	u := p.config.External
	if u.Host == "" {
		u.Scheme, u.Host = "http", r.Host
		if r.TLS != nil {
			u.Scheme = "https"
		}
	}
	return place{
		Scheme:      u.Scheme,
		Host:        u.Host,
		Address:     u.String(),
		MetricsPath: u.EscapedPath() + p.config.MetricsPath,
	}
}

// layoutOf returns the layout of a page that is depth directories below the gateway's
// root.
func (p *Pages) layoutOf(r *http.Request, visitor Visitor, title, here string, depth int) layout {
	root := "./"
	if depth > 0 {
		root = strings.Repeat("../", depth)
	}
	visitor.Name = cut(visitor.Name, 60)
	metrics := root + strings.TrimLeft(p.config.MetricsPath, "/")
	return layout{Visitor: visitor, Title: title, Here: here, Root: root, Metrics: metrics, Replica: p.config.Replica, place: p.placeOf(r)}
}

// unchanged answers a refresh with 304 and returns true if the page has not changed. A
// page is considered changed after a minute in any case: times on it are relative,
// groups become old, and rules that set their expiry may have been reloaded.
// others are what else the page shows.
func (p *Pages) unchanged(w http.ResponseWriter, r *http.Request, l *layout, view *groupview.View, others ...string) bool {
	// Another visitor may read other groups.
	rest := crc32.ChecksumIEEE([]byte(strings.Join(append(others, l.Visitor.Name), "\xff")))
	l.Version = fmt.Sprintf(`"%s-%d-%d-%x"`, p.process, view.Version, view.Now.Unix()/60, rest)
	w.Header().Set("ETag", l.Version)
	if r.Header.Get("If-None-Match") != l.Version {
		return false
	}
	protect(w.Header())
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusNotModified)
	return true
}

// render writes a page after it has been rendered completely.
func (p *Pages) render(w http.ResponseWriter, status int, name string, data any) error {
	var page bytes.Buffer
	if err := p.templates.ExecuteTemplate(&page, name, data); err != nil {
		return fmt.Errorf("render page %q: %w", name, err)
	}
	protect(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	// Whatever was sent to the gateway, as in the URL of a rejected push, may be on the page.
	_, err := w.Write(bytes.ToValidUTF8(page.Bytes(), []byte("\uFFFD")))
	return err
}

// Problem answers a request, depth directories below the gateway's root, with a page
// that describes a problem.
func (p *Pages) Problem(w http.ResponseWriter, r *http.Request, visitor Visitor, depth, status int, title, text string) error {
	page := problemPage{layout: p.layoutOf(r, visitor, title, "", depth), Text: text}
	if status == http.StatusServiceUnavailable {
		page.Refresh = 1
	}
	return p.render(w, status, "problem", page)
}

type problemPage struct {
	layout
	Text string
	Job  string // link to the groups of the same job; may be empty
}

// noGroup answers a request for a group that does not exist. It links to the job's other groups.
func (p *Pages) noGroup(w http.ResponseWriter, r *http.Request, visitor Visitor, depth int, key metric.GroupingKey, text string) error {
	page := problemPage{layout: p.layoutOf(r, visitor, "No such group", "", depth), Text: text}
	if job, ok := key.Value(metric.JobLabel); ok && len(job) <= maxFrom {
		page.Job = jobLink(job)
	}
	return p.render(w, http.StatusNotFound, "problem", page)
}

// Help answers GET /help.
func (p *Pages) Help(w http.ResponseWriter, r *http.Request, visitor Visitor) error {
	return p.render(w, http.StatusOK, "help", helpPage{p.layoutOf(r, visitor, "Help", "help", 0), helpReasons, documents})
}

type helpPage struct {
	layout
	Reasons   []helpReason
	Documents []document
}

// protect forbids the browser everything that the pages do not need, so that escaping
// is not the only protection from scripts in pushed text.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	// With no-referrer, browsers would not say that a form comes from this site.
	h.Set("Referrer-Policy", "same-origin")
}

// Static serves the files that the pages load, at any path that ends in /static/ and the
// file's name. Browsers revalidate them each time, so that they follow the gateway's
// version.
func (p *Pages) Static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		content, err := assets.ReadFile("assets/" + name)
		if err != nil || path.Ext(name) == ".html" {
			http.NotFound(w, r)
			return
		}
		serveFile(w, r, name, content)
	})
}

// Document serves the document of package docs that the last part of the URL's path names,
// as text.
func (p *Pages) Document(w http.ResponseWriter, r *http.Request) {
	content, err := docs.Files.ReadFile(path.Base(r.URL.Path))
	if err != nil {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	serveFile(w, r, "", content)
}

func serveFile(w http.ResponseWriter, r *http.Request, name string, content []byte) {
	protect(w.Header())
	w.Header().Set("Cache-Control", "no-cache")
	w.Header().Set("ETag", etag(content))
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
}
