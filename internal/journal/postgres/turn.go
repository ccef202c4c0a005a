package postgres

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pushgateway/internal/store"
)

const (
	beginTurn = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	// setTimeouts is for the transaction only, since a pooler may hand the session to others.
	// No statement times out by itself: see connect.
	setTimeouts = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', '0', true), " +
		"set_config('idle_in_transaction_session_timeout', $2, true)"

	upsertGroups = "INSERT INTO pushgateway_groups (hash, id, sequence, record) " +
		"SELECT sha256(u.id), u.id, $1, u.record FROM unnest($2::bytea[], $3::bytea[]) AS u(id, record) " +
		"ON CONFLICT (hash) DO UPDATE SET sequence = excluded.sequence, record = excluded.record, origin_sequence = NULL, origin_token = NULL"
	deleteGroups = "DELETE FROM pushgateway_groups"
	moveHead     = "WITH head AS (UPDATE pushgateway_head SET sequence = $1, token = $2, wiped = greatest(wiped, $3)), " +
		"added AS (INSERT INTO pushgateway_commits (sequence, token) VALUES ($1, $2)) " +
		"SELECT pg_notify('" + channel + "', $1::text)"
	// Others may take the turn, and build on the changes, before these are on disk. No push is
	// answered before they are.
	commitEarly = "SET LOCAL synchronous_commit = off"
	// flushCommits commits a message that nobody reads. This waits until all earlier commits are as
	// durable as the database makes them.
	flushCommits = "SELECT pg_logical_emit_message(true, '" + channel + "', '')"
	selectToken  = "SELECT token FROM pushgateway_commits WHERE sequence = $1" // #nosec G101 -- a query, no credential

	channel = "pushgateway"
	// maxUpsert is about how many bytes of records one statement writes.
	maxUpsert = 8 << 20
)

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// queueTurn queues what takes the turn, and waits for it at most wait.
func queueTurn(b *pgx.Batch, wait time.Duration, h *head) {
	b.Queue(beginTurn)
	b.Queue(setTimeouts, milliseconds(wait), milliseconds(turnTimeout))
	queueHead(b, lockHead, h)
}

// Begin locks the head and returns what others have committed.
func (j *Journal) Begin(ctx context.Context) (foreign store.Changes, err error) {
	if err := j.Ready(); err != nil {
		return store.Changes{}, err
	}
	started := time.Now()
	ctx, cancel := j.whileAlive(ctx)
	defer cancel()
	j.turning.Store(true)
	foreign, err = j.begin(ctx)
	if err != nil {
		j.turnEnded()
		j.metrics.errors.Inc()
		return store.Changes{}, j.explain(err)
	}
	j.metrics.wait.Observe(time.Since(started).Seconds())
	return foreign, nil
}

// explain returns why the database could not be used, and notes if it is away.
func (j *Journal) explain(err error) error {
	if ready := j.Ready(); ready != nil {
		return ready // that was noticed first, and is why ctx ended
	}
	failure, ok := errors.AsType[*pgconn.PgError](err)
	switch {
	case ok && failure.Code == "55P03":
		err = fmt.Errorf("other replicas had the turn for more than %v", lockTimeout)
	case lost(err):
		err = away(err)
		j.fail(err)
	}
	return unavailable(err)
}

func (j *Journal) begin(ctx context.Context) (store.Changes, error) {
	for again := true; ; again = false {
		fresh := j.turn == nil || j.turn.IsClosed()
		if fresh {
			c, err := j.connect(ctx)
			if err != nil {
				return store.Changes{}, err
			}
			j.turn = c
		}
		foreign, err := j.takeTurn(ctx, j.turn)
		if err == nil {
			return foreign, nil
		}
		if !lost(err) {
			return store.Changes{}, err
		}
		j.turn.close()
		if fresh || !again || ctx.Err() != nil {
			return store.Changes{}, err
		}
		j.metrics.reconnects.Inc() // the server may have closed an idle connection
	}
}

