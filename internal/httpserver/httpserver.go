// Package httpserver closes connections that are silent, and no others: deadlines move as
// long as bytes flow. A client whose request is rejected gets the response even if it sends
// a large body first. Errors of the server are logged at a bounded rate.
package httpserver

import (
	"log"
	"log/slog"
	"net/http"
	"time"
)

// Timeouts bound how long a connection may be silent. A zero value means no bound.
type Timeouts struct {
	// Header is how long the header of a request may take. For a new connection it
	// includes the time until the first byte.
	Header time.Duration
	// Idle is how long a connection may be without a request.
	Idle time.Duration
	// Progress is how long a body or a response may go without any byte, and how long the
	// rest of the body of a rejected request may take. Once this time has passed, a body
	// must also have arrived at minRate. The handler enforces it: see NewResponse.
	Progress time.Duration
}

// DefaultTimeouts suit slow networks, and clients that scrape or push at least every two
// minutes.
var DefaultTimeouts = Timeouts{Header: 30 * time.Second, Idle: 5 * time.Minute, Progress: time.Minute}

// New returns a server of the handler that closes silent connections and logs to the
// logger: its own errors as such, and the mistakes of clients at debug.
func New(handler http.Handler, timeouts Timeouts, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: timeouts.Header,
		IdleTimeout:       timeouts.Idle,
		ErrorLog:          log.New(&errorLog{NewLimitedLogger(logger)}, "", 0),
	}
}
