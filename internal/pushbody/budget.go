package pushbody

import (
	"container/list"
	"context"
	"math"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

const (
	// defaultPushMemory is the memory for pushes that are read at the same time, if the
	// process has no memory limit.
	defaultPushMemory = 1 << 30
	// limitShare is the part of the memory limit that they have otherwise: a quarter.
	limitShare = 4
	// maxPushWait is how long a push waits for memory in all.
	maxPushWait = 10 * time.Second
	// evictAfter is how long a push waits for memory before the slowest sender of another
	// push that holds some is cut off.
	evictAfter = time.Second
	// overloadRetry is after how long a client should retry a push that got no memory.
	overloadRetry = time.Second
	// minPushMemory is what the smallest push counts as.
	minPushMemory = 64 << 10
	// largePush is the memory of a push that is given back to the system afterwards.
	largePush = 64 << 20
	// freeAfter is how long after a large push that happens.
	freeAfter = 5 * time.Second
)

// Cost is about how many times its decompressed body a push takes in memory while it is
// read.
type Cost int64

const (
	InBatches  Cost = 6  // of a push whose families are encoded and dropped batch by batch
	AtOnce     Cost = 8  // of a push that is in memory as a whole, as a bulk push may be
	Translated Cost = 16 // likewise, of one whose families have other names and labels than its body
)

// Budget is the memory that pushes share while they are read. It is safe for concurrent
// use.
type Budget struct {
	size int64
	// strict reports whether a push that needs all of it or more is rejected. Otherwise
	// it is read as soon as no other is.
	strict bool

	buffers sync.Pool // of *[]byte, for bodies as they are received

	mu        sync.Mutex            // guards all below
	receiving map[*reservation]bool // whose bodies are arriving
	free      int64
	waiting   list.List   // of *waiter, the oldest first
	freeing   *time.Timer // gives memory back to the system; nil if that is not due
}

// waiter is a push that waits until n bytes are free.
type waiter struct {
	n     int64
	ready chan struct{} // closed once it has them
}

// NewBudget returns a budget of size bytes or, if that is 0, of a quarter of the process'
// memory limit. If there is none either, the budget has 1 GiB, and a push that needs more is
// read when no other is; otherwise such a push is rejected.
func NewBudget(size int64) *Budget {
	if size > 0 {
		return &Budget{size: size, free: size, strict: true}
	}
	if limit := debug.SetMemoryLimit(-1); limit < math.MaxInt64 {
		return &Budget{size: limit / limitShare, free: limit / limitShare, strict: true}
	}
	return &Budget{size: defaultPushMemory, free: defaultPushMemory}
}

// reservation is the part of a budget that one push has.
type reservation struct {
	budget *Budget
	cost   Cost
	n      int64 // changed by its push only, and with budget.mu held

	waited    time.Duration // for memory
	received  atomic.Int64  // bytes of the body
	started   time.Time     // when the body began to arrive
	interrupt func()        // makes reading the body fail
	evicted   bool          // guarded by budget.mu
}

// growFor returns a function that enlarges the reservation for a body of the given size,
// unless that is small.
func (r *reservation) growFor(ctx context.Context) func(size int) error {
	return func(size int) error {
		if int64(size) <= smallBody {
			return nil
		}
		return r.grow(ctx, int64(size))
	}
}

// receiving says that the body begins to arrive. Until done is called, reading it can be
// interrupted in favor of others that wait; then done returns true.
func (r *reservation) receiving(interrupt func()) (done func() (evicted bool)) {
	b := r.budget
	r.started, r.interrupt = time.Now(), interrupt
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.receiving == nil {
		b.receiving = map[*reservation]bool{}
	}
	b.receiving[r] = true
	return func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.receiving, r)
		return r.evicted
	}
}

// evict interrupts the push that holds memory and whose body arrives at the lowest rate,
// among those that had time to arrive.
func (b *Budget) evict() {
	b.mu.Lock()
	defer b.mu.Unlock()
	var slowest *reservation
	lowest := math.Inf(1)
	for r := range b.receiving {
		age := time.Since(r.started)
		if rate := float64(r.received.Load()) / age.Seconds(); r.n > 0 && !r.evicted && age >= evictAfter && rate < lowest {
			slowest, lowest = r, rate
		}
	}
	if slowest != nil {
		slowest.evicted = true
		slowest.interrupt()
	}
}

