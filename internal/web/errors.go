package web

import (
	"errors"
	"fmt"
	"math"
	"net/http"
	"strconv"

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
