package httpserver

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/conntest"
)

// serve serves a handler.
func serve(t *testing.T, l *conntest.Listener, timeouts Timeouts, handle func(*Response, *http.Request)) {
	t.Helper()
	conntest.Serve(t, New(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		w, r := NewResponse(writer, request, timeouts.Progress)
		handle(w, r)
		w.Finish()
	}), timeouts, slog.New(slog.DiscardHandler)), l)
}

// dial serves a handler in memory, with the usual timeouts, and returns a connection to it. The
// test runs in a bubble of synctest, where time passes only while all wait for it.
func dial(t *testing.T, handle func(*Response, *http.Request)) *conntest.Conn {
	t.Helper()
	l := conntest.InMemory()
	serve(t, l, DefaultTimeouts, handle)
	return l.Dial(t)
}

// accept reads the body of a request, and rejects the request if it cannot.
func accept(w *Response, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		reject(w, r)
	}
}

// reject rejects a request, as package web does.
func reject(w *Response, _ *http.Request) {
	w.DrainBody()
	if w.BodyTimedOut() {
		http.Error(w, "timed out", http.StatusRequestTimeout)
		return
	}
	http.Error(w, "rejected", http.StatusNotFound)
}

// acceptJobs accepts pushes to /metrics/job/ only.
func acceptJobs(w *Response, r *http.Request) {
	if r.Method == http.MethodPut && !strings.HasPrefix(r.URL.Path, "/metrics/job/") {
		reject(w, r)
		return
	}
	accept(w, r)
}

const pushHead = "PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\n"

// TestSilentConnections: a connection is closed if it is silent, whatever it was about to
// do.
func TestSilentConnections(t *testing.T) {
	for _, c := range []struct {
		name, sent, want string
		after            time.Duration
	}{
		{"nothing sent", "", "", DefaultTimeouts.Header},
		{"half a header", "GET /metrics HTTP/1.1\r\nHo", "", DefaultTimeouts.Header},
		{"idle after a request", "GET /-/healthy HTTP/1.1\r\nHost: x\r\n\r\n", "200 OK", DefaultTimeouts.Idle},
		{"no body", pushHead + "Content-Length: 10\r\n\r\n", "408 Request Timeout", DefaultTimeouts.Progress},
		{"half a body", pushHead + "Content-Length: 10\r\n\r\nm 1", "408 Request Timeout", DefaultTimeouts.Progress},
		{"half a chunked body", pushHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nm 1\n\r\n", "408 Request Timeout",
			DefaultTimeouts.Progress},
		{"half the body of a rejected push", "PUT /metrics/jobs/a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nm 1",
			"408 Request Timeout", DefaultTimeouts.Progress},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				conn := dial(t, acceptJobs)
				began := time.Now()
				conn.Send(c.sent)
				if got := conn.Rest(); !strings.Contains(got, c.want) || c.want == "" && strings.Contains(got, "200") {
					t.Errorf("received %q, want %q", got, c.want)
				}
				if took := time.Since(began); took != c.after {
					t.Errorf("closed after %v, want %v", took, c.after)
				}
			})
		})
	}
}

// TestTricklingBody: a body that goes on arriving, but far too slowly, is given up.
func TestTricklingBody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, acceptJobs)
		conn.Send(pushHead + "Content-Length: 100000\r\n\r\n")
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			for err := error(nil); err == nil; {
				time.Sleep(DefaultTimeouts.Progress / 16)
				_, err = io.WriteString(conn, "\n")
			}
		}()
		if got := conn.Rest(); !strings.Contains(got, "408 Request Timeout") {
			t.Errorf("received %q", got)
		}
		<-closed
	})
}

// TestSlowUpload: a body may take longer than any timeout while it goes on arriving.
func TestSlowUpload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, acceptJobs)
		line := strings.Repeat(" ", 20_000) + "\n"
		const lines = 30
		conn.Send(fmt.Sprintf("%sConnection: close\r\nContent-Length: %d\r\n\r\n", pushHead, lines*len(line)))
		for range lines {
			time.Sleep(DefaultTimeouts.Progress * 3 / 4)
			conn.Send(line)
		}
		if got := conn.Rest(); !strings.Contains(got, "200 OK") {
			t.Errorf("received %q", got)
		}
	})
}

