package job

import (
	"sync"
	"time"
)

// limit ends a process that takes too long: with SIGTERM, and later with SIGKILL.
type limit struct {
	mu      sync.Mutex // guards all below
	timer   *time.Timer
	expired bool
	stopped bool
}

// newLimit limits a process to the timeout. 0 means no limit.
func newLimit(p *process, timeout, killAfter time.Duration) *limit {
	l := new(limit)
	if timeout == 0 {
		return l
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(timeout, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.stopped {
			return
		}
		l.expired = true
		p.terminate()
		l.timer = time.AfterFunc(killAfter, func() {
			l.mu.Lock()
			defer l.mu.Unlock()
			if !l.stopped {
				p.kill()
			}
		})
	})
	return l
}

// stop lifts the limit and reports whether it was reached.
func (l *limit) stop() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.stopped = true
	if l.timer != nil {
		l.timer.Stop()
	}
	return l.expired
}