// grow enlarges the reservation to what a body of the given size takes. The error is as for growTo.
func (r *reservation) grow(ctx context.Context, size int64) error {
	if b := r.budget; int64(r.cost)*size > b.size && b.strict {
		return metric.Reject(metric.TooLarge,
			"the body is larger than the %d MiB that this gateway has the memory for, decompressed: push less, in several groups "+
				"if need be",
			b.size/int64(r.cost)>>20)
	}
	return r.growTo(ctx, int64(r.cost)*size)
}

// growTo enlarges the reservation to want bytes. It waits until other pushes have given back
// enough, or fails with a *limits.TemporaryRejection after a while. A body that is too large for the
// whole budget is rejected.
func (r *reservation) growTo(ctx context.Context, want int64) error {
	b := r.budget
	want = max(want, minPushMemory)
	if want > b.size && b.strict {
		return metric.Reject(metric.TooLarge,
			"reading the body takes %d MiB, since it has many metrics or groups, and this gateway has %d MiB for that (push.max-inflight-bytes): "+
				"push less, in several groups if need be", want>>20, b.size>>20)
	}
	more := min(want, b.size) - r.n
	if more <= 0 {
		return nil
	}
	// It may wait several times, as its size becomes known, but no longer in all.
	began := time.Now()
	err := b.take(ctx, more, maxPushWait-r.waited)
	if r.waited += time.Since(began); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	r.n += more
	return nil
}

// release gives everything back.
func (r *reservation) release() {
	if n := r.n; n > 0 {
		r.n = 0 // no other looks at it after receiving
		r.budget.giveBack(n)
	}
}

func (b *Budget) take(ctx context.Context, n int64, maxWait time.Duration) error {
	b.mu.Lock()
	if b.free >= n && b.waiting.Len() == 0 {
		b.free -= n
		b.mu.Unlock()
		return nil
	}
	w := &waiter{n, make(chan struct{})}
	element := b.waiting.PushBack(w)
	b.mu.Unlock()

	timeout := time.NewTimer(maxWait)
	defer timeout.Stop()
	evict := time.NewTicker(evictAfter)
	defer evict.Stop()
	for waits := true; waits; {
		select {
		case <-w.ready:
			return nil
		case <-evict.C:
			b.evict()
		case <-ctx.Done():
			waits = false
		case <-timeout.C:
			waits = false
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	select {
	case <-w.ready: // just now
		return nil
	default:
	}
	b.waiting.Remove(element)
	b.wake()
	return overloaded("the pushes that are being read have all of the %d MiB for them (push.max-inflight-bytes): try again, "+
		"or push less at once", b.size>>20)
}

func overloaded(format string, args ...any) error {
	return &limits.TemporaryRejection{RejectionError: metric.Reject(metric.Overloaded, format, args...), RetryAfter: overloadRetry}
}

// wake gives the oldest waiters what is free. The caller holds b.mu.
func (b *Budget) wake() {
	for element := b.waiting.Front(); element != nil; element = b.waiting.Front() {
		w := element.Value.(*waiter)
		if w.n > b.free {
			return
		}
		b.free -= w.n
		b.waiting.Remove(element)
		close(w.ready)
	}
}

// Size returns the memory that all pushes may reserve together, in bytes.
func (b *Budget) Size() int64 { return b.size }

// Reserved returns how many bytes of the budget are reserved.
func (b *Budget) Reserved() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.size - b.free
}

func (b *Budget) giveBack(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += n
	b.wake()
	if n < largePush || b.freeing != nil {
		return
	}
	// The collector would leave the memory of a large push with the process for
	// minutes.
	b.freeing = time.AfterFunc(freeAfter, func() {
		b.mu.Lock()
		b.freeing = nil
		b.mu.Unlock()
		debug.FreeOSMemory()
	})
}
