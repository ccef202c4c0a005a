package httpserver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestErrorLog: errors of the server are logged at warn or error, and the mistakes of
// clients at debug.
func TestErrorLog(t *testing.T) {
	for _, c := range []struct{ line, level string }{
		{"http: Accept error: accept tcp 127.0.0.1:9091: accept4: too many open files; retrying in 5ms", "ERROR"},
		{"http: panic serving 127.0.0.1:1: boom", "ERROR"},
		{"http: superfluous response.WriteHeader call from main", "WARN"},
		{"http: TLS handshake error from 127.0.0.1:1: EOF", "DEBUG"},
		{"http2: server: error reading preface from client 127.0.0.1:1: EOF", "DEBUG"},
		{"http: URL query contains semicolon, which is no longer a supported separator", "DEBUG"},
	} {
		t.Run(c.line, func(t *testing.T) {
			var log bytes.Buffer
			logger := slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			New(nil, DefaultTimeouts, logger).ErrorLog.Print(c.line)
			if !strings.Contains(log.String(), "level="+c.level+" ") || !strings.Contains(log.String(), c.line) {
				t.Errorf("logged %q", log.String())
			}
		})
	}
}

// TestLimitedLog logs many errors in a row as one line, and then how many there were.
func TestLimitedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		errorLog := New(nil, DefaultTimeouts, slog.New(slog.NewTextHandler(&log, nil))).ErrorLog
		for range 1000 {
			errorLog.Print("http: Accept error: too many open files")
		}
		if n := strings.Count(log.String(), "\n"); n != 1 {
			t.Errorf("%d lines:\n%s", n, &log)
		}
		time.Sleep(minLogInterval)
		errorLog.Print("http: Accept error: too many open files")
		if !strings.Contains(log.String(), "suppressed=999") {
			t.Errorf("logged %s", &log)
		}
	})
}
