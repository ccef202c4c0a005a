package store

// Waiting returns how many callers wait for a batch to be committed.
func (s *Store) Waiting() int {
	s.queueing.Lock()
	defer s.queueing.Unlock()
	return len(s.queue)
}
