package web

import (
	"errors"
	"fmt"
	"net/http"

	"pushgateway/internal/metric"
)

// statusOf maps an error to the HTTP status that answers it.
func statusOf(err error) int {
	var refusal *metric.RefusalError
	switch {
	case !errors.As(err, &refusal):
		return http.StatusInternalServerError
	case refusal.Reason == metric.WrongProtocol:
		return http.StatusUnsupportedMediaType
	}
	return http.StatusBadRequest
}

// reasonOf returns the reason of a refusal, empty where err is none.
func reasonOf(err error) metric.Reason {
	var refusal *metric.RefusalError
	if errors.As(err, &refusal) {
		return refusal.Reason
	}
	return ""
}

// answerError answers a request with what went wrong, in plain text.
func answerError(w http.ResponseWriter, err error) {
	http.Error(w, fmt.Sprint(err), statusOf(err))
}
