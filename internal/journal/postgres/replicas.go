package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"pushgateway/internal/store"
)

const (
	// liveTimeout is after how long without a heartbeat nobody waits for a replica.
	liveTimeout = time.Minute
	// maxSkew is how far the clocks may differ before that is logged.
	maxSkew = time.Second

	upsertReplica = "INSERT INTO pushgateway_replicas (process, name, version, sequence, timeline, started, heartbeat, rules, auth) " +
		"VALUES ($1, $2, $3, $4, $5, clock_timestamp(), clock_timestamp(), $6, $7) ON CONFLICT (process) DO UPDATE SET " +
		"sequence = excluded.sequence, timeline = excluded.timeline, heartbeat = excluded.heartbeat, rules = excluded.rules, auth = excluded.auth"
	selectReplicas = "SELECT process, name, version, sequence, rules, auth, started, heartbeat, clock_timestamp() " +
		"FROM pushgateway_replicas ORDER BY name, started"
)

// register makes this process known to the others, instead of an earlier one of its name.
func (j *Journal) register(ctx context.Context, c *conn) error {
	_, err := c.Exec(ctx, "DELETE FROM pushgateway_replicas WHERE name = $1 AND process <> $2", j.options.Name, [16]byte(j.process))
	if err != nil {
		return err
	}
	return j.heartbeat(ctx, c)
}

// heartbeat says how far this replica is, and learns how far the others are and what
// time it is.
func (j *Journal) heartbeat(ctx context.Context, c *conn) error {
	last := j.last()
	rules, auth := j.options.Configuration()
	seen := &store.Replicas{Name: j.options.Name}
	var now time.Time
	var b pgx.Batch
	var h head
	b.Queue(upsertReplica, [16]byte(j.process), j.options.Name, j.options.Version, last.sequence, j.timeline.Load(), rules, auth)
	queueHead(&b, selectHead, &h)
	b.Queue(selectReplicas).Query(func(rows pgx.Rows) error {
		var process [16]byte
		var r store.Replica
		var theirRules, theirAuth string
		columns := []any{&process, &r.Name, &r.Version, &r.Sequence, &theirRules, &theirAuth, &r.Started, &r.Heartbeat, &now}
		_, err := pgx.ForEachRow(rows, columns, func() error {
			r.Self = token(process) == j.process
			r.Behind = max(0, h.sequence-r.Sequence)
			r.Live = now.Sub(r.Heartbeat) < liveTimeout
			r.OtherRules, r.OtherAuth = theirRules != rules, theirAuth != auth
			seen.All = append(seen.All, r)
			return nil
		})
		return err
	})
	sent := time.Now()
	if err := c.send(ctx, &b, answerTimeout); err != nil {
		return err
	}
	took := time.Since(sent)
	seen.Sequence, seen.Contact = h.sequence, sent.Add(took)
	seen.ClockSkew = j.setClock(now.Sub(sent.Add(took/2)), took/2)
	j.shared.Store(seen)
	return nil
}

// setClock takes note of the offset of the database's clock, which is known to within
// the given uncertainty, and returns the offset in use.
func (j *Journal) setClock(offset, uncertainty time.Duration) time.Duration {
	before := time.Duration(j.offset.Load())
	if (offset - before).Abs() <= uncertainty {
		return before // so that it does not jitter
	}
	j.offset.Store(int64(offset))
	if offset.Abs() > maxSkew && (offset-before).Abs() > maxSkew/2 {
		j.options.Logger.Warn("this machine's clock and the database's differ; the database's is used", "offset", offset)
	}
	return offset
}

// Now returns the time by the database's clock, so that all replicas agree when a group
// expires.
func (j *Journal) Now() time.Time { return time.Now().Add(time.Duration(j.offset.Load())) }

// Replicas describes the processes that share the database.
func (j *Journal) Replicas() store.Replicas {
	if seen := j.shared.Load(); seen != nil {
		return *seen
	}
	return store.Replicas{Name: j.options.Name}
}
