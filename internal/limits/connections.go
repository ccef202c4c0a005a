package limits

import (
	"container/list"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/net/netutil"
)

// Connections bounds the connections of a server. When all are in use, it closes the
// one that has waited longest for a request, so that clients that hold connections do
// not keep others out. It is safe for concurrent use.
type Connections struct {
	max          int           // 0 for no limit
	writeTimeout time.Duration // 0 for no limit

	mu      sync.Mutex // guards all below
	open    int
	waiting *list.List // of net.Conn without a request, the one that waits longest first
	places  map[net.Conn]*list.Element
}

// NewConnections returns a bound of max connections. A connection is closed if its peer
// takes in nothing for writeTimeout while there is something to send. 0 is no limit.
func NewConnections(max int, writeTimeout time.Duration) *Connections {
	return &Connections{max: max, writeTimeout: writeTimeout, waiting: list.New(), places: map[net.Conn]*list.Element{}}
}

// Listener returns a listener whose connections are bounded. The server must call Track
// for each change of state, as http.Server.ConnState is called. All listeners of one
// server share the bound, though each stops to accept at it by itself.
func (c *Connections) Listener(l net.Listener) net.Listener {
	if c.max > 0 {
		l = netutil.LimitListener(l, c.max)
	}
	if c.writeTimeout > 0 {
		l = &progressListener{l, c.writeTimeout}
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

// progressListener bounds how long writes to its connections may make no progress.
type progressListener struct {
	net.Listener
	timeout time.Duration
}

func (l *progressListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &progressConn{conn, l.timeout}, nil
}

// progressConn is a connection whose writes fail if nothing is taken in for a while.
type progressConn struct {
	net.Conn
	timeout time.Duration
}

// writeStep is how much has to be taken in within the timeout.
const writeStep = 64 << 10

func (c *progressConn) Write(p []byte) (int, error) {
	written := 0
	for {
		if err := c.SetWriteDeadline(time.Now().Add(c.timeout)); err != nil {
			return written, err
		}
		step := p[written:min(len(p), written+writeStep)]
		n, err := c.Conn.Write(step)
		written += n
		if err != nil || written == len(p) {
			return written, err
		}
	}
}
