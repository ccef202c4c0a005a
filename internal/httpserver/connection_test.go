package httpserver

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
)

// patience is how long a test waits for what must happen. It only decides how long a
// failing test takes.
const patience = 60 * time.Second

// shortTimeouts are for tests that wait until they are over.
var shortTimeouts = Timeouts{Header: 300 * time.Millisecond, Idle: 300 * time.Millisecond, Progress: 300 * time.Millisecond}

// serve serves a handler over loopback and returns its address.
func serve(t *testing.T, timeouts Timeouts, handle func(*Response, *http.Request)) (address string) {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config = New(http.HandlerFunc(func(writer http.ResponseWriter, request *http.Request) {
		w, r := NewResponse(writer, request, timeouts.Progress)
		handle(w, r)
		w.Finish()
	}), timeouts, slog.New(slog.DiscardHandler))
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
	address := serve(t, shortTimeouts, acceptJobs)
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
	address := serve(t, shortTimeouts, acceptJobs)
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
	address := serve(t, shortTimeouts, acceptJobs)
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
	const total = 24 << 20
	address := serve(t, shortTimeouts, func(w *Response, _ *http.Request) {
		_, _ = w.Write(make([]byte, total)) // fails if the client does not read it
	})
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

// TestSlowHandler: the timeouts are for silent clients, not for a slow handler; and a deadline
// of one request is none for the next on the same connection.
func TestSlowHandler(t *testing.T) {
	timeouts := Timeouts{Header: patience, Idle: patience, Progress: 100 * time.Millisecond}
	address := serve(t, timeouts, func(w *Response, r *http.Request) {
		accept(w, r)
		if r.Method != http.MethodGet {
			time.Sleep(400 * time.Millisecond) // longer than any timeout
		}
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
	address := serve(t, DefaultTimeouts, reject)
	body := strings.Repeat("m 1 # not a metric\n", 500_000)
	conn := dial(t, address)
	reader := bufio.NewReader(conn)
	for range 2 {
		send(t, conn, fmt.Sprintf("%sContent-Length: %d\r\n\r\n", pushHead, len(body)))
		send(t, conn, body)
		response, err := http.ReadResponse(reader, nil)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		if err != nil || response.StatusCode != 404 || !strings.Contains(string(text), "rejected") {
			t.Errorf("%s: %s, %v", response.Status, text, err)
		}
	}
}

// TestExpectContinue: a client that waits before it sends its body is rejected without it.
func TestExpectContinue(t *testing.T) {
	address := serve(t, DefaultTimeouts, acceptJobs)
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
