package web

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// request is an HTTP request together with what its path says.
type request struct {
	*http.Request
	// path is the decoded path below the route prefix, without push options. It starts
	// with a single slash, or is empty if the route prefix is missing.
	path string
	// options are the push options at the start of the path, each as name=value.
	options []string
}

// newRequest returns the request with its path taken apart.
func (s *Server) newRequest(r *http.Request) *request {
	path := relativePath(r.URL.Path, s.config.RoutePrefix)
	if options, rest, found := pushoptions.CutPrefix(path); found && s.routes.takesOptions(rest) {
		return &request{r, rest, options}
	}
	return &request{r, path, nil}
}

// relativePath returns the path below the route prefix, starting with a single slash, or
// "" if the prefix is missing.
func relativePath(path, prefix string) string {
	path, ok := strings.CutPrefix(path, prefix)
	if !ok || path != "" && path[0] != '/' {
		return ""
	}
	// Clients join a base URL that ends in a slash with a path that starts with one.
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	return cmp.Or(path, "/")
}

// ServeHTTP serves a request by the row of the route table for its method and path.
func (s *Server) ServeHTTP(w http.ResponseWriter, httpRequest *http.Request) {
	r := s.newRequest(httpRequest)
	if r.Method == http.MethodOptions {
		if row := s.routes.findOptions(r.path); row != nil {
			row.serve(w, r)
			return
		}
	}
	rows := s.routes.find(r.path)
	if rows == nil {
		s.notFound(w, r)
		return
	}
	if row := rows[r.Method]; row != nil {
		row.serve(w, r)
		return
	}
	if s.allDisabled(rows) {
		http.NotFound(w, r.Request)
		return
	}
	w.Header().Set("Allow", rows.allowed())
	if r.Method != http.MethodOptions {
		http.Error(w, "Method Not Allowed: "+r.Method+" is not one of "+rows.allowed(), http.StatusMethodNotAllowed)
	}
}

// allDisabled reports whether all rows require the admin API and it is disabled.
func (s *Server) allDisabled(rows methods) bool {
	for _, row := range rows {
		if row.requires&adminAPI == 0 || s.config.AdminAPI {
			return false
		}
	}
	return true
}

// notFound answers a request whose path has no row. If only a trailing slash is too many,
// it redirects.
func (s *Server) notFound(w http.ResponseWriter, r *request) {
	if trimmed := strings.TrimRight(r.path, "/"); trimmed != r.path && trimmed != "" && s.routes.find(trimmed) != nil {
		target := *r.URL
		target.Path, target.RawPath = s.config.RoutePrefix+trimmed, ""
		status := http.StatusPermanentRedirect
		if r.Method == http.MethodGet {
			status = http.StatusMovedPermanently
		}
		http.Redirect(w, r.Request, target.RequestURI(), status)
		return
	}
	if _, rest, found := pushoptions.CutPrefix(r.path); found {
		http.Error(w, fmt.Sprintf("404 page not found: after /with/ and the options, each as name=value, the path must continue with %s… or %s, but it continues with %q",
			jobPath, apiPushPath, metric.Shorten(rest)), http.StatusNotFound)
		return
	}
	http.NotFound(w, r.Request)
}
