package limits

import (
	"container/list"
	"sync"
)

// overloadedAt is how many pushes wait for each processor when the gateway counts as
// overloaded.
const overloadedAt = 4

// Processors share out the processors of the machine among pushes, first come, first
// served. Under overload, pushes leave one processor to everybody else: scrapes, pages and
// health checks, whose requests would otherwise be read only after those of all
// pushes that have arrived. It is safe for concurrent use.
type Processors struct {
	count int

	mu         sync.Mutex
	busy       int       // pushes that have a processor
	waiting    list.List // of chan struct{}, closed once its push has a processor
	overloaded bool      // from when many wait until none does
}

// NewProcessors returns the given number of processors.
func NewProcessors(count int) *Processors { return &Processors{count: count} }

// Take waits for a processor. The caller must call Release once it no longer needs it, and
// must not wait for anything else meanwhile.
func (p *Processors) Take() {
	p.mu.Lock()
	if p.waiting.Len() == 0 && p.busy < p.count {
		p.busy++
		p.mu.Unlock()
		return
	}
	ready := make(chan struct{})
	p.waiting.PushBack(ready)
	if p.waiting.Len() >= overloadedAt*p.count {
		p.overloaded = true
	}
	p.mu.Unlock()
	<-ready
}

// Release gives the processor to the next push.
func (p *Processors) Release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.busy--
	for p.waiting.Len() > 0 && p.busy < p.available() {
		p.busy++
		close(p.waiting.Remove(p.waiting.Front()).(chan struct{}))
	}
	if p.waiting.Len() == 0 {
		p.overloaded = false
	}
}

// available returns how many processors pushes may have now. p.mu is held.
func (p *Processors) available() int {
	if p.overloaded && p.count > 1 {
		return p.count - 1
	}
	return p.count
}
