package limits

import (
	"errors"
	"os"
	"sync"
	"syscall"
)

// Pacer lets pushes begin a few at a time, first come, first served, and those that were persisted
// together be answered a few at a time. In between, Go's scheduler looks for what else has arrived.
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
	left    int           // pushes that may still go on in this turn
	turning bool          // a push waits for the next turn
	answers []chan signal // of pushes behind it that wait to be answered
	waiting []chan signal // of pushes behind these that wait to begin
}

// signal tells a push that has waited what to do next.
type signal int

const (
	goOn signal = iota // begin, or be answered
	turn               // wait for the next turn, in which it and others may go on
)

// PushesPerTurn is how many pushes per processor may go on before the scheduler looks for other
// requests. It bounds how long these wait. Each turn costs about a tenth of a small push.
const PushesPerTurn = 4

// NewPacer returns a pacer that lets perTurn pushes go on before the scheduler looks for other
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

// WaitToBegin returns once a push may begin.
func (p *Pacer) WaitToBegin() { p.wait(&p.waiting) }

// WaitToAnswer returns once a push may be answered, which comes before others begin.
func (p *Pacer) WaitToAnswer() { p.wait(&p.answers) }

func (p *Pacer) wait(queue *[]chan signal) {
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
		wait := make(chan signal, 1)
		*queue = append(*queue, wait)
		p.mu.Unlock()
		if <-wait == goOn {
			return
		}
	default:
		p.turning = true
		p.mu.Unlock()
	}
	p.turn()
}

// turn waits until the scheduler has looked for what has arrived. It then lets the next pushes
// go on, the caller first.
func (p *Pacer) turn() {
	err := p.awaitScheduler()
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.conn = nil
	}
	p.left = p.perTurn - 1
	for p.left > 0 || p.conn == nil {
		if !p.wakeNext(goOn) {
			break
		}
		p.left--
	}
	p.turning = p.left <= 0 && p.wakeNext(turn)
}

// wakeNext signals the first push that waits, and reports whether there is one. The
// caller holds mu.
func (p *Pacer) wakeNext(s signal) bool {
	for _, queue := range []*[]chan signal{&p.answers, &p.waiting} {
		if len(*queue) > 0 {
			(*queue)[0] <- s
			*queue = (*queue)[1:]
			return true
		}
	}
	return false
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
