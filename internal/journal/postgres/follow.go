package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"pushgateway/internal/store"
)

const (
	// pollInterval is how often the head is looked at if no notification comes.
	pollInterval = 500 * time.Millisecond
	// readInterval is the least time between two readings, so that following many commits
	// takes few.
	readInterval = 10 * time.Millisecond
	// heartbeatInterval is how often a replica says how far it is.
	heartbeatInterval = time.Second
	// reconnectInterval is the least time between two tries to connect.
	reconnectInterval = 200 * time.Millisecond
)

// Follow has adopt called from now on whenever others have committed, until Close.
func (j *Journal) Follow(adopt func(learn func() store.Changes)) { j.adopt.Store(&adopt) }

// follow follows what others commit, and notices when the database goes away and when it
// is there again, until Close.
func (j *Journal) follow() {
	for j.ctx.Err() == nil {
		tried := time.Now()
		worked, err := j.followConnection()
		if j.ctx.Err() != nil {
			return
		}
		j.metrics.reconnects.Inc()
		if !worked || errors.Is(err, errSilent) {
			j.fail(away(err))
		} // otherwise the next connection may be as good as this one was
		pause(j.ctx, time.Until(tried.Add(reconnectInterval)))
	}
}

// followConnection follows over one connection until that fails. It reports whether the
// connection has worked.
func (j *Journal) followConnection() (worked bool, err error) {
	c, err := j.connect(j.ctx)
	if err != nil {
		return false, err
	}
	defer c.close()
	n, err := j.subscribe(c)
	if err != nil {
		return false, err
	}
	var heartbeat time.Time
	housekeeping := time.Now()
	for first := true; ; first = false {
		if time.Since(heartbeat) >= heartbeatInterval {
			heartbeat = time.Now()
			if err := j.heartbeat(j.ctx, c); err != nil {
				return worked, err
			}
		}
		if err := n.adapt(j.takesTurns(), j.turns.Load()); err != nil {
			return worked, err
		}
		if err := j.catchUpWithoutTurn(c, first); err != nil {
			return worked, err
		}
		j.succeed()
		worked = true
		if time.Since(housekeeping) >= housekeepingInterval {
			housekeeping = time.Now()
			if err := j.keepHouse(c); err != nil {
				return worked, err
			}
		}
		if n.off {
			j.awaitLastTurn(time.Now())
		} else if err := j.awaitNews(c, time.Now()); err != nil {
			return worked, err
		}
	}
}

// awaitLastTurn returns once this replica no longer takes turns, or pollInterval after read.
func (j *Journal) awaitLastTurn(read time.Time) {
	for j.takesTurns() && time.Since(read) < pollInterval && j.ctx.Err() == nil {
		pause(j.ctx, readInterval)
	}
}

// awaitNews returns when it is time to read again: once others have committed, or pollInterval
// after the last read. A replica that takes turns learns in them what others commit, so it does
// not read in addition.
func (j *Journal) awaitNews(c *conn, read time.Time) error {
	next := read.Add(pollInterval)
	for news := int64(0); ; {
		sequence, err := j.await(c, next)
		if err != nil {
			return err
		}
		now := time.Now()
		if !now.Before(read.Add(pollInterval)) {
			return nil
		}
		news = max(news, sequence)
		switch {
		case j.knows(news):
			news, next = 0, read.Add(pollInterval)
		case now.Before(read.Add(readInterval)):
			next = read.Add(readInterval)
		case j.takesTurns():
			next = now.Add(readInterval)
		default:
			return nil
		}
	}
}

// takesTurns reports whether this replica has a turn, or had one a moment ago.
func (j *Journal) takesTurns() bool {
	return j.turning.Load() || time.Since(j.started)-time.Duration(j.turned.Load()) < readInterval
}

// await returns the number of a commit that this replica does not know, or 0 at the deadline.
func (j *Journal) await(c *conn, deadline time.Time) (sequence int64, err error) {
	ctx, cancel := context.WithDeadline(j.ctx, deadline)
	defer cancel()
	for {
		n, err := c.WaitForNotification(ctx)
		if err != nil {
			if ctx.Err() != nil && !c.IsClosed() {
				return 0, j.ctx.Err()
			}
			return 0, err
		}
		j.metrics.notifications.Inc()
		sequence, err := strconv.ParseInt(n.Payload, 10, 64)
		if err == nil && !j.knows(sequence) {
			return sequence, nil
		}
	}
}

// pause returns after a while, or once ctx ends.
func pause(ctx context.Context, d time.Duration) {
	if d <= 0 {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// knows reports whether the commit of this number is no news.
func (j *Journal) knows(sequence int64) bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return sequence <= j.knowledge.last().sequence || sequence == j.own.sequence
}

// catchUpWithoutTurn reads what others have committed and has the store adopt it. first
// says that the connection is new, so that an earlier try may have failed half-way.
func (j *Journal) catchUpWithoutTurn(c *conn, first bool) error {
	adopt := j.adopt.Load()
	if adopt == nil {
		return nil // the store learns it with its next turn
	}
	r, err := c.readChanges(j.ctx, j.last().sequence)
	if err != nil {
		return err
	}
	if !first && r.head.commit == j.last() && c.inTime(r.head) {
		return nil
	}
	(*adopt)(func() (changes store.Changes) {
		changes, err = j.learn(c, r)
		return changes
	})
	return err
}

// learn learns what was read without a turn, and takes one if that is not enough.
func (j *Journal) learn(c *conn, r *reading) (store.Changes, error) {
	if j.ctx.Err() != nil {
		return store.Changes{}, nil
	}
	relation := j.knowledge.relate(r)
	if relation == stale {
		return store.Changes{}, nil
	}
	if j.undelivered.Empty() && c.inTime(r.head) {
		switch relation {
		case same:
			return store.Changes{}, nil
		case ahead:
			j.mu.Lock()
			defer j.mu.Unlock()
			return j.knowledge.learn(r), nil
		}
	}
	changes, err := j.takeTurn(j.ctx, c)
	if err == nil {
		err = c.rollback(j.ctx)
	}
	if err != nil {
		return changes, fmt.Errorf("catch up with the database: %w", err)
	}
	return changes, nil
}
