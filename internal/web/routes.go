package web

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"strings"

	"pushgateway/internal/groupview"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/metric"
)

// route is a row of the route table.
type route struct {
	method string
	// path is relative to the route prefix. If it ends in "/*", the row is for all
	// paths below it.
	path     string
	needs    need
	requires requirement
	form     errorForm
	// label is the label "handler" of the metrics about requests; requests are not
	// counted if it is empty.
	label  string
	handle handler
}

// handler answers a request. If it returns an error and has not started the response, the
// error is the answer.
type handler func(w http.ResponseWriter, r *request) error

// requirement is what a route requires of a request or of the gateway.
type requirement uint8

const (
	loaded       requirement = 1 << iota // the store has loaded the persisted groups
	adminAPI                             // the admin API is enabled
	lifecycleAPI                         // the lifecycle API is enabled
	sameOrigin                           // a browser sends the request from a page of the gateway, or it comes from no browser
	token                                // as sameOrigin, for a handler that checks a token as well
	readable                             // pages of other origins may read the answer
	pushOptions                          // the path may start with push options, as in /with/ttl=1h/...
	measured                             // size and duration of requests are measured
)

// need is the right that a route needs of the sender of a request. See also
// request.principal.
type need uint8

const (
	undecided      need = iota // no request is served
	free                       // nothing: the answer depends on nothing that anybody pushed
	pushGroup                  // push for the group that the path names
	pushEach                   // push; the handler checks each group
	deleteGroup                // delete for the group that the path names
	deleteEach                 // delete; the handler checks each group
	scrape                     // scrape
	read                       // read; the handler shows the groups that the sender may read and no others
	readDeleteEach             // both read and deleteEach
	admin                      // admin
)

// errorForm is how a route answers errors.
type errorForm uint8

const (
	textForm errorForm = iota
	jsonForm
	pageForm
	otlpForm
	grpcForm
)

// Paths that several places refer to. Below groupsPath and apiGroupsPath each group has a
// path of its own.
const (
	jobPath       = "/metrics/job/"
	jobBase64Path = "/metrics/job@base64/"
	apiPushPath   = "/api/v1/push"
	apiGroupsPath = "/api/v1/groups/"
	otlpPath      = "/api/v1/otlp/v1/metrics" // as in Prometheus
	groupsPath    = "/groups/"
	signInPath    = "/sign-in"
	signOutPath   = "/sign-out"
)

// table returns the rows of the route table.
func (s *Server) table() ([]route, error) {
	c := &s.config
	const (
		get, put, post, del = http.MethodGet, http.MethodPut, http.MethodPost, http.MethodDelete

		push      = pushOptions | sameOrigin | measured
		deletion  = pushOptions | sameOrigin
		lifecycle = lifecycleAPI | sameOrigin
	)
	pushes := newPushHandler(s)
	scrapes, err := newScrapeHandler(s)
	if err != nil {
		return nil, err
	}
	views := &groupview.Source{
		Store: c.Store, History: s.history, Now: c.Clock.Now,
		HasRule: func(key metric.GroupingKey) bool { return c.Rules.Rules().For(key).Expiry.Set },
	}
	deletes := &deleteHandler{c.Store, c.Validation, s.audit, s.history, views}
	reads := &apiHandler{c.Store, c.Status, c.Validation, views}
	pages := newPageHandler(s, views, deletes)
	process := &processHandler{c.Store, c.Rules, c.Guard, c.Quit, c.RoutePrefix, c.Logger, s.audit, c.ReadOnlyReady}

	rows := []route{
		{put, jobPath + "*", pushGroup, push, textForm, "push", pushes.push},
		{post, jobPath + "*", pushGroup, push, textForm, "push", pushes.push},
		{del, jobPath + "*", deleteGroup, deletion, textForm, "delete", deletes.group},
		{put, jobBase64Path + "*", pushGroup, push, textForm, "push", pushes.push},
		{post, jobBase64Path + "*", pushGroup, push, textForm, "push", pushes.push},
		{del, jobBase64Path + "*", deleteGroup, deletion, textForm, "delete", deletes.group},

		{post, apiPushPath, pushEach, pushOptions | sameOrigin, jsonForm, "api/v1/push", pushes.bulk},
		{post, otlpPath, pushEach, pushOptions | sameOrigin, otlpForm, "api/v1/otlp/v1/metrics", pushes.otlp},
		{get, "/api/v1/groups", read, loaded | readable, jsonForm, "api/v1/groups", reads.groups},
		{del, "/api/v1/groups", deleteEach, loaded | adminAPI | sameOrigin, jsonForm, "api/v1/groups", deletes.bySelector},
		{get, apiGroupsPath + "*", read, loaded | readable, jsonForm, "api/v1/groups", reads.group},
		{get, "/api/v1/metrics", read, loaded | readable, jsonForm, "api/v1/metrics", reads.allMetrics},
		{get, "/api/v1/status", read, readable, jsonForm, "api/v1/status", reads.gatewayStatus},
		{put, "/api/v1/admin/wipe", admin, adminAPI | sameOrigin, textForm, "wipe", deletes.wipe},
		{get, "/api/v1/admin/backup", admin, adminAPI, textForm, "backup", process.backup},
		{http.MethodOptions, "/api/v1/*", free, readable, textForm, "api/v1/options", answerNothing},

		{get, "/", read, loaded, pageForm, "status", pages.groups},
		{get, groupsPath + "*", read, loaded, pageForm, "status", pages.group},
		{get, "/status", read, 0, pageForm, "status", pages.status},
		{get, "/help", read, 0, pageForm, "status", pages.help},
		{get, "/delete", readDeleteEach, loaded, pageForm, "status", pages.confirmDeletion},
		{post, "/delete", readDeleteEach, loaded | token, pageForm, "status", pages.delete},
		{get, "/static/*", free, 0, textForm, "static", pages.staticFile},
		{get, "/docs/*", free, 0, textForm, "static", pages.document},

		{get, "/-/healthy", free, 0, textForm, "healthy", healthy},
		{get, "/-/ready", free, 0, textForm, "ready", process.ready},
		{put, "/-/quit", admin, lifecycle, textForm, "", process.quit},
		{post, "/-/quit", admin, lifecycle, textForm, "", process.quit},
		{get, "/-/quit", free, 0, textForm, "", onlyPostOrPut},
		{put, "/-/reload", admin, lifecycle, textForm, "", process.reload},
		{post, "/-/reload", admin, lifecycle, textForm, "", process.reload},
		{get, "/-/reload", free, 0, textForm, "", onlyPostOrPut},
		{get, "/debug/pprof", admin, 0, textForm, "", process.redirectToProfiles},
		{get, "/debug/pprof/*", admin, 0, textForm, "", process.profile},

		{get, c.TelemetryPath, scrape, loaded, textForm, "", scrapes.scrape},
	}
	if c.Guard != nil {
		rows = append(rows,
			route{get, signInPath, free, 0, pageForm, "status", pages.signInForm},
			route{post, signInPath, free, sameOrigin, pageForm, "status", pages.signIn},
			route{post, signOutPath, free, sameOrigin, pageForm, "status", pages.signOut})
	}
	if path := c.SelfMetricsPath; path != "" {
		rows = append(rows, route{get, path, scrape, 0, textForm, "", scrapes.selfMetrics})
	}
	return rows, nil
}

