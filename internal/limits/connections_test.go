package limits

import (
	"errors"
	"net/http"
	"os"
	"testing"

	"pushgateway/internal/conntest"
)

// serveBounded starts a server with bounded connections.
func serveBounded(t *testing.T, c *Connections, h http.HandlerFunc) *conntest.Listener {
	t.Helper()
	l := conntest.Loopback(t)
	conntest.Serve(t, &http.Server{Handler: h, ConnState: c.Track}, c.Listener(l))
	return l
}

// get sends a request on the connection and returns the status line of the answer.
func get(conn *conntest.Conn) string {
	conn.Send("GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	r, _ := conn.Response()
	return r.Status
}

func TestHeldConnectionsDoNotKeepOthersOut(t *testing.T) {
	for _, begin := range []string{"", "GET / HT"} {
		t.Run("after "+begin, func(t *testing.T) {
			server := serveBounded(t, NewConnections(4), func(http.ResponseWriter, *http.Request) {})
			var held []*conntest.Conn
			for range 20 {
				conn := server.Dial(t)
				conn.Send(begin)
				held = append(held, conn)
			}
			for range 3 {
				if status := get(server.Dial(t)); status != "200 OK" {
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
	server := serveBounded(t, NewConnections(2), func(http.ResponseWriter, *http.Request) {
		started <- struct{}{}
		<-release
	})
	statuses := make(chan string)
	for range 2 {
		conn := server.Dial(t)
		go func() { statuses <- get(conn) }()
		<-started
	}
	later := server.Dial(t)
	go func() { statuses <- get(later) }()
	close(release)
	for range 3 {
		if status := <-statuses; status != "200 OK" {
			t.Error(status)
		}
	}
}
