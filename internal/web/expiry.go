package web

import (
	"context"
	"time"
)

// EndGroups ends groups whose time has come, until ctx ends.
func (s *Server) EndGroups(ctx context.Context) {
	// So few at a time that no push waits for long, with a pause for those who wait.
	const (
		most  = 64
		pause = 2 * time.Millisecond
	)
	// A group may be pushed meanwhile that ends before the next one known.
	const longest = time.Second
	for {
		wait := longest
		if left, any := s.Store.NextEnd(); any {
			wait = min(left, longest)
		}
		if wait <= 0 {
			wait = pause
			if err := s.endGroups(most); err != nil {
				s.Logger.Debug("groups whose time has come cannot be deleted yet", "err", err)
				wait = longest
			}
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
}

// endGroups ends groups whose time has come, at most so many.
func (s *Server) endGroups(most int) error {
	if err := s.Storage.Ready(); err != nil {
		return err
	}
	ended, err := s.Store.Expire(most)
	if err != nil {
		return err
	}
	for _, g := range ended {
		at, keptTimes := s.Store.ExpiresAt(g)
		if !keptTimes {
			s.history.Forget(g.Key)
		}
		s.Logger.Debug("group expired", "group", g.Key.String(), "last_push", g.Pushed, "expired_at", at, "push_times_kept", keptTimes)
	}
	s.metrics.expired.Add(float64(len(ended)))
	return nil
}
