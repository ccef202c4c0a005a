package client

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// reasonHeader has the reason why a push was rejected, in one word.
const reasonHeader = "Pushgateway-Rejection"

// Error is a response that says that a request failed.
type Error struct {
	Request string // its method and URL
	Status  int    // the HTTP status
	// Reason is the server's word for why: that of a rejected push, such as timestamp or
	// type_conflict, or the type of an error of the API, such as bad_data. It is empty if the
	// server gives none.
	Reason string
	// Message is what the server says, without white space at its ends. It may be empty.
	Message string
	// RetryAfter is how long to wait before another attempt, 0 if the server does not say.
	RetryAfter time.Duration

	header http.Header
}

func (e *Error) Error() string {
	text := e.Message
	if text == "" {
		text = http.StatusText(e.Status)
	}
	return fmt.Sprintf("%s: %d: %s", e.Request, e.Status, text)
}

// Temporary reports whether the same request may succeed later.
func (e *Error) Temporary() bool {
	switch e.Status {
	case http.StatusRequestTimeout, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	case http.StatusTooManyRequests:
		return e.RetryAfter > 0 // otherwise a limit of what is stored is reached
	}
	return false
}

// maxMessage is how much of an error response is read.
const maxMessage = 64 << 10

// newError returns the error in a response.
func newError(r *http.Request, response *http.Response) *Error {
	text, _ := io.ReadAll(io.LimitReader(response.Body, maxMessage)) // what has arrived is better than nothing
	e := &Error{
		Request:    r.Method + " " + r.URL.Redacted(),
		Status:     response.StatusCode,
		Reason:     response.Header.Get(reasonHeader),
		Message:    strings.TrimSpace(string(text)),
		RetryAfter: retryAfter(response.Header),
		header:     response.Header,
	}
	var fromAPI struct {
		ErrorType string `json:"errorType"`
		Error     string `json:"error"`
	}
	if json.Unmarshal(text, &fromAPI) == nil && fromAPI.Error != "" {
		e.Message = fromAPI.Error
		if e.Reason == "" {
			e.Reason = fromAPI.ErrorType
		}
	}
	if target := response.Header.Get("Location"); response.StatusCode/100 == 3 && target != "" {
		e.Message = "redirected to " + target + ", where only GET requests are followed: use the URL of the gateway itself"
	}
	return e
}

// connectionError says that there was no response.
type connectionError struct {
	method, url string
	err         error
}

func (e *connectionError) Error() string { return fmt.Sprintf("%s %s: %v", e.method, e.url, e.err) }
func (e *connectionError) Unwrap() error { return e.err }

// unwrapURL returns the error in a *url.Error, which repeats the method and URL.
func unwrapURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
