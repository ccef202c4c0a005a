// Package webui renders the pages for people: the groups held, and the status of
// the gateway. Their links are relative, so they work under any path prefix, also
// one that only a proxy knows of.
package webui

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"path"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

//go:embed assets
var assets embed.FS

// Pages renders the pages. It is safe for concurrent use.
type Pages struct {
	config    Config
	templates *template.Template
}

// Config says where the gateway is to be found.
type Config struct {
	// External is the gateway's address as clients know it; of its parts only
	// scheme, host and path count. Without a host it is a path prefix, and the
	// host is the one that the request was sent to.
	External url.URL
	// MetricsPath is where the metrics are, below the path of External.
	MetricsPath string
}

// New returns the pages of a gateway.
func New(c Config) (*Pages, error) {
	prefix := strings.Trim(c.External.Path, "/")
	if prefix != "" {
		prefix = "/" + prefix
	}
	c.External = url.URL{Scheme: c.External.Scheme, Host: c.External.Host, Path: prefix}
	t, err := template.ParseFS(assets, "assets/*.html")
	if err != nil {
		return nil, fmt.Errorf("parse page templates: %w", err)
	}
	return &Pages{config: c, templates: t}, nil
}

// pageSize is how many groups a page shows.
const pageSize = 100

// Groups answers GET /: the groups of v by their IDs, of which the query
// parameter page, counted from 1, chooses a part. A page that does not exist
// gives the nearest one that does. Cost: O(groups) steps to find the page.
func (p *Pages) Groups(w http.ResponseWriter, r *http.Request, v *store.View) error {
	total := v.Totals.Groups
	pages := max(1, (total+pageSize-1)/pageSize)
	page, _ := strconv.Atoi(r.URL.Query().Get("page"))
	page = min(max(page, 1), pages)
	first := (page - 1) * pageSize

	data := groupsPage{
		place: p.placeOf(r),
		Page:  page, Pages: pages, Previous: page - 1, Next: page + 1,
		First: first + 1, Last: min(first+pageSize, total), Total: total,
	}
	now := time.Now()
	at := 0
	for g := range v.Groups() {
		if at >= first {
			data.Groups = append(data.Groups, rowOf(g, now))
		}
		if at++; at == first+pageSize {
			break
		}
	}
	return p.render(w, "groups", data)
}

type groupsPage struct {
	place
	Page, Pages, Previous, Next int
	First, Last, Total          int // of the groups, counted from 1
	Groups                      []groupRow
}

type groupRow struct {
	Labels         []metric.Label
	Name           string // of the group, in words for a question
	Path           string // of the group, relative to the page
	Pushed, Failed moment
	Refused        bool // the last push was
	Series         int
	Size           string
}

func rowOf(g *store.Group, now time.Time) groupRow {
	row := groupRow{
		Labels:  g.Key.Labels(),
		Name:    g.Key.String(),
		Path:    strings.TrimPrefix(g.Key.Path(), "/"),
		Pushed:  momentOf(g.Pushed, now),
		Failed:  momentOf(g.Failed, now),
		Refused: g.Failed.After(g.Pushed),
	}
	var bytes int64
	for _, c := range g.Chunks {
		row.Series += c.Series()
		bytes += int64(c.Size())
	}
	row.Size = formatBytes(bytes)
	return row
}

// Status is what the status page shows.
type Status struct {
	api.Status
	Totals store.Totals
	KeptIn string // the file that the groups are kept in; empty where memory is all
}

// Status answers GET /status.
func (p *Pages) Status(w http.ResponseWriter, r *http.Request, s Status) error {
	return p.render(w, "status", statusPage{
		place:   p.placeOf(r),
		Status:  s,
		Size:    formatBytes(s.Totals.Bytes),
		Started: momentOf(s.Started, time.Now()),
	})
}

type statusPage struct {
	place
	Status
	Size    string
	Started moment
}

// place is where the gateway can be reached.
type place struct {
	Scheme, Host string
	Address      string // without a slash at the end
	MetricsPath  string
}

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

// render writes a page once it is complete.
func (p *Pages) render(w http.ResponseWriter, name string, data any) error {
	var page bytes.Buffer
	if err := p.templates.ExecuteTemplate(&page, name, data); err != nil {
		return fmt.Errorf("render page %q: %w", name, err)
	}
	protect(w.Header())
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, err := page.WriteTo(w)
	return err
}

// protect forbids the browser all that the pages have no need of, so that
// escaping is not the only thing between a push and a script.
func protect(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "+
		"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin")
}

// Static serves what the pages load, under any path that ends in /static/ and a
// file's name. Browsers ask each time whether it changed, so that a new version
// of the gateway brings its own.
func (p *Pages) Static() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := path.Base(r.URL.Path)
		content, err := assets.ReadFile("assets/" + name)
		if err != nil || path.Ext(name) == ".html" {
			http.NotFound(w, r)
			return
		}
		protect(w.Header())
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", etag(content))
		http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(content))
	})
}
