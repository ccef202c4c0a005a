package store

import (
	"errors"
	"slices"
)

// decision is one caller's part of a batch.
type decision[R any] struct {
	decide func(*batch) (R, error)
	alone  bool // in its batch
	result R
	answer
	place
}

// answer is the outcome for a caller, apart from its result.
type answer struct {
	err  error
	done bool // the caller can go on
}

// place is where a caller waits.
type place struct {
	wake chan role // nil if nobody has to wake it
	next waiter    // that it wakes once it is answered; nil if there is none
}

// role is what a caller that has waited does next.
type role int

const (
	returns role = iota // it has its answer
	leads               // it takes turns, for itself and for those who wait by then
)

// waiter is a decision with any result.
type waiter interface {
	run(*batch)
	state() *answer
	at() *place
	isAlone() bool
}

func (d *decision[R]) run(b *batch)   { d.result, d.err = d.decide(b) }
func (d *decision[R]) state() *answer { return &d.answer }
func (d *decision[R]) at() *place     { return &d.place }
func (d *decision[R]) isAlone() bool  { return d.alone }

var errAborted = errors.New("the change was aborted by an error in the gateway, see its log")

// commit has decide called as part of a batch. It returns the result once the batch is
// persisted and visible, or an error that says why it is not. decide may be called several
// times: what it returned last counts, so it keeps no state of its own.
func commit[R any](s *Store, decide func(*batch) (R, error)) (R, error) {
	return await(s, &decision[R]{decide: decide})
}

// commitAlone is commit for a batch that has no other decisions.
func commitAlone[R any](s *Store, decide func(*batch) (R, error)) (R, error) {
	return await(s, &decision[R]{decide: decide, alone: true})
}

func await[R any](s *Store, d *decision[R]) (R, error) {
	role := leads
	if !s.enqueue(d) {
		role = <-d.wake
	}
	if role == leads {
		s.lead(d)
	} else {
		s.pace()
		wake(d.next)
	}
	if d.err != nil {
		var none R
		return none, d.err
	}
	return d.result, nil
}

// enqueue adds a caller to the queue. It reports whether the caller leads: nobody else does.
func (s *Store) enqueue(w waiter) (leads bool) {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	s.queue = append(s.queue, w)
	if !s.led {
		s.led = true
		return true
	}
	w.at().wake = make(chan role, 1)
	return false
}

// lead takes turns until the caller, which is in the queue, has its answer.
func (s *Store) lead(w waiter) {
	var taken []waiter
	defer func() { s.handOver(w, taken) }()
	s.committing.Lock()
	defer s.committing.Unlock()
	for !w.state().done {
		if rest := s.turn(&taken); len(rest) > 0 {
			for _, w := range rest {
				*w.state() = answer{}
			}
			taken = taken[:len(taken)-len(rest)]
			s.queueing.Lock()
			s.queue = append(rest, s.queue...)
			s.queueing.Unlock()
		}
		s.sweep(s.minLarge)
	}
}

// takeQueue moves those who wait from the queue to taken, and returns them.
func (s *Store) takeQueue(taken *[]waiter) []waiter {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	waiting := s.queue
	s.queue = nil
	// If something panics later, callers get errAborted.
	for _, w := range waiting {
		*w.state() = answer{errAborted, true}
	}
	*taken = append(*taken, waiting...)
	return waiting
}

// handOver has the first caller in the queue lead. It has those taken from the queue return, except
// the leader, which does so itself. Each wakes the next, so that other requests come in between.
// The journal does not wait for them.
func (s *Store) handOver(leader waiter, taken []waiter) {
	var first waiter
	for _, w := range slices.Backward(taken) {
		if w != leader {
			w.at().next, first = first, w
		}
	}
	wake(first)
	s.queueing.Lock()
	defer s.queueing.Unlock()
	if s.led = len(s.queue) > 0; s.led {
		s.queue[0].at().wake <- leads
	}
}

// wake has a waiter return, if there is one.
func wake(w waiter) {
	if w != nil {
		w.at().wake <- returns
	}
}
