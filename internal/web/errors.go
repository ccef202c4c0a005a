package web

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// statusError is an error with the HTTP status that answers it.
type statusError struct {
	status int
	title  string // the title of a page about it; empty for routes that are not pages
	err    error
}

func (e *statusError) Error() string { return e.err.Error() }
func (e *statusError) Unwrap() error { return e.err }

// sentence is the text of an error that is shown as it is: on a page, or in upstream's words.
type sentence string

func (s sentence) Error() string { return string(s) }

var (
	errAdminDisabled = &statusError{http.StatusNotFound, "Not enabled",
		errors.New("the admin API is not enabled: start the gateway with --web.enable-admin-api")}
	errUndecided         = &statusError{http.StatusForbidden, "Forbidden", errors.New("the route does not say which right it needs")}
	errLifecycleDisabled = &statusError{http.StatusForbidden, "", sentence("Lifecycle API is not enabled.")}
	errOnlyPostOrPut     = &statusError{http.StatusMethodNotAllowed, "", sentence("Only POST or PUT requests allowed.")}
	errOtherSite         = &statusError{http.StatusForbidden, "Not deleted",
		sentence("This request comes from the page of another site, which must not change anything here.")}
)

// badRequest returns an error that is answered with 400.
func badRequest(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, "Bad request", fmt.Errorf(format, args...)}
}

// notFound returns an error that is answered with 404.
func notFound(format string, args ...any) error {
	return &statusError{http.StatusNotFound, "Not found", fmt.Errorf(format, args...)}
}

// loadingError says that the store is still loading the persisted groups.
type loadingError struct{ error }

func (e *loadingError) Unwrap() error { return e.error }

// statusOf maps an error to the HTTP status that answers it.
func statusOf(err error) int {
	if e, ok := errors.AsType[*statusError](err); ok {
		return e.status
	}
	if _, ok := errors.AsType[*store.UnavailableError](err); ok {
		return http.StatusServiceUnavailable
	}
	if _, ok := errors.AsType[*loadingError](err); ok {
		return http.StatusServiceUnavailable
	}
	if errors.Is(err, errors.ErrUnsupported) {
		return http.StatusNotImplemented
	}
	if _, ok := errors.AsType[*access.WrongCredentialError](err); ok {
		return http.StatusUnauthorized
	}
	if _, ok := errors.AsType[*access.ThrottledError](err); ok {
		return http.StatusTooManyRequests
	}
	if denied, ok := errors.AsType[*access.DeniedError](err); ok {
		if denied.Anonymous() {
			return http.StatusUnauthorized
		}
		return http.StatusForbidden
	}
	switch reasonOf(err) {
	case "":
		return http.StatusInternalServerError
	case metric.WrongProtocol:
		return http.StatusUnsupportedMediaType
	case metric.TooLarge:
		return http.StatusRequestEntityTooLarge
	case metric.QuotaExceeded, metric.RateLimited:
		return http.StatusTooManyRequests
	case metric.Overloaded:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// reasonOf returns the reason of a rejection, or "" if err is not a rejection.
func reasonOf(err error) metric.Reason {
	if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
		return rejection.Reason
	}
	return ""
}

// kindOf returns the kind of an error in JSON answers.
func kindOf(err error) string {
	switch status := statusOf(err); {
	case status == http.StatusNotFound:
		return api.NotFound
	case status == http.StatusUnauthorized:
		return api.Unauthorized
	case status == http.StatusForbidden:
		return api.Forbidden
	case status >= http.StatusInternalServerError || status == http.StatusTooManyRequests:
		return api.Unavailable
	}
	return api.BadData
}

// rejectionHeader has the reason of a rejected push, for programs.
const rejectionHeader = "Pushgateway-Rejection"

// answerError answers a request with an error in the given form. If the response has
// started already, it aborts the connection, so that nobody takes a part for the whole.
func (s *Server) answerError(w *httpserver.Response, r *request, form errorForm, err error) {
	if w.Started() {
		level := slog.LevelError
		if clientFailed(r.Request, err) {
			level = slog.LevelDebug
		}
		s.config.Logger.Log(r.Context(), level, "response cut short", "path", r.path, "remote_addr", r.RemoteAddr, "err", err)
		panic(http.ErrAbortHandler)
	}
	w.DrainBody()
	if w.BodyTimedOut() {
		err = &statusError{http.StatusRequestTimeout, "Timeout", err}
	}
	err = explain(err, s.config.Pages.Address(r.Request))
	setRetryAfter(w.Header(), err)
	if reason := reasonOf(err); reason != "" {
		w.Header().Set(rejectionHeader, string(reason))
	}
	if statusOf(err) == http.StatusUnauthorized {
		challenge(w.Header(), r)
	}
	switch form {
	case jsonForm:
		w.Header().Set("Content-Type", jsonType)
		w.WriteHeader(statusOf(err))
		_ = api.WriteError(w, kindOf(err), err.Error()) // fails only if the client has gone
	case pageForm:
		s.answerErrorPage(w, r, err)
	case otlpForm:
		answerOTLPError(w, r, err)
	case grpcForm:
		answerGRPC(w, err)
	default:
		http.Error(w, err.Error(), statusOf(err))
	}
}

// clientFailed reports whether a response could not be sent because the client has gone or
// does not read it.
func clientFailed(r *http.Request, err error) bool {
	return r.Context().Err() != nil || errors.Is(err, os.ErrDeadlineExceeded)
}

// answerErrorPage answers a request for a page with a page about the error.
func (s *Server) answerErrorPage(w http.ResponseWriter, r *request, err error) {
	page := &statusError{statusOf(err), "Error", err}
	if e, ok := errors.AsType[*statusError](err); ok {
		page = e
	} else if _, ok := errors.AsType[*loadingError](err); ok {
		page.title = "Loading"
		page.err = sentence("The persisted groups are still being loaded. This page shows them as soon as they are there.")
	} else if page.status == http.StatusUnauthorized {
		c := &s.config
		err := c.Pages.SignIn(w, r.Request, c.visitor(r), c.depth(r), page.status, c.signInFor(r, err))
		if err != nil {
			s.config.Logger.Debug("sign-in page not sent", "path", r.URL.Path, "remote_addr", r.RemoteAddr, "err", err)
		}
		return
	} else if page.status < http.StatusInternalServerError {
		page.title = http.StatusText(page.status)
	} else {
		s.config.Logger.Error("page not shown", "path", r.URL.Path, "remote_addr", r.RemoteAddr, "err", err)
	}
	if err := s.config.Pages.Problem(w, r.Request, s.config.visitor(r), s.config.depth(r), page.status, page.title, page.Error()); err != nil {
		s.config.Logger.Debug("error page not sent", "path", r.URL.Path, "remote_addr", r.RemoteAddr, "err", err)
	}
}

// setRetryAfter sets the header Retry-After if err is temporary.
func setRetryAfter(h http.Header, err error) {
	after := time.Duration(0)
	if unavailable, ok := errors.AsType[*store.UnavailableError](err); ok {
		after = unavailable.RetryAfter
	} else if throttled, ok := errors.AsType[*access.ThrottledError](err); ok {
		after = throttled.RetryAfter
	} else if rejected, ok := errors.AsType[*limits.TemporaryRejection](err); ok {
		after = rejected.RetryAfter
	}
	if after > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
	}
}

