package web

import (
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"

	"pushgateway/internal/conntest"
	"pushgateway/internal/httpserver"
)

// serve serves a gateway with the usual timeouts.
func serve(t *testing.T, l *conntest.Listener) {
	t.Helper()
	timeouts := httpserver.DefaultTimeouts
	s, _ := newTestServer(t, func(c *Config) {
		c.Progress = timeouts.Progress
		c.Logger = slog.New(slog.DiscardHandler)
	})
	conntest.Serve(t, httpserver.New(s, timeouts, slog.New(slog.DiscardHandler)), l)
}

const pushHead = "PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\n"

// TestBodyTimesOut: a request whose body stops arriving is answered with 408.
func TestBodyTimesOut(t *testing.T) {
	for _, c := range []struct{ name, sent, want string }{
		{"idle after a request", "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"},
		{"no body", pushHead + "Content-Length: 10\r\n\r\n", "408 Request Timeout"},
		{"half a body", pushHead + "Content-Length: 10\r\n\r\nm 1", "408 Request Timeout"},
		{"half a chunked body", pushHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nm 1\n\r\n", "408 Request Timeout"},
		{"half the body of a rejected push", "PUT /metrics/jobs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nm 1", "408 Request Timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := conntest.InMemory()
				serve(t, l)
				conn := l.Dial(t)
				conn.Send(c.sent)
				if got := conn.Rest(); !strings.Contains(got, c.want) {
					t.Errorf("received %q, want %q", got, c.want)
				}
			})
		})
	}
}

// TestRejectionReachesClient: a client that sends a large body before it reads anything gets
// the whole response, and can go on with the same connection.
func TestRejectionReachesClient(t *testing.T) {
	l := conntest.Loopback(t)
	serve(t, l)
	body := strings.Repeat("m 1 # not a metric\n", 500_000)
	for _, c := range []struct{ name, head, want string }{
		{"no such path", "PUT /metrics/jobs/a HTTP/1.1\r\n", "404 Not Found"},
		{"bad path", "PUT /metrics/job/a/l HTTP/1.1\r\n", "400 Bad Request"},
		{"bad option", "PUT /metrics/job/a?ttl=soon HTTP/1.1\r\n", "400 Bad Request"},
		{"bad option of a bulk push", "POST /api/v1/push?ttl=soon HTTP/1.1\r\n", "400 Bad Request"},
		{"method not allowed", "POST /metrics HTTP/1.1\r\n", "405 Method Not Allowed"},
		{"remote write", "POST /metrics/job/a HTTP/1.1\r\nContent-Type: application/x-protobuf\r\nContent-Encoding: snappy\r\n",
			"415 Unsupported"},
		{"other site", "POST /metrics/job/a HTTP/1.1\r\nSec-Fetch-Site: cross-site\r\n", "403 Forbidden"},
		{"not gzip", "POST /metrics/job/a HTTP/1.1\r\nContent-Encoding: gzip\r\n", "400 Bad Request"},
		{"URL too long", "PUT /metrics/job/" + strings.Repeat("a", maxURL) + " HTTP/1.1\r\n", "414 Request URI Too Long"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := l.Dial(t)
			conn.Send(fmt.Sprintf("%sHost: x\r\nContent-Length: %d\r\n\r\n", c.head, len(body)))
			conn.Send(body)
			for _, want := range []string{c.want, "200 OK"} {
				response, text := conn.Response()
				if !strings.HasPrefix(response.Status, want) {
					t.Errorf("%s, want %s: %s", response.Status, want, text)
				}
				conn.Send("GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
			}
		})
	}
}
