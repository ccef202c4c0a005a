package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// statusOf maps an error to the HTTP status that answers it.
func statusOf(err error) int {
	var rejection *metric.RejectionError
	var unavailable *store.UnavailableError
	switch {
	case errors.As(err, &unavailable):
		return http.StatusServiceUnavailable
	case errors.Is(err, errors.ErrUnsupported):
		return http.StatusNotImplemented
	case !errors.As(err, &rejection):
		return http.StatusInternalServerError
	case rejection.Reason == metric.WrongProtocol:
		return http.StatusUnsupportedMediaType
	case rejection.Reason == metric.TooLarge:
		return http.StatusRequestEntityTooLarge
	}
	return http.StatusBadRequest
}

// reasonOf returns the reason of a rejection, empty where err is none.
func reasonOf(err error) metric.Reason {
	var rejection *metric.RejectionError
	if errors.As(err, &rejection) {
		return rejection.Reason
	}
	return ""
}

// explain returns err with its fix in words, as the answer, the log, the pages and the
// API show it. address is the gateway's, as the client knows it, without a slash at the
// end.
func explain(err error, address string) error {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok || rejection.Fix == metric.NoFix {
		return err
	}
	explained := *rejection
	explained.Message, explained.Fix = rejection.Message+fixText(rejection, address), metric.NoFix
	return &explained
}

// explained is explain with the address that the request's client used.
func (s *Server) explained(r *http.Request, err error) error {
	if err == nil {
		return nil
	}
	return explain(err, s.Pages.Address(r))
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
	case metric.AllowUTF8:
		return "; or start the gateway with --push.enable-utf8-names, which allows any UTF-8"
	case metric.DropTimestamps:
		return "; or push with timestamps=drop (in the query of the URL), which takes the samples without them"
	case metric.SplitByLabels:
		return fmt.Sprintf("; to let the labels of the metrics name their groups, push to %s",
			shellQuote(address+apiPushPath+"?group_by="+strings.Join(e.Labels, ",")))
	}
	return ""
}

// shellQuote quotes a URL for a POSIX shell.
func shellQuote(url string) string { return "'" + strings.ReplaceAll(url, "'", `'\''`) + "'" }

// answerError answers a request with what went wrong, in plain text.
func answerError(w http.ResponseWriter, err error) {
	giveRetryAfter(w, err)
	http.Error(w, fmt.Sprint(err), statusOf(err))
}

// giveRetryAfter says when to try again, where err passes.
func giveRetryAfter(w http.ResponseWriter, err error) {
	var unavailable *store.UnavailableError
	if errors.As(err, &unavailable) {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(unavailable.RetryAfter.Seconds()))))
	}
}
