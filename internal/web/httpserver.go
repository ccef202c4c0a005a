package web

import (
	"context"
	"log"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"time"
)

// NewHTTPServer returns a server of the handler that closes silent connections and logs to
// the logger: its own errors as such, and the mistakes of clients at debug.
func NewHTTPServer(handler http.Handler, timeouts Timeouts, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: timeouts.Header,
		IdleTimeout:       timeouts.Idle,
		ErrorLog:          log.New(&errorLog{limitedLogger{logger: logger}}, "", 0),
	}
}

// errorLog is the writer of the lines that net/http logs.
type errorLog struct{ limited limitedLogger }

// clientMistakes are the beginnings of lines about what clients do wrong.
var clientMistakes = []string{"http: TLS handshake error", "http: URL query contains semicolon", "http2: "}

func (l *errorLog) Write(line []byte) (int, error) {
	text := strings.TrimSpace(string(line))
	for _, start := range clientMistakes {
		if strings.HasPrefix(text, start) {
			l.limited.logger.Debug("HTTP server", "err", text)
			return len(line), nil
		}
	}
	level := slog.LevelWarn
	if strings.HasPrefix(text, "http: Accept error") || strings.HasPrefix(text, "http: panic") {
		level = slog.LevelError
	}
	l.limited.log(level, "HTTP server", "err", text)
	return len(line), nil
}

// minLogInterval is the minimum time between two lines of a limitedLogger.
const minLogInterval = 10 * time.Second

// limitedLogger logs what may happen many times per second. It is safe for concurrent use.
type limitedLogger struct {
	logger *slog.Logger

	mu         sync.Mutex // guards all below
	last       time.Time  // when a line was logged
	suppressed int        // lines since then
}

// log logs a line, unless another one was logged just before. The next line says how many
// were left out.
func (l *limitedLogger) log(level slog.Level, message string, attributes ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if now := time.Now(); now.Sub(l.last) >= minLogInterval {
		if l.suppressed > 0 {
			attributes = append(attributes, "suppressed", l.suppressed)
		}
		l.last, l.suppressed = now, 0
		l.logger.Log(context.Background(), level, message, attributes...)
		return
	}
	l.suppressed++
}
