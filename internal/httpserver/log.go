package httpserver

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"
)

// errorLog is the writer of the lines that net/http logs.
type errorLog struct{ limited *LimitedLogger }

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
	l.limited.Log(level, "HTTP server", "err", text)
	return len(line), nil
}

// minLogInterval is the minimum time between two lines of a LimitedLogger.
const minLogInterval = 10 * time.Second

// LimitedLogger logs what may happen many times per second, and writes a line every 10
// seconds at most. It is safe for concurrent use.
type LimitedLogger struct {
	logger *slog.Logger

	mu         sync.Mutex // guards all below
	last       time.Time  // when a line was logged
	suppressed int        // lines since then
}

// NewLimitedLogger returns a logger that writes to another one.
func NewLimitedLogger(logger *slog.Logger) *LimitedLogger { return &LimitedLogger{logger: logger} }

// Log logs a line, unless another one was logged just before. The next line says how many
// were left out.
func (l *LimitedLogger) Log(level slog.Level, message string, attributes ...any) {
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
