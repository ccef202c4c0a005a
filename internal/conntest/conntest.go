// Package conntest is for tests of HTTP servers: connections over loopback or in memory, on
// which a test sends and receives what it wants, and servers that are kept busy.
package conntest

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"
)

// patience bounds the use of a connection over loopback. It only decides how long a failing test takes.
const patience = 60 * time.Second

// Listener accepts the connections that a test makes with Dial.
type Listener struct {
	net.Listener
	dial func() (net.Conn, error)
}

// Loopback returns a listener on a free port. Its address is that of the listener.
func Loopback(t testing.TB) *Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return &Listener{l, func() (net.Conn, error) {
		c, err := net.Dial("tcp", l.Addr().String())
		if err == nil {
			err = c.SetDeadline(time.Now().Add(patience))
		}
		return c, err
	}}
}

// InMemory returns a listener whose connections have no buffers. In a bubble of synctest, they
// take no time but that of its clock.
func InMemory() *Listener {
	l := &pipes{accepted: make(chan net.Conn), closed: make(chan struct{})}
	return &Listener{l, l.dial}
}

// Serve has a server accept connections until the test ends. The listener may be one around l.
func Serve(t testing.TB, server *http.Server, l net.Listener) {
	t.Helper()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
}

// DialContext connects as net.Dialer does, whatever the address.
func (l *Listener) DialContext(context.Context, string, string) (net.Conn, error) { return l.dial() }

// Dial returns a connection, which is closed when the test ends.
func (l *Listener) Dial(t testing.TB) *Conn {
	t.Helper()
	c, err := l.dial()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() }) // the test or the server may have closed it
	return &Conn{c, bufio.NewReader(c), t}
}

// Conn is a connection to a server. What fails on it fails the test. One goroutine at a time may
// send, and one may receive.
type Conn struct {
	net.Conn
	reader *bufio.Reader
	t      testing.TB
}

// Send sends a text.
func (c *Conn) Send(text string) {
	c.t.Helper()
	if _, err := io.WriteString(c.Conn, text); err != nil {
		c.t.Fatal(err)
	}
}

// Response receives a response with its body.
func (c *Conn) Response() (r *http.Response, body string) {
	c.t.Helper()
	r, err := http.ReadResponse(c.reader, nil)
	if err != nil {
		c.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err != nil {
		c.t.Fatalf("%s: %v", r.Status, err)
	}
	return r, string(text)
}

// Rest receives what the server sends until it closes the connection.
func (c *Conn) Rest() string {
	c.t.Helper()
	all, err := io.ReadAll(c.reader)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		c.t.Fatalf("the connection is not closed; received %.200q", all)
	}
	return string(all)
}

// pipes is a listener in memory.
type pipes struct {
	accepted chan net.Conn
	closed   chan struct{}
	once     sync.Once // closes closed
}

func (l *pipes) dial() (net.Conn, error) {
	client, server := net.Pipe()
	select {
	case l.accepted <- server:
		return client, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepted:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipes) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "memory", Net: "pipe"} }
