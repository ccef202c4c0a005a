package limits

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// Pacer lets pushes begin a few at a time, first come, first served. In between, Go's
// scheduler looks for what else has arrived.
//
// The scheduler looks for requests only when it has nothing left to run. When hundreds of pushes
// arrive at once, each runs from its first byte to its answer, because nothing on the way waits.
// A health check that arrives meanwhile would be read after the last of them, and more
// keep arriving. With a pacer, it waits for a few pushes at most. The same holds for scrapes and
// pages that the scheduler has interrupted because their time slice was used up.
//
// A Pacer is safe for concurrent use.
type Pacer struct {
	perTurn int

	// A byte written to the pipe can be read once the scheduler has looked for what has arrived.
	// conn is the raw connection of in.
	in, out *os.File
	conn    syscall.RawConn // nil if there is no such pipe: then nobody waits

	mu      sync.Mutex
	left    int         // pushes that may still begin in this turn
	turning bool        // a push waits for the next turn
	waiting []chan role // of pushes that wait behind it
}

// role is what a push that has waited does next.
type role bool

const (
	begins role = false // it may begin
	turns  role = true  // it waits for the next turn, in which it and others may begin
)

// NewPacer returns a pacer that lets perTurn pushes begin before the scheduler looks for other
// requests.
func NewPacer(perTurn int) *Pacer {
	p := &Pacer{perTurn: perTurn, left: perTurn}
	in, out, err := os.Pipe()
	if err != nil {
		return p
	}
	if conn, err := in.SyscallConn(); err == nil {
		p.in, p.out, p.conn = in, out, conn
	}
	return p
}

// Wait returns once a push may begin.
func (p *Pacer) Wait() {
	p.mu.Lock()
	switch {
	case p.conn == nil:
		p.mu.Unlock()
		return
	case p.left > 0:
		p.left--
		p.mu.Unlock()
		return
	case p.turning:
		wait := make(chan role, 1)
		p.waiting = append(p.waiting, wait)
		p.mu.Unlock()
		if <-wait == begins {
			return
		}
	default:
		p.turning = true
		p.mu.Unlock()
	}
	p.turn()
}

// turn waits until the scheduler has looked for what has arrived. It then lets the next pushes
// begin, the caller first.
func (p *Pacer) turn() {
	err := p.awaitScheduler()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.conn = nil
	}
	n := min(len(p.waiting), p.perTurn-1)
	if p.conn == nil {
		n = len(p.waiting)
	}
	for _, wait := range p.waiting[:n] {
		wait <- begins
	}
	p.waiting, p.left = p.waiting[n:], p.perTurn-1-n
	if p.turning = len(p.waiting) > 0; p.turning {
		p.waiting[0] <- turns
		p.waiting = p.waiting[1:]
	}
}

// awaitScheduler returns once the scheduler has looked for requests that have arrived: it
// then finds what was written to the pipe, too.
func (p *Pacer) awaitScheduler() error {
	var b [1]byte
	var writeErr error
	written := false
	err := p.conn.Read(func(uintptr) bool {
		if written {
			return true
		}
		written = true
		_, writeErr = p.out.Write(b[:])
		return writeErr != nil // otherwise called again once there is something to read
	})
	if err := errors.Join(err, writeErr); err != nil {
		return err
	}
	_, err = p.in.Read(b[:])
	return err
}
