package limits

import (
	"container/list"
	"net"
	"net/http"
	"sync"

	"golang.org/x/net/netutil"
)

// Connections bounds the connections of a server. When all are in use, it closes the
// one that has waited longest for a request, so that clients that hold connections do
// not keep others out. It is safe for concurrent use.
type Connections struct {
	max int // 0 for no limit

	mu      sync.Mutex // guards all below
	open    int
	waiting *list.List // of net.Conn without a request, the one that waits longest first
	places  map[net.Conn]*list.Element
}

// NewConnections returns a bound of max connections; 0 is no bound.
func NewConnections(max int) *Connections {
	return &Connections{max: max, waiting: list.New(), places: map[net.Conn]*list.Element{}}
}

// Listener returns a listener whose connections are bounded. The server must call Track
// for each change of state of a connection, as http.Server.ConnState does.
func (c *Connections) Listener(l net.Listener) net.Listener {
	if c.max > 0 {
		l = netutil.LimitListener(l, c.max)
	}
	return l
}

// Track takes note of a connection's state.
func (c *Connections) Track(conn net.Conn, state http.ConnState) {
	if c.max <= 0 {
		return
	}
	if oldest := c.track(conn, state); oldest != nil {
		_ = oldest.Close() // which its own goroutine notices
	}
}

// track returns the connection to close, if there is one.
func (c *Connections) track(conn net.Conn, state http.ConnState) net.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	if place := c.places[conn]; place != nil {
		c.waiting.Remove(place)
		delete(c.places, conn)
	}
	switch state {
	case http.StateClosed, http.StateHijacked:
		c.open--
		return nil
	case http.StateActive:
		return nil
	case http.StateNew:
		c.open++
	}
	c.places[conn] = c.waiting.PushBack(conn)
	if c.open < c.max {
		return nil
	}
	oldest := c.waiting.Front()
	if oldest.Value == conn {
		return nil // all others are at work
	}
	// It is not counted as closed before the server says so, but must not be
	// chosen twice.
	c.waiting.Remove(oldest)
	delete(c.places, oldest.Value.(net.Conn))
	return oldest.Value.(net.Conn)
}