// TestUnreadResponse: a response that the client does not read is given up, and one that it
// reads slowly is not.
func TestUnreadResponse(t *testing.T) {
	const total = 24 << 20
	scrape := func(t *testing.T) *conntest.Conn {
		conn := dial(t, func(w *Response, _ *http.Request) {
			_, _ = w.Write(make([]byte, total)) // fails if the client does not read it
		})
		conn.Send("GET /metrics HTTP/1.0\r\nHost: x\r\n\r\n")
		return conn
	}
	t.Run("unread", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := scrape(t)
			time.Sleep(2 * DefaultTimeouts.Progress)
			if got := conn.Rest(); len(got) >= total {
				t.Errorf("received all %d bytes", len(got))
			}
		})
	})
	t.Run("slow", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			conn := scrape(t)
			received := 0
			for piece, err := make([]byte, maxWrite), error(nil); err == nil; {
				time.Sleep(DefaultTimeouts.Progress * 3 / 8) // what is written at once may take two reads
				var n int
				n, err = io.ReadFull(conn, piece)
				received += n
			}
			if received < total {
				t.Errorf("received %d of %d bytes", received, total)
			}
		})
	})
}

// TestSlowHandler: the timeouts are for silent clients, not for a slow handler; and a deadline
// of one request is none for the next on the same connection.
func TestSlowHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		conn := dial(t, func(w *Response, r *http.Request) {
			accept(w, r)
			if r.Method != http.MethodGet {
				time.Sleep(time.Hour)
			}
		})
		for _, request := range []string{
			pushHead + "Content-Length: 4\r\n\r\nm 1\n",
			"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
			pushHead + "Transfer-Encoding: chunked\r\n\r\n4\r\nm 2\n\r\n0\r\n\r\n",
			"DELETE /metrics/job/a HTTP/1.1\r\nHost: x\r\n\r\n",
		} {
			conn.Send(request)
			if response, _ := conn.Response(); response.StatusCode/100 != 2 {
				t.Fatalf("%.20q: %s", request, response.Status)
			}
			time.Sleep(2 * DefaultTimeouts.Progress) // until deadlines of this request are over
		}
	})
}

// TestRejectionReachesClient: a client that sends a large body before it reads anything gets
// the whole response, and can go on with the same connection.
func TestRejectionReachesClient(t *testing.T) {
	l := conntest.Loopback(t)
	serve(t, l, DefaultTimeouts, reject)
	body := strings.Repeat("m 1 # not a metric\n", 500_000)
	conn := l.Dial(t)
	for range 2 {
		conn.Send(fmt.Sprintf("%sContent-Length: %d\r\n\r\n", pushHead, len(body)))
		conn.Send(body)
		if response, text := conn.Response(); response.StatusCode != 404 || !strings.Contains(text, "rejected") {
			t.Errorf("%s: %s", response.Status, text)
		}
	}
}

// TestExpectContinue: a client that waits before it sends its body is rejected without it.
func TestExpectContinue(t *testing.T) {
	l := conntest.Loopback(t)
	serve(t, l, DefaultTimeouts, acceptJobs)
	conn := l.Dial(t)
	conn.Send("PUT /metrics/jobs/a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10000000\r\n\r\n")
	if got := conn.Rest(); !strings.HasPrefix(got, "HTTP/1.1 404") {
		t.Errorf("received %q", got)
	}
	conn = l.Dial(t)
	conn.Send(pushHead + "Connection: close\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
	if response, _ := conn.Response(); response.StatusCode != http.StatusContinue {
		t.Fatalf("%s", response.Status)
	}
	conn.Send("m 1\n")
	if rest := conn.Rest(); !strings.Contains(rest, "200 OK") {
		t.Errorf("received %q", rest)
	}
}