// explain returns err with its fix in words, as the answer, the log, the pages and the
// API show it. address is the gateway's address as the client knows it, without a
// trailing slash. explain returns nil for nil.
func explain(err error, address string) error {
	if status, ok := err.(*statusError); ok {
		explained := *status
		explained.err = explain(status.err, address)
		return &explained
	}
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok || rejection.Fix == metric.NoFix {
		return err
	}
	explained := *rejection
	explained.Message, explained.Fix, explained.Note = rejection.Message+fixText(rejection, address)+rejection.Note, metric.NoFix, ""
	return &explained
}

// discreet returns err without the names of groups that the sender may not read.
func discreet(err error, sender *access.Principal) error {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok || !slices.ContainsFunc(rejection.Others, func(key metric.GroupingKey) bool { return !sender.May(access.Read, key) }) {
		return err
	}
	without := *rejection
	without.Message, without.Note, without.Others = rejection.Discreet(), "", nil
	return &without
}

// fixText puts the fix of a rejection into words that continue its message.
func fixText(e *metric.RejectionError, address string) string {
	switch e.Fix {
	case metric.DeleteGroup:
		return fmt.Sprintf("; to start over, delete the group, with all that it holds, and push again: curl -X DELETE %s",
			shellQuote(address+e.Group.Path()))
	case metric.SumOrReplace:
		return fmt.Sprintf(": add merge=sum to this push (with curl: %s), or replace all that the group holds with PUT and merge=group",
			shellQuote(address+e.Group.Path()+"?merge=sum"))
	case metric.UseGroupURL:
		return fmt.Sprintf("; use the URL %s", shellQuote(address+e.Group.Path()))
	case metric.UseURLOrAllowUTF8:
		return fmt.Sprintf("; use the URL %s, or start the gateway with --push.enable-utf8-names, which allows any UTF-8",
			shellQuote(address+e.Group.Path()))
	case metric.AllowUTF8:
		return ", or start the gateway with --push.enable-utf8-names, which allows any UTF-8"
	case metric.AllowQuotedUTF8:
		return `, or start the gateway with --push.enable-utf8-names, which allows any UTF-8 in quoted names: {"a.metric","a.label"="x"} 1`
	case metric.DropTimestamps:
		return ", or push with timestamps=drop in the query of the URL"
	case metric.SplitByLabels:
		return fmt.Sprintf("; to let the labels of the metrics name their groups, push to %s (each metric needs the label job)",
			shellQuote(address+apiPushPath+"?group_by="+strings.Join(e.Labels, ",")))
	}
	return ""
}

// shellQuote quotes a URL for a POSIX shell.
func shellQuote(url string) string { return "'" + strings.ReplaceAll(url, "'", `'\''`) + "'" }

// challenge names the ways to send a credential. Browsers get the sign-in page instead: they
// would open a window of their own for basic auth.
func challenge(h http.Header, r *request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		h.Add("WWW-Authenticate", `Basic realm="Pushgateway", charset="UTF-8"`)
	}
	h.Add("WWW-Authenticate", `Bearer realm="Pushgateway"`)
}
