package job

import (
	"os"
	"os/signal"
	"slices"
	"sync"
	"time"
)

// forwarder passes the signals that arrive on to a process.
type forwarder struct {
	arrived chan os.Signal
	quit    chan struct{} // closed when a signal has asked to stop

	mu       sync.Mutex  // guards all below
	to       *process    // nil between processes
	missed   []os.Signal // those that came between processes, for the next one
	quitting bool
}

// forwardSignals catches all signals that a process can catch and pass on, but those that
// this one was started to ignore, as by nohup: the command ignores them, too.
func forwardSignals() *forwarder {
	f := &forwarder{arrived: make(chan os.Signal, 64), quit: make(chan struct{})}
	for _, s := range forwarded {
		if !signal.Ignored(s) {
			signal.Notify(f.arrived, s)
		}
	}
	go func() {
		for s := range f.arrived {
			f.pass(s)
		}
	}()
	return f
}

func (f *forwarder) pass(s os.Signal) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(stopping, s) && !f.quitting {
		f.quitting = true
		close(f.quit)
	}
	if f.to == nil {
		f.missed = append(f.missed, s)
		return
	}
	f.to.signal(s)
}

// target names the process that gets the signals; nil for none.
func (f *forwarder) target(p *process) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.to = p
	if p != nil {
		for _, s := range f.missed {
			p.signal(s)
		}
		f.missed = nil
	}
}

// pause waits and then reports whether no signal has asked to stop.
func (f *forwarder) pause(d time.Duration) bool {
	select {
	case <-f.quit:
		return false
	case <-time.After(d):
	}
	select {
	case <-f.quit:
		return false
	default:
		return true
	}
}

// stop ends passing on. From then on signals have no effect: what is left to do takes only as
// long as its timeout, and the exit code must still be the command's.
func (f *forwarder) stop() { f.target(nil) }