// takeTurn locks the head on a connection and learns what others have committed. It may
// have learned something also if it returns an error; that is returned the next time.
func (j *Journal) takeTurn(ctx context.Context, c *conn) (store.Changes, error) {
	for {
		r := &reading{after: j.last().sequence}
		var b pgx.Batch
		queueTurn(&b, lockTimeout, &r.head)
		c.queueChanges(&b, r)
		if err := c.send(ctx, &b, turnSilence); err != nil {
			return store.Changes{}, err
		}
		held, err := j.catchUp(ctx, c, r)
		if err != nil {
			return store.Changes{}, err
		}
		if held && c.inTime(r.head) {
			changes := j.undelivered
			j.undelivered = store.Changes{}
			return changes, nil
		}
		if !held {
			continue
		}
		if err := j.reunite(ctx, c, r.head); err != nil {
			return store.Changes{}, err
		}
		select {
		case <-ctx.Done():
			return store.Changes{}, ctx.Err()
		case <-time.After(reunionInterval):
		}
	}
}

// catchUp learns what was read. If that is not enough, it reads and writes more in the
// transaction that is open on the connection. It reports whether that is still open.
func (j *Journal) catchUp(ctx context.Context, c *conn, r *reading) (held bool, err error) {
	// Only whoever decides in the store changes the knowledge, and that is the caller.
	relation := j.knowledge.relate(r)
	if relation == diverged {
		repaired, err := j.repair(ctx, c, r.head)
		if err != nil || repaired {
			return false, err
		}
	}
	if relation == diverged || relation == unknown {
		j.options.Logger.Warn("reading all groups again: this replica was away for too long",
			"sequence", r.head.sequence, "before", j.knowledge.last().sequence)
		if err := c.readRecords(ctx, r, ""); err != nil {
			return false, err
		}
		j.metrics.reloads.Inc()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	switch relation {
	case ahead:
		j.undelivered = merge(j.undelivered, j.knowledge.learn(r))
	case diverged, unknown:
		j.undelivered = j.knowledge.replace(r)
	}
	return true, nil
}

// last returns the last commit that this replica has.
func (j *Journal) last() commit {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.knowledge.last()
}

func (j *Journal) turnEnded() {
	j.turns.Add(1)
	j.turned.Store(int64(time.Since(j.started)))
	j.turning.Store(false)
}

// Commit writes the changes and the new head, and unlocks that.
func (j *Journal) Commit(changes store.Changes) error {
	defer j.turnEnded()
	c := j.turn
	if c == nil || c.IsClosed() {
		return unavailable(errors.New("the connection to the database was lost"))
	}
	ctx, cancel := j.whileAlive(context.Background())
	defer cancel()
	if changes.Empty() {
		return j.endTurn(ctx, c)
	}
	started := time.Now()
	next := j.nextCommit()
	var b pgx.Batch
	rows, bytes := queueChanges(&b, changes, next)
	committed := false
	b.Queue("COMMIT").Exec(func(pgconn.CommandTag) error { committed = true; return nil })
	b.Queue(flushCommits)
	if j.options.beforeCommit != nil {
		j.options.beforeCommit()
	}
	c.warned = false
	err := c.send(ctx, &b, commitTimeout(bytes))
	switch {
	case err == nil && c.warned:
		// It is in the database, so others will see it. But the server did not wait for its
		// standby, so it may get lost.
		err = errUncertain
	case err != nil && lost(err):
		err = j.outcome(next, err)
	case err != nil && committed:
		err = errUncertain
	}
	if err != nil {
		j.metrics.errors.Inc()
		return j.explainCommit(err)
	}
	j.flushed = next
	j.mu.Lock()
	defer j.mu.Unlock()
	wiped := j.knowledge.wiped
	if changes.Wiped {
		wiped = next.sequence
	}
	j.knowledge.note([]commit{next}, wiped, rows)
	j.committed = time.Now()
	j.updateStatus()
	j.metrics.duration.Observe(time.Since(started).Seconds())
	j.metrics.batch.Observe(float64(len(rows)))
	j.metrics.records.Add(float64(len(rows)))
	j.metrics.bytes.Add(float64(bytes))
	return nil
}

// endTurn ends a turn in which nothing was changed. What was decided may rest on what others have
// committed a moment ago, so that must be durable, too.
func (j *Journal) endTurn(ctx context.Context, c *conn) error {
	last := j.last()
	if last == j.flushed {
		if c.rollback(ctx) != nil {
			c.close()
		}
		return nil
	}
	var b pgx.Batch
	b.Queue("ROLLBACK")
	b.Queue(flushCommits)
	c.warned = false
	err := c.send(ctx, &b, commitTimeout(0))
	if err == nil && c.warned {
		err = errUncertain
	}
	if err != nil {
		j.metrics.errors.Inc()
		return j.explainCommit(err)
	}
	j.flushed = last
	return nil
}

// nextCommit returns the commit that Commit is going to make.
func (j *Journal) nextCommit() commit {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.own = commit{j.knowledge.last().sequence + 1, newToken()}
	return j.own
}

// commitTimeout bounds a commit of so many bytes.
func commitTimeout(bytes int) time.Duration {
	return 5*time.Second + time.Duration(bytes>>20)*time.Second/4
}

// queueChanges queues what writes the changes and moves the head.
func queueChanges(b *pgx.Batch, changes store.Changes, next commit) (rows []row, bytes int) {
	wiped := int64(0)
	if changes.Wiped {
		wiped = next.sequence
		b.Queue(deleteGroups)
	}
	var ids, records [][]byte
	size := 0
	flush := func() {
		if len(ids) > 0 {
			b.Queue(upsertGroups, next.sequence, ids, records)
		}
		bytes += size
		ids, records, size = nil, nil, 0
	}
	// It is a message of its own, so that the server does not take the time that a large one needs
	// for idleness.
	b.Queue(commitEarly)
	for _, change := range changes.Groups {
		var record []byte
		if change.Group != nil {
			record = store.AppendRecord(make([]byte, 0, change.Group.Size()+256), change.Group)
		}
		ids, records = append(ids, []byte(change.ID)), append(records, record)
		rows = append(rows, row{id: change.ID, sequence: next.sequence})
		if size += len(record); size > maxUpsert {
			flush()
		}
	}
	flush()
	b.Queue(moveHead, next.sequence, [16]byte(next.token), wiped)
	return rows, bytes
}

var errUncertain = errors.New("the database did not say whether it has stored the change")

func (j *Journal) explainCommit(err error) error {
	if errors.Is(err, errUncertain) {
		return &store.UnavailableError{Reason: err, RetryAfter: retryAfter, Uncertain: true}
	}
	if !lost(err) {
		j.options.Logger.Error("the database did not store a change", "database", j.options.Address, "err", err)
	}
	return j.explain(err)
}

// outcome finds out whether a commit was made during which the connection was lost. It
// returns nil if so, the cause if it was not, and errUncertain if nobody can tell in time.
func (j *Journal) outcome(c commit, cause error) error {
	ctx, cancel := context.WithTimeout(j.ctx, j.options.outcomeTimeout)
	defer cancel()
	for {
		found, err := j.lookUp(ctx, c)
		switch {
		case err == nil && found:
			j.metrics.lookups.WithLabelValues("committed").Inc()
			return nil
		case err == nil:
			j.metrics.lookups.WithLabelValues("not committed").Inc()
			return fmt.Errorf("the connection to the database was lost: %w", cause)
		}
		select {
		case <-ctx.Done():
			j.metrics.lookups.WithLabelValues("unknown").Inc()
			j.fail(fmt.Errorf("the connection to the database was lost during a commit: %w", cause))
			return errUncertain
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// lookUp reports whether the database has the commit, durably. It waits until the transaction that
// may be making it has ended.
func (j *Journal) lookUp(ctx context.Context, c commit) (found bool, err error) {
	j.turn.close()
	j.turn = nil
	connection, err := j.connect(ctx)
	if err != nil {
		return false, err
	}
	j.turn = connection
	var h head
	var b pgx.Batch
	queueTurn(&b, j.options.outcomeTimeout, &h)
	b.Queue(selectToken, c.sequence).Query(func(rows pgx.Rows) error {
		var t [16]byte
		_, err := pgx.ForEachRow(rows, []any{&t}, func() error {
			found = token(t) == c.token
			return nil
		})
		return err
	})
	b.Queue("ROLLBACK")
	b.Queue(flushCommits)
	err = connection.send(ctx, &b, j.options.outcomeTimeout)
	if err == nil && connection.warned {
		err = errUncertain
	}
	return found, err
}
