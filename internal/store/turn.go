package store

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

// pacedDecisions is how many decisions are taken without a pause in which other requests may run.
const pacedDecisions = 32

// turn decides, in one turn of the journal, on those in the queue, which it moves to taken, and
// answers them. It returns those at the end that need another turn. The caller holds
// committing.
func (s *Store) turn(taken *[]waiter) (rest []waiter) {
	waiting := s.takeQueue(taken)
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
		if begun { // still, after a panic
			_ = s.journal.Commit(Changes{})
		}
	}()
	if !foreign.Empty() {
		s.adopt(foreign)
	}
	// Begin may have waited for other replicas. Callers that came meanwhile share the turn.
	waiting = append(waiting, s.takeQueue(taken)...)
	b := &s.next
	defer b.reset()
	b.begin()
	for i, w := range waiting {
		if i > 0 && (b.large() || w.isAlone()) { // to count in others' decisions, in this turn
			waiting, rest = waiting[:i], waiting[i:]
			break
		}
		if i%pacedDecisions == pacedDecisions-1 {
			s.pace()
		}
		b.fold()
		w.run(b)
	}
	begun = false
	changes := b.changes()
	if err := s.journal.Commit(changes); err != nil {
		// What was rejected stays rejected; nothing was applied.
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
