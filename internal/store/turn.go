package store

import "errors"

// decision is one caller's part of a batch.
type decision[R any] struct {
	decide func(*batch) (R, error)
	alone  bool // in its batch
	result R
	answer
}

// answer is what a caller gets, unless it is a result.
type answer struct {
	err  error
	done bool // the caller can go on
}

// waiter is a decision with any result.
type waiter interface {
	run(*batch)
	state() *answer
	isAlone() bool
}

func (d *decision[R]) run(b *batch)   { d.result, d.err = d.decide(b) }
func (d *decision[R]) state() *answer { return &d.answer }
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
	s.queueing.Lock()
	s.queue = append(s.queue, d)
	s.queueing.Unlock()
	s.await(d)
	if d.err != nil {
		var none R
		return none, d.err
	}
	return d.result, nil
}

// await returns once the decision, which is in the queue, has been answered. The first
// caller to come takes the turn for those who wait by then.
func (s *Store) await(w waiter) {
	s.committing.Lock()
	defer s.committing.Unlock()
	for !w.state().done {
		if rest := s.turn(s.takeQueue()); len(rest) > 0 {
			for _, w := range rest {
				*w.state() = answer{}
			}
			s.queueing.Lock()
			s.queue = append(rest, s.queue...)
			s.queueing.Unlock()
		}
		s.sweep(s.minLarge)
	}
}

// takeQueue returns those who wait, and empties the queue.
func (s *Store) takeQueue() []waiter {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	waiting := s.queue
	s.queue = nil
	// Should something panic later, nobody must believe that all went well.
	for _, w := range waiting {
		*w.state() = answer{errAborted, true}
	}
	return waiting
}

// finish does what the caller's change of large groups has left to do. It does that in
// slices, so that others do not wait for all of it.
func (s *Store) finish() {
	for s.settle() {
	}
	for more := true; more; {
		s.committing.Lock()
		more = s.sweep(maxSlice)
		s.committing.Unlock()
	}
}

// turn decides, in one turn of the journal, on those who wait, and answers them. It
// returns those for whom another turn is needed. The caller holds committing.
func (s *Store) turn(waiting []waiter) (rest []waiter) {
	fail := func(err error) {
		for _, w := range waiting {
			w.state().err = err
		}
	}
	if err := s.unready.Load(); err != nil {
		fail(err)
		return nil
	}
	foreign, err := s.journal.Begin(s.ctx)
	if err != nil {
		fail(err)
		return nil
	}
	begun := true
	defer func() {
		if begun { // by a panic
			_ = s.journal.Commit(Changes{})
		}
	}()
	if !foreign.Empty() {
		s.adopt(foreign)
	}
	// Begin may have waited for other replicas. Who came meanwhile shares the turn.
	waiting = append(waiting, s.takeQueue()...)
	b := &s.next
	defer b.reset()
	b.begin()
	for i, w := range waiting {
		if i > 0 && (b.large() || w.isAlone()) { // to count in others' decisions, in this turn
			waiting, rest = waiting[:i], waiting[i:]
			break
		}
		b.fold()
		w.run(b)
	}
	begun = false
	changes := b.changes()
	if err := s.journal.Commit(changes); err != nil {
		// Rejections stand; what would have been applied was not.
		for _, w := range waiting {
			if state := w.state(); state.err == nil {
				state.err = err
			}
		}
		return rest
	}
	if !changes.Empty() {
		s.publish(changes)
	}
	return rest
}

// follow makes visible, between turns, what learn returns.
func (s *Store) follow(learn func() Changes) {
	s.committing.Lock()
	defer s.committing.Unlock()
	if changes := learn(); !changes.Empty() {
		s.adopt(changes)
	}
}

// adopt makes changes visible that were checked elsewhere. The caller holds committing.
func (s *Store) adopt(changes Changes) {
	for _, c := range changes.Groups {
		if c.Group != nil {
			c.Group.detach()
		}
	}
	s.publish(changes)
}
