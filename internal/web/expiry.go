package web

import (
	"context"
	"slices"
	"time"
)

// How groups end: so few in one step that no push waits for long, with a pause for
// those that do. Those that stand side by side in a file go together.
const (
	endedAtOnce  = 64
	endingPause  = 2 * time.Millisecond
	maxEnding    = 10_000 // of which the order is looked at
	endingLatest = time.Second
)

// EndGroups ends groups whose time has come, until ctx does.
func (s *Server) EndGroups(ctx context.Context) {
	for {
		// A group may be pushed meanwhile that ends before the next one known.
		wait := endingLatest
		if left, any := s.config.Store.NextExpiry(); any {
			wait = min(left, endingLatest)
		}
		if wait <= 0 {
			wait = endingPause
			if err := s.endDue(ctx); err != nil {
				s.config.Logger.Debug("groups whose time has come cannot be deleted yet", "err", err)
				wait = endingLatest
			}
		}
		if !sleep(ctx, wait) {
			return
		}
	}
}

// sleep returns false where ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// endDue ends groups whose time has come, until there is none, ctx ends, or it cannot
// be kept.
func (s *Server) endDue(ctx context.Context) error {
	if err := s.config.Storage.Ready(); err != nil {
		return err
	}
	for ids := range slices.Chunk(s.config.Store.Due(maxEnding), endedAtOnce) {
		ended, err := s.config.Store.Expire(ids)
		if err != nil {
			return err
		}
		for _, g := range ended {
			if !g.KeptPushTimes {
				s.history.Forget(g.Key)
			}
			s.config.Logger.Debug("group expired", "group", g.Key.String(), "last_push", g.Pushed, "push_times_kept", g.KeptPushTimes)
		}
		s.metrics.expired.Add(float64(len(ended)))
		if !sleep(ctx, endingPause) {
			break
		}
	}
	return nil
}
