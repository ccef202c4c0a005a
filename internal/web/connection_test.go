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

	"pushgateway/internal/store"
)

// patience is how long a test waits for what must happen. It only decides how long a
// failing test takes.
const patience = 60 * time.Second

// shortTimeouts are for tests that wait until they are over.
var shortTimeouts = Timeouts{Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Progress: 300 * time.Millisecond}

// serve serves a gateway over loopback and returns its address.
func serve(t *testing.T, timeouts Timeouts, change func(*Config)) (s *Server, address string) {
	t.Helper()
	s, _ = newTestServer(t, func(c *Config) {
		c.Progress = timeouts.Progress
		c.Logger = slog.New(slog.DiscardHandler)
		if change != nil {
			change(c)
		}
	})
	server := httptest.NewUnstartedServer(nil)
	server.Config = NewHTTPServer(s, timeouts, slog.New(slog.DiscardHandler))
	server.Start()
	t.Cleanup(server.Close)
	return s, server.Listener.Addr().String()
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

// TestSilentConnections: a connection is closed if it is silent, whatever it was about to
// do.
func TestSilentConnections(t *testing.T) {
	_, address := serve(t, shortTimeouts, nil)
	for _, c := range []struct{ name, sent, want string }{
		{"nothing sent", "", ""},
		{"half a header", "GET /metrics HTTP/1.1\r\nHo", ""},
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
			if got := receiveAll(t, conn); !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "200") {
				t.Errorf("received %q, want %q", got, c.want)
			}
		})
	}
}

// TestTricklingBody: a body that goes on arriving, but far too slowly, is given up.
func TestTricklingBody(t *testing.T) {
	_, address := serve(t, shortTimeouts, nil)
	conn := dial(t, address)
	send(t, conn, pushHead+"Content-Length: 100000\r\n\r\n")
	ended := make(chan string)
	go func() {
		all, _ := io.ReadAll(conn)
		ended <- string(all)
	}()
	for range int(patience / (20 * time.Millisecond)) {
		select {
		case got := <-ended:
			if !strings.Contains(got, "408 Request Timeout") {
				t.Errorf("received %q", got)
			}
			return
		case <-time.After(20 * time.Millisecond):
			_, _ = io.WriteString(conn, "\n") // fails once the server has closed the connection
		}
	}
	t.Error("the body is still being read")
}

// TestSlowUpload: a body may take longer than any timeout while it goes on arriving.
func TestSlowUpload(t *testing.T) {
	_, address := serve(t, shortTimeouts, nil)
	conn := dial(t, address)
	line := strings.Repeat(" ", 500) + "\n"
	const lines = 30
	send(t, conn, fmt.Sprintf("%sConnection: close\r\nContent-Length: %d\r\n\r\n", pushHead, lines*len(line)))
	for range lines {
		time.Sleep(shortTimeouts.Progress / 10)
		send(t, conn, line)
	}
	if got := receiveAll(t, conn); !strings.Contains(got, "200 OK") {
		t.Errorf("received %q", got)
	}
}

// TestUnreadResponse: a response that the client does not read is given up, and one that it
// reads slowly is not.
func TestUnreadResponse(t *testing.T) {
	s, address := serve(t, shortTimeouts, nil)
	var many strings.Builder
	for i := range 300_000 {
		fmt.Fprintf(&many, "m{i=\"%d\",filler=\"%s\"} 1\n", i, strings.Repeat("x", 50))
	}
	if w := do(s, "PUT", "/metrics/job/a", many.String()); w.Code != 200 {
		t.Fatal(w.Code, w.Body)
	}
	total := do(s, "GET", "/metrics", "").Body.Len()
	scrape := func(t *testing.T) net.Conn {
		conn := dial(t, address)
		if err := conn.(*net.TCPConn).SetReadBuffer(32 << 10); err != nil {
			t.Fatal(err)
		}
		send(t, conn, "GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
		return conn
	}
	t.Run("unread", func(t *testing.T) {
		conn := scrape(t)
		time.Sleep(4 * shortTimeouts.Progress)
		if got := receiveAll(t, conn); len(got) >= total {
			t.Errorf("received all %d bytes", len(got))
		}
	})
	t.Run("slow", func(t *testing.T) {
		conn := scrape(t)
		received, piece := 0, make([]byte, total/40)
		for {
			time.Sleep(shortTimeouts.Progress / 8)
			n, err := io.ReadFull(conn, piece)
			received += n
			if err != nil {
				break
			}
		}
		if received < total/2 {
			t.Errorf("received %d of about %d bytes", received, total)
		}
	})
}

// slowJournal is a journal that takes long to commit.
type slowJournal struct {
	store.Memory
	delay time.Duration
}

func (j slowJournal) Commit(store.Changes) error {
	time.Sleep(j.delay)
	return nil
}

// TestSlowCommit: the timeouts are for silent clients, not for a slow disk; and a deadline
// of one request is none for the next on the same connection.
func TestSlowCommit(t *testing.T) {
	_, address := serve(t, Timeouts{Header: patience, Idle: patience, Progress: 100 * time.Millisecond}, func(c *Config) {
		c.Store = withJournal(t, slowJournal{delay: 400 * time.Millisecond})
	})
	conn := dial(t, address)
	reader := bufio.NewReader(conn)
	for _, request := range []string{
		pushHead + "Content-Length: 4\r\n\r\nm 1\n",
		"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
		pushHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nm 2\n\r\n0\r\n\r\n",
		"DELETE /metrics/job/a HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		send(t, conn, request)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatalf("%.20q: %v", request, err)
		}
		if _, err := io.Copy(io.Discard, response.Body); err != nil || response.StatusCode/100 != 2 {
			t.Fatalf("%.20q: %s, %v", request, response.Status, err)
		}
		time.Sleep(300 * time.Millisecond) // until deadlines of this request are over
	}
}

// TestRejectionReachesClient: a client that sends a large body before it reads anything gets
// the whole response, and can go on with the same connection.
func TestRejectionReachesClient(t *testing.T) {
	_, address := serve(t, DefaultTimeouts, nil)
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

// TestExpectContinue: a client that waits before it sends its body is rejected without it.
func TestExpectContinue(t *testing.T) {
	_, address := serve(t, DefaultTimeouts, nil)
	conn := dial(t, address)
	send(t, conn, "PUT /metrics/jobs/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
	if got := receiveAll(t, conn); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("received %q", got)
	}
	conn = dial(t, address)
	send(t, conn, pushHead+"Connection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("received %q, %v", line, err)
	}
	send(t, conn, "m 1\n")
	if rest, err := io.ReadAll(reader); err != nil || !strings.Contains(string(rest), "200 OK") {
		t.Errorf("received %q, %v", rest, err)
	}
}
