package web

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/httpserver"
)

// patience is how long a test waits for what must happen. It only decides how long a
// failing test takes.
const patience = 60 * time.Second

// shortTimeouts are for tests that wait until they are over.
var shortTimeouts = httpserver.Timeouts{
	Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Progress: 300 * time.Millisecond,
}

// serve serves a gateway over loopback and returns its address.
func serve(t *testing.T, timeouts httpserver.Timeouts) (address string) {
	t.Helper()
	s, _ := newTestServer(t, func(c *Config) {
		c.Progress = timeouts.Progress
		c.Logger = slog.New(slog.DiscardHandler)
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = httpserver.New(s, timeouts, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// dial connects to the address. What the test sends and receives is bounded by patience.
func dial(t *testing.T, address string) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func send(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
}

// receiveAll returns what the server sends until it closes the connection.
func receiveAll(t *testing.T, conn net.Conn) string {
	t.Helper()
	all, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the connection is not closed; received %.200q", all)
	}
	return string(all)
}

const pushHead = "PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\n"

// TestBodyTimesOut: a request whose body stops arriving is answered with 408.
func TestBodyTimesOut(t *testing.T) {
	address := serve(t, shortTimeouts)
	for _, c := range []struct{ name, sent, want string }{
		{"idle after a request", "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK"},
		{"no body", pushHead + "Content-Length: 10\r\n\r\n", "408 Request Timeout"},
		{"half a body", pushHead + "Content-Length: 10\r\n\r\nm 1", "408 Request Timeout"},
		{"half a chunked body", pushHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nm 1\n\r\n", "408 Request Timeout"},
		{"half the body of a rejected push", "PUT /metrics/jobs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nm 1", "408 Request Timeout"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			conn := dial(t, address)
			send(t, conn, c.sent)
			if got := receiveAll(t, conn); !strings.Contains(got, c.want) {
				t.Errorf("received %q, want %q", got, c.want)
			}
		})
	}
}

// TestRejectionReachesClient: a client that sends a large body before it reads anything gets
// the whole response, and can go on with the same connection.
func TestRejectionReachesClient(t *testing.T) {
	address := serve(t, httpserver.DefaultTimeouts)
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
			conn := dial(t, address)
			reader := bufio.NewReader(conn)
			send(t, conn, fmt.Sprintf("%sHost: x\r\nContent-Length: %d\r\n\r\n", c.head, len(body)))
			send(t, conn, body)
			for _, want := range []string{c.want, "200 OK"} {
				response, err := http.ReadResponse(reader, nil)
				if err != nil {
					t.Fatal(err)
				}
				text, err := io.ReadAll(response.Body)
				if err != nil || !strings.HasPrefix(response.Status, want) {
					t.Errorf("%s, want %s: %s, %v", response.Status, want, text, err)
				}
				send(t, conn, "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n")
			}
		})
	}
}
