package limits

import (
	"bufio"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"testing"
	"time"
)

// patience bounds every wait. It only decides how long a failing test takes.
const patience = 60 * time.Second

// serveBounded starts a server with bounded connections.
func serveBounded(t *testing.T, c *Connections, h http.HandlerFunc) (address string) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Listener = c.Listener(s.Listener)
	s.Config.ConnState = c.Track
	s.Start()
	t.Cleanup(s.Close)
	return s.Listener.Addr().String()
}

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

// get sends a request on the connection and returns the status line of the answer.
func get(t *testing.T, conn net.Conn) string {
	t.Helper()
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	r, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatal(err)
	}
	return r.Status
}

func TestHeldConnectionsDoNotKeepOthersOut(t *testing.T) {
	for _, begin := range []string{"", "GET / HT"} {
		t.Run("after "+begin, func(t *testing.T) {
			address := serveBounded(t, NewConnections(4), func(http.ResponseWriter, *http.Request) {})
			var held []net.Conn
			for range 20 {
				conn := dial(t, address)
				if _, err := io.WriteString(conn, begin); err != nil {
					t.Fatal(err)
				}
				held = append(held, conn)
			}
			for range 3 {
				if status := get(t, dial(t, address)); status != "200 OK" {
					t.Errorf("a client that comes later: %s", status)
				}
			}
			if _, err := held[0].Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("the connection that waited longest is still open: %v", err)
			}
		})
	}
}

func TestConnectionsAtWorkAreLeftAlone(t *testing.T) {
	release := make(chan struct{})
	started := make(chan struct{}, 2)
	address := serveBounded(t, NewConnections(2), func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-release
	})
	statuses := make(chan string)
	for range 2 {
		conn := dial(t, address)
		go func() { statuses <- get(t, conn) }()
		<-started
	}
	later := dial(t, address)
	go func() { statuses <- get(t, later) }()
	close(release)
	for range 3 {
		if status := <-statuses; status != "200 OK" {
			t.Error(status)
		}
	}
}
