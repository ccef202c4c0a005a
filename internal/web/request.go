package web

import (
	"cmp"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"path"
	"runtime/debug"
	"slices"
	"strings"

	"pushgateway/internal/access"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// maxURL is the maximum length of a URL in bytes. It bounds the work for paths, options and
// selectors.
const maxURL = 32 << 10

// request is an HTTP request together with what its path says.
type request struct {
	*http.Request
	// path is the decoded path below the route prefix, without push options. It starts
	// with a single slash, or is empty if the route prefix is missing.
	path string
	// escaped is path in its percent-encoded form, or "" if no slash is encoded.
	escaped string
	// key is what groupKey has returned, or the zero value if it has returned none.
	key metric.GroupingKey
	// options are the push options at the start of the path, each as name=value.
	options []string
	// principal is who sent the request. It is nil, and may do nothing, before the
	// middleware has identified the sender.
	principal *access.Principal
	// interrupt makes reading the body fail. Any goroutine may call it.
	interrupt func()
}

// newRequest returns the request with its path parsed.
func (s *Server) newRequest(r *http.Request) *request {
	parsed := &request{Request: r, path: relativePath(singleSlash(r.URL.Path), s.config.RoutePrefix)}
	if r.URL.RawPath != "" { // as when a slash is encoded
		if rest, ok := cutDecoded(singleSlash(r.URL.EscapedPath()), s.config.RoutePrefix); ok {
			parsed.escaped = relativePath(rest, "")
		}
	}
	if options, rest, found := pushoptions.CutPrefix(parsed.path); found && s.routes.takesOptions(rest) {
		parsed.path, parsed.options = rest, options
		_, parsed.escaped, _ = pushoptions.CutPrefix(parsed.escaped)
	}
	if decoded, err := url.PathUnescape(parsed.escaped); err != nil || decoded != parsed.path {
		parsed.escaped = "" // a slash of the structure is encoded: the path can only be split after decoding
	}
	return parsed
}

// relativePath returns the path below the route prefix, starting with a single slash, or
// "" if the prefix is missing.
func relativePath(path, prefix string) string {
	path, ok := strings.CutPrefix(path, prefix)
	if !ok || path != "" && path[0] != '/' {
		return ""
	}
	return cmp.Or(singleSlash(path), "/")
}

// singleSlash returns the path with a single slash at the start: clients join a base URL that
// ends in a slash with a path that starts with one.
func singleSlash(path string) string {
	for strings.HasPrefix(path, "//") {
		path = path[1:]
	}
	return path
}

// components returns the path after the prefix, split at its slashes and then decoded, so
// that a percent-encoded slash stays part of a component.
func (r *request) components(prefix string) []string {
	rest, ok := cutDecoded(r.escaped, prefix)
	if !ok {
		return strings.Split(strings.TrimPrefix(r.path, prefix), "/")
	}
	return splitEscaped(rest)
}

// allComponents returns the components of the path, also if it lacks the route prefix.
func (r *request) allComponents() []string {
	if r.path == "" {
		return splitEscaped(strings.TrimLeft(r.URL.EscapedPath(), "/"))
	}
	return r.components("/")
}

// splitEscaped splits a percent-encoded path at its slashes and then decodes the
// components.
func splitEscaped(path string) []string {
	components := strings.Split(path, "/")
	for i, c := range components {
		if decoded, err := url.PathUnescape(c); err == nil {
			components[i] = decoded
		}
	}
	return components
}

// groupKey returns the grouping key that the path after the prefix names. All calls for a
// request have the same arguments.
func (r *request) groupKey(prefix string, validation metric.ValidationScheme) (key metric.GroupingKey, err error) {
	if r.key.ID() == "" {
		r.key, err = groupPath(r.components(prefix)).key(validation)
	}
	return r.key, err
}

// changesGroup reports whether the method is one of those that the path of a group accepts.
func (r *request) changesGroup() bool {
	return slices.Contains([]string{http.MethodPut, http.MethodPost, http.MethodDelete}, r.Method)
}

// cutDecoded returns a percent-encoded path after the part that decodes to prefix.
func cutDecoded(escaped, prefix string) (rest string, ok bool) {
	for i := range len(prefix) {
		size := 1
		if strings.HasPrefix(escaped, "%") {
			size = min(3, len(escaped))
		}
		if len(escaped) < size {
			return "", false
		}
		if c, err := url.PathUnescape(escaped[:size]); err != nil || c != prefix[i:i+1] {
			return "", false
		}
		escaped = escaped[size:]
	}
	return escaped, true
}

// ServeHTTP serves a request as the row of the route table for its method and path says.
func (s *Server) ServeHTTP(writer http.ResponseWriter, httpRequest *http.Request) {
	w, httpRequest := httpserver.NewResponse(writer, httpRequest, s.config.Progress)
	r := s.newRequest(httpRequest)
	r.interrupt = w.InterruptBody
	defer s.recover(w, r)
	if prefix := s.config.RoutePrefix; prefix != "" && r.URL.Path == prefix && r.Method == http.MethodGet {
		// Without the slash, the relative links of the page would lead elsewhere. The location
		// is relative, too, since the path may have another prefix outside.
		location := url.URL{Path: path.Base(prefix) + "/", RawQuery: r.URL.RawQuery}
		w.Header().Set("Location", location.String())
		w.WriteHeader(http.StatusMovedPermanently)
	} else if row := s.findRow(r); row != nil {
		row.serve(w, r)
	} else if err := s.answerUnrouted(w, r); err != nil && isGRPC(r.Request) {
		s.answerError(w, r, grpcForm, err)
	} else if err != nil {
		s.answerError(w, r, textForm, err)
	}
	w.Finish()
}

// recover answers a request whose handler has panicked.
func (s *Server) recover(w *httpserver.Response, r *request) {
	cause := recover()
	switch {
	case cause == nil:
		return
	case cause == http.ErrAbortHandler:
		panic(cause)
	}
	s.panics.Log(slog.LevelError, "panic while serving a request", "method", r.Method, "path", metric.Shorten(r.path),
		"remote_addr", r.RemoteAddr, "panic", fmt.Sprint(cause), "stack", string(debug.Stack()))
	if w.Started() {
		panic(http.ErrAbortHandler)
	}
	http.Error(w, "internal error: see the gateway's log", http.StatusInternalServerError)
	w.Finish()
}

// findRow returns the row of the route table for a request, or nil if there is none.
func (s *Server) findRow(r *request) *servedRoute {
	if len(r.URL.Path)+len(r.URL.RawQuery) > maxURL {
		return nil
	}
	if r.Method == http.MethodOptions {
		if row := s.routes.findOptions(r.path); row != nil {
			return row
		}
	}
	return s.routes.find(r.path)[r.Method]
}

// answerUnrouted answers a request that matches no row of the route table.
func (s *Server) answerUnrouted(w http.ResponseWriter, r *request) error {
	if size := len(r.URL.Path) + len(r.URL.RawQuery); size > maxURL {
		return s.rejectURL(r, http.StatusRequestURITooLong, metric.Reject(metric.BadPath,
			"the URL has %d bytes, which is more than %d: move labels from the URL into the body", size, maxURL))
	}
	rows := s.routes.find(r.path)
	if rows != nil && s.allDisabled(rows) {
		return errAdminDisabled
	}
	if rows != nil {
		w.Header().Set("Allow", rows.allowed())
	}
	if status, rejection := s.misdirectedExport(r, rows); rejection != nil {
		return s.rejectURL(r, status, rejection)
	}
	if rows == nil {
		return s.answerNotFound(w, r)
	}
	if r.Method == http.MethodOptions {
		return nil
	}
	rejection := metric.Reject(metric.BadPath, "Method Not Allowed: %s is not one of %s", r.Method, rows.allowed())
	if strings.HasPrefix(r.path, jobPath) {
		if key, err := r.groupKey("/metrics/", s.config.Validation); err == nil {
			rejection.Noting(": PUT and POST push to this path, and what has been pushed to it is at %s",
				shellQuote(s.config.Pages.Address(r.Request)+strings.Replace(key.Path(), "/metrics/", apiGroupsPath, 1)))
		}
	} else if meant, ok := meantPath(r.allComponents()); ok && r.changesGroup() {
		return s.rejectURL(r, http.StatusMethodNotAllowed, suggestMeant(metric.Reject(metric.BadPath,
			"Method Not Allowed: the job is missing from the path (%s accepts only %s)", r.URL.Path, rows.allowed()), meant, s.config.Validation))
	}
	return &statusError{http.StatusMethodNotAllowed, "", rejection}
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

// answerNotFound answers a request whose path has no row. If only a trailing slash is too
// many, it redirects, unless the path without it does not serve the method either: clients
// that push often show no redirects.
func (s *Server) answerNotFound(w http.ResponseWriter, r *request) error {
	if trimmed := strings.TrimRight(r.path, "/"); trimmed != r.path && trimmed != "" && s.routes.find(trimmed)[r.Method] != nil {
		target := *r.URL
		target.Path, target.RawPath = s.config.RoutePrefix+trimmed, ""
		status := http.StatusPermanentRedirect
		if r.Method == http.MethodGet {
			status = http.StatusMovedPermanently
		}
		http.Redirect(w, r.Request, target.RequestURI(), status)
		return nil
	}
	if _, rest, found := pushoptions.CutPrefix(r.path); found {
		return s.rejectURL(r, http.StatusNotFound, metric.Reject(metric.BadPath,
			"404 page not found: after /with/ and the options, each as name=value, the path must continue with %s… or %s, "+
				"but it continues with %q",
			jobPath, apiPushPath, rest))
	}
	if meant, ok := meantPath(r.allComponents()); ok && r.changesGroup() {
		rejection := metric.Reject(metric.BadPath, "404 page not found: the path of a group starts with %s<job name>", jobPath)
		return s.rejectURL(r, http.StatusNotFound, suggestMeant(rejection, meant, s.config.Validation))
	}
	if wantsPage(r.Request) {
		// Whoever it is gets the page. Who it is decides on the links in its header alone.
		_ = s.identify(r)
		return s.config.Pages.Problem(w, r.Request, s.config.visitor(r), s.config.depth(r), http.StatusNotFound, "No such page",
			"There is no page at "+metric.Shorten(r.URL.Path)+".")
	}
	return notFound("404 page not found")
}

// wantsPage reports whether a person asks with a browser.
func wantsPage(r *http.Request) bool {
	return r.Method == http.MethodGet && strings.Contains(r.Header.Get("Accept"), "text/html")
}

// mayPush reports whether the sender may push to some groups.
func (s *Server) mayPush(r *request) bool {
	return s.identify(r) == nil && r.principal.Has(access.Push)
}

// rejectURL returns the error for a request whose URL is wrong. A push is recorded as
// rejected.
func (s *Server) rejectURL(r *request, status int, rejection *metric.RejectionError) error {
	err := explain(rejection, s.config.Pages.Address(r.Request))
	if (r.Method == http.MethodPut || r.Method == http.MethodPost) && s.mayPush(r) {
		s.recorder.record(r, outcome{size: r.ContentLength, err: err})
	}
	return &statusError{status, "", err}
}
