package postgres

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

const (
	housekeepingInterval = 10 * time.Second
	// forgetReplica is how long a replica is shown that says no more.
	forgetReplica = time.Hour

	selectFloor = "SELECT EXISTS (SELECT FROM pushgateway_groups WHERE record IS NULL AND sequence <= f.sequence), f.sequence " +
		"FROM (SELECT least(min(r.sequence), min(h.sequence)) AS sequence FROM pushgateway_head h " +
		"LEFT JOIN pushgateway_replicas r ON r.heartbeat > clock_timestamp() - $1::interval) AS f"
	selectServer = "SELECT pg_total_relation_size('pushgateway_groups') + pg_total_relation_size('pushgateway_commits'), " +
		"current_setting('fsync') = 'off', current_setting('synchronous_commit') = 'off'"
	deleteTombstones = "DELETE FROM pushgateway_groups WHERE record IS NULL AND sequence <= $1"
	moveFloor        = "UPDATE pushgateway_head SET pruned = greatest(pruned, $1)"
	deleteCommits    = "DELETE FROM pushgateway_commits WHERE sequence < (SELECT sequence FROM pushgateway_head) - $1"
	deleteReplicas   = "DELETE FROM pushgateway_replicas WHERE heartbeat < clock_timestamp() - $1::interval " +
		"OR name = $2 AND process <> $3 AND heartbeat < clock_timestamp() - $4::interval"
)

// keepHouse deletes what no replica needs any more: tombstones that all have seen, old
// commits, and replicas that are gone. Any replica may do that at any time.
func (j *Journal) keepHouse(c *conn) error {
	ctx := j.ctx
	due, floor := false, int64(0)
	var b pgx.Batch
	b.Queue(deleteCommits, 2*maxCommits)
	b.Queue(deleteReplicas, forgetReplica, j.options.Name, [16]byte(j.process), 3*heartbeatInterval)
	b.Queue(selectFloor, liveTimeout).QueryRow(func(row pgx.Row) error { return row.Scan(&due, &floor) })
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return err
	}
	if err := j.inspect(ctx, c); err != nil {
		return err
	}
	if !due {
		return nil
	}
	b = pgx.Batch{}
	var h head
	queueTurn(&b, lockTimeout, &h)
	b.Queue(deleteTombstones, floor)
	b.Queue(moveFloor, floor)
	b.Queue("COMMIT")
	err := c.send(ctx, &b, turnSilence)
	if err != nil && !lost(err) {
		return nil // it can wait until the next time
	}
	return err
}

// inspect finds out how large the tables are, and whether a crash of the server can lose commits
// because of its settings.
func (j *Journal) inspect(ctx context.Context, c *conn) error {
	size := int64(0)
	var withoutSync, early bool
	if err := c.QueryRow(ctx, selectServer).Scan(&size, &withoutSync, &early); err != nil {
		return err
	}
	warning := ""
	switch {
	case withoutSync:
		warning = "fsync is off in the database: a crash of its machine can lose acknowledged changes, and damage the database"
	case early:
		warning = "synchronous_commit is off in the database: a crash of the server can lose acknowledged changes"
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if warning != "" && warning != j.warning {
		j.options.Logger.Warn(warning, "database", j.options.Address)
	}
	j.size, j.warning = size, warning
	j.updateStatus()
	return nil
}
