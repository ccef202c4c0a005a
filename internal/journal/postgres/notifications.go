package postgres

import (
	"context"
	"time"
)

// A replica that takes busyTurns turns in busyInterval needs no notifications until it pauses.
const (
	busyInterval = 250 * time.Millisecond
	busyTurns    = 5
)

// notifications tell a replica about the commits of others. While it takes one turn after the other,
// it learns of them in its turns. It then does without notifications, since one for each commit to
// each replica would cost as much as the turns.
type notifications struct {
	journal *Journal
	conn    *conn
	none    bool // there never are any
	off     bool // for now

	turns   int64 // that the replica had taken when they were last counted
	counted time.Time
}

// subscribe asks for notifications. Without them, for example behind a pooler, the replica
// polls.
func (j *Journal) subscribe(c *conn) (*notifications, error) {
	n := &notifications{journal: j, conn: c, none: j.options.Address.pooled(), turns: j.turns.Load(), counted: time.Now()}
	if n.none {
		return n, nil
	}
	err := n.execute("LISTEN " + channel)
	if err != nil && !lost(err) {
		j.options.Logger.Warn("the database sends no notifications, so other replicas' changes are polled", "interval", pollInterval, "err", err)
		n.none, err = true, nil
	}
	return n, err
}

// adapt turns notifications on or off. turns is how many turns the replica has taken, and
// takesTurns reports whether it still takes some. The caller must read afterwards what was committed.
func (n *notifications) adapt(takesTurns bool, turns int64) error {
	off := n.off && takesTurns
	if since := time.Since(n.counted); since >= busyInterval {
		off = takesTurns && time.Duration(turns-n.turns)*busyInterval >= busyTurns*since
		n.turns, n.counted = turns, time.Now()
	}
	if n.none || off == n.off {
		return nil
	}
	n.off = off
	if off {
		return n.execute("UNLISTEN " + channel)
	}
	return n.execute("LISTEN " + channel)
}

func (n *notifications) execute(statement string) error {
	ctx, cancel := context.WithTimeout(n.journal.ctx, answerTimeout)
	defer cancel()
	_, err := n.conn.Exec(ctx, statement)
	return err
}
