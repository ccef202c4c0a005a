package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	// defaultReunionTimeout is how long replicas wait for each other after a failover.
	defaultReunionTimeout = 3 * time.Second
	// reunionInterval is how often they look whether all are there.
	reunionInterval = 50 * time.Millisecond

	setTimeline = "UPDATE pushgateway_replicas SET timeline = $2, sequence = $3, heartbeat = clock_timestamp() WHERE process = $1"
	// Only replicas that were alive until the failover are waited for.
	countMissing = "SELECT count(*) FROM pushgateway_replicas WHERE timeline <> $1 AND heartbeat > " +
		"(SELECT max(heartbeat) FROM pushgateway_replicas WHERE timeline <> $1) - $2::interval"
	moveTimeline = "UPDATE pushgateway_head SET timeline = $1"
)

// inTime reports whether all replicas have caught up with the server since it became the
// primary, or need not.
func (c *conn) inTime(h head) bool { return c.timeline == 0 || c.timeline == h.timeline }

// reunite lets the replicas wait for each other after a failover: one that has a commit
// which the new server lacks must write it again before another decides on a push without
// it. This one has done its part. The head is locked by the transaction that is open on
// the connection, and reunite ends that. Afterwards it takes another turn, which goes on
// once the head is on the server's timeline.
func (j *Journal) reunite(ctx context.Context, c *conn, h head) error {
	if j.reunion.timeline != c.timeline {
		j.reunion.timeline, j.reunion.since = c.timeline, time.Now()
	}
	missing := 0
	var b pgx.Batch
	b.Queue(setTimeline, [16]byte(j.process), c.timeline, j.last().sequence)
	b.Queue(countMissing, c.timeline, 10*heartbeatInterval).QueryRow(func(row pgx.Row) error { return row.Scan(&missing) })
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return err
	}
	b = pgx.Batch{}
	waited := time.Since(j.reunion.since)
	complete := h.timeline == 0 || missing == 0 || waited > j.options.reunionTimeout
	if complete {
		b.Queue(moveTimeline, c.timeline)
	}
	b.Queue("COMMIT")
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return err
	}
	j.timeline.Store(c.timeline)
	if complete && h.timeline != 0 {
		j.options.Logger.Warn("the database has failed over; the replicas go on", "timeline", c.timeline,
			"missing", missing, "waited", waited.Round(time.Millisecond))
	}
	return nil
}
