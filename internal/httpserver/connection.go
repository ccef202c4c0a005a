package httpserver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync/atomic"
	"time"
)

const (
	// minRate is the minimum average rate of a body in bytes per second.
	minRate = 256
	// maxWrite is the maximum number of bytes that are written at once, so that a client
	// that reads at least that much within Timeouts.Progress gets a response of any size.
	maxWrite = 64 << 10
	// maxDrain is how much is read of the body of a rejected request, in bytes.
	maxDrain = 256 << 20
)

// exchange is the connection of a request, whose deadlines move as long as bytes flow.
type exchange struct {
	controller *http.ResponseController
	timeout    time.Duration // 0 for none
	readSet    time.Time     // when the read deadline was last set; zero if there is none
	writeSet   time.Time     // likewise
}

// extendRead moves the read deadline. Setting a deadline costs about as much as reading the
// clock, so it is not done for each of many reads in a row.
func (e *exchange) extendRead() {
	if now := time.Now(); e.timeout > 0 && now.Sub(e.readSet) > e.timeout/8 {
		e.readSet = now
		// Not all servers and not all tests have deadlines.
		_ = e.controller.SetReadDeadline(now.Add(e.timeout))
	}
}

// endRead removes the read deadline: net/http goes on reading, to notice when the client
// closes the connection.
func (e *exchange) endRead() {
	if !e.readSet.IsZero() {
		e.readSet = time.Time{}
		_ = e.controller.SetReadDeadline(time.Time{})
	}
}

// extendWrite moves the write deadline.
func (e *exchange) extendWrite() {
	if now := time.Now(); e.timeout > 0 && now.Sub(e.writeSet) > e.timeout/8 {
		e.writeSet = now
		_ = e.controller.SetWriteDeadline(now.Add(e.timeout))
	}
}

// body is the body of a request.
type body struct {
	io.ReadCloser
	exchange *exchange
	started  time.Time // of the first read; zero before it
	size     int64     // of what has been read
	err      error     // of the last read: io.EOF at the end of the body

	interrupted atomic.Bool
}

func (b *body) Read(p []byte) (int, error) {
	if b.started.IsZero() {
		b.started = time.Now()
	}
	b.exchange.extendRead()
	var n int
	err := errInterrupted
	if !b.interrupted.Load() { // or the deadline was just extended
		n, err = b.ReadCloser.Read(p)
	}
	b.size += int64(n)
	if err != nil && b.interrupted.Load() {
		err = errInterrupted
	}
	if err == nil && b.tooSlow() {
		err = fmt.Errorf("the body arrives at less than %d bytes per second: %w", minRate, os.ErrDeadlineExceeded)
	}
	if b.err = err; err == io.EOF {
		b.exchange.endRead()
	}
	return n, err
}

// tooSlow reports whether the body has arrived at less than minRate.
func (b *body) tooSlow() bool {
	timeout := b.exchange.timeout
	return timeout > 0 && b.exchange.readSet.Sub(b.started) > timeout+time.Duration(b.size)*time.Second/minRate
}

// DrainBody reads what is left of the body of a request that has been answered without it, or
// is about to be. A client that sends a large body does not read the response before it has
// sent all of it, and would see nothing but a closed connection.
//
// It reads at most 256 MiB, for at most Timeouts.Progress. A client that waits for a
// 100-continue is sending nothing, so nothing is read. If some of the body is left, the
// connection is closed after the response.
func (w *Response) DrainBody() {
	b, r := w.body, w.request
	if b == nil || b.err == io.EOF || r.ProtoMajor > 1 {
		return
	}
	if b.started.IsZero() && r.Header.Get("Expect") != "" {
		return // the client waits for a response before it sends the body
	}
	started, timeout := time.Now(), w.exchange.timeout
	buffer := make([]byte, 32<<10)
	for left := int64(maxDrain); b.err == nil && left > 0 && (timeout == 0 || time.Since(started) < timeout); {
		n, _ := b.Read(buffer)
		left -= int64(n)
	}
	if b.err != io.EOF {
		w.Header().Set("Connection", "close")
	}
}

// Response writes a response, and knows what of it has been sent and how the body of the
// request arrives. Only one goroutine at a time may use it, but for InterruptBody.
type Response struct {
	http.ResponseWriter
	request  *http.Request
	exchange exchange
	body     *body // of the request; nil if there is none
	status   int   // 0 until the response has started
}

// NewResponse returns the response to a request, and the request with a body that moves the
// deadlines. progress is Timeouts.Progress. The handler uses both instead of its own
// arguments, and calls Finish when it is done. It works without deadlines if the writer has
// none, as in tests.
func NewResponse(w http.ResponseWriter, r *http.Request, progress time.Duration) (*Response, *http.Request) {
	response := &Response{ResponseWriter: w, request: r, exchange: exchange{controller: http.NewResponseController(w), timeout: progress}}
	if r.Body == nil || r.Body == http.NoBody {
		return response, r
	}
	response.body = &body{ReadCloser: r.Body, exchange: &response.exchange}
	wrapped := *r // net/http looks at the body of the request it was given, so that one stays as it is
	wrapped.Body = response.body
	return response, &wrapped
}

// errInterrupted says that reading a body was given up.
var errInterrupted = errors.New("reading the body was interrupted")

// InterruptBody makes reading the body of the request fail. Any goroutine may call it.
func (w *Response) InterruptBody() {
	if w.body != nil {
		w.body.interrupted.Store(true)
		_ = w.exchange.controller.SetReadDeadline(time.Unix(1, 0))
	}
}

// BodyTimedOut reports whether the body of the request did not arrive in time.
func (w *Response) BodyTimedOut() bool {
	return w.body != nil && errors.Is(w.body.err, os.ErrDeadlineExceeded)
}

// Finish ends the exchange: it drains the body and gives the client time to read what
// net/http has buffered of the response. The handler calls it last, unless it panics to
// abort the connection.
func (w *Response) Finish() {
	w.DrainBody()
	if w.body != nil && w.body.err != io.EOF && !w.body.started.IsZero() {
		_ = w.exchange.controller.SetReadDeadline(time.Now()) // net/http must not wait for the rest
	}
	// The deadline of an earlier response on the same connection may have passed.
	w.exchange.writeSet = time.Time{}
	w.exchange.extendWrite()
}

// WriteHeader starts the response.
func (w *Response) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write writes a part of the response of any size. The client has Timeouts.Progress for each
// 64 KiB of it.
func (w *Response) Write(p []byte) (written int, err error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	for {
		w.exchange.extendWrite()
		n, err := w.ResponseWriter.Write(p[:min(len(p), maxWrite)])
		written += n
		if p = p[n:]; err != nil || len(p) == 0 {
			return written, err
		}
	}
}

// Unwrap gives http.ResponseController access to the wrapped writer.
func (w *Response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Started reports whether the status has been written, so that it cannot change any more.
func (w *Response) Started() bool { return w.status != 0 }

// Status returns the status of the response, which is 200 if the handler wrote nothing.
func (w *Response) Status() int {
	if w.status == 0 {
		return http.StatusOK
	}
	return w.status
}