// routeTable finds the row of a request. It is immutable.
type routeTable struct {
	exact    map[string]methods // by path
	prefixes []prefixRoutes     // the longest prefix first
}

// methods holds the rows of a path by method.
type methods map[string]*servedRoute

// servedRoute is a row with its middleware.
type servedRoute struct {
	route
	serve func(w *httpserver.Response, r *request)
}

// prefixRoutes holds the rows of all paths that start with prefix.
type prefixRoutes struct {
	prefix string // ends in a slash
	methods
}

// newRouteTable returns the table of the rows. A later row replaces an earlier one with
// the same method and path. serve wraps a row in its middleware.
func newRouteTable(rows []route, serve func(route) func(*httpserver.Response, *request)) *routeTable {
	t := &routeTable{exact: map[string]methods{}}
	for _, row := range rows {
		served := &servedRoute{row, serve(row)}
		prefix, isPrefix := strings.CutSuffix(row.path, "*")
		switch i := slices.IndexFunc(t.prefixes, func(p prefixRoutes) bool { return p.prefix == prefix }); {
		case !isPrefix && t.exact[row.path] == nil:
			t.exact[row.path] = methods{row.method: served}
		case !isPrefix:
			t.exact[row.path][row.method] = served
		case i < 0:
			t.prefixes = append(t.prefixes, prefixRoutes{prefix, methods{row.method: served}})
		default:
			t.prefixes[i].methods[row.method] = served
		}
	}
	slices.SortFunc(t.prefixes, func(a, b prefixRoutes) int { return cmp.Compare(len(b.prefix), len(a.prefix)) })
	return t
}

// find returns the rows of a path by method, or nil if there are none. A row for OPTIONS
// alone makes no path: see findOptions.
func (t *routeTable) find(path string) methods {
	if rows, ok := t.exact[path]; ok {
		return rows
	}
	for _, p := range t.prefixes {
		if strings.HasPrefix(path, p.prefix) && p.methods[http.MethodOptions] == nil {
			return p.methods
		}
	}
	return nil
}

// findOptions returns the row for OPTIONS requests for a path, or nil if there is none.
func (t *routeTable) findOptions(path string) *servedRoute {
	for _, p := range t.prefixes {
		if row := p.methods[http.MethodOptions]; row != nil && strings.HasPrefix(path, p.prefix) {
			return row
		}
	}
	return nil
}

// takesOptions reports whether the path may follow push options.
func (t *routeTable) takesOptions(path string) bool {
	for _, row := range t.find(path) {
		return row.requires&pushOptions != 0
	}
	return false
}

// allowed returns the value of the header Allow.
func (m methods) allowed() string {
	return strings.Join(slices.Sorted(maps.Keys(m)), ", ") + ", " + http.MethodOptions
}
