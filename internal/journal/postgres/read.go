package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"pushgateway/internal/store"
)

const (
	selectHead    = "SELECT sequence, token, wiped, pruned, timeline FROM pushgateway_head"
	lockHead      = selectHead + " FOR UPDATE"
	selectCommits = "SELECT sequence, token FROM pushgateway_commits WHERE sequence >= $1 ORDER BY sequence"
	selectGroups  = "SELECT id, sequence, origin_sequence, origin_token, record FROM pushgateway_groups WHERE sequence > $1"
	selectRecords = "SELECT id, sequence, origin_sequence, origin_token, record FROM pushgateway_groups WHERE record IS NOT NULL"

	beginReading = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"
)

// queueHead queues a query for the head.
func queueHead(b *pgx.Batch, query string, h *head) {
	b.Queue(query).QueryRow(func(row pgx.Row) error {
		return row.Scan(&h.sequence, (*[16]byte)(&h.token), &h.wiped, &h.pruned, &h.timeline)
	})
}

// queueChanges queues queries for what was committed after r.after.
func (c *conn) queueChanges(b *pgx.Batch, r *reading) {
	b.Queue(selectCommits, r.after).Query(r.scanCommits)
	b.Queue(selectGroups, r.after).Query(func(rows pgx.Rows) error { return r.scanGroups(rows, &c.decoder) })
}

func (r *reading) scanCommits(rows pgx.Rows) error {
	var c commit
	_, err := pgx.ForEachRow(rows, []any{&c.sequence, (*[16]byte)(&c.token)}, func() error {
		r.commits = append(r.commits, c)
		return nil
	})
	return err
}

func (r *reading) scanGroups(rows pgx.Rows, decoder *store.RecordDecoder) error {
	var id, record pgtype.DriverBytes // Decode copies
	var sequence int64
	var originSequence *int64
	var originToken *[16]byte
	_, err := pgx.ForEachRow(rows, []any{&id, &sequence, &originSequence, &originToken, &record}, func() error {
		g := row{id: string(id), sequence: sequence, origin: commit{sequence: sequence}}
		if originSequence != nil && originToken != nil {
			g.origin = commit{*originSequence, *originToken}
		}
		if record != nil {
			var err error
			if g.group, err = decoder.Decode(record); err != nil {
				return fmt.Errorf("the record of group %q in the database is damaged: %w", g.id, err)
			}
		}
		r.rows = append(r.rows, g)
		return nil
	})
	return err
}

// readChanges reads what was committed after a commit, without a turn.
func (c *conn) readChanges(ctx context.Context, after int64) (*reading, error) {
	r := &reading{after: after}
	var b pgx.Batch
	b.Queue(beginReading)
	queueHead(&b, selectHead, &r.head)
	c.queueChanges(&b, r)
	b.Queue("COMMIT")
	return r, c.send(ctx, &b, answerTimeout)
}

// readAll reads all groups, without a turn.
func (c *conn) readAll(ctx context.Context) (*reading, error) {
	var b pgx.Batch
	r := &reading{}
	b.Queue(beginReading)
	queueHead(&b, selectHead, &r.head)
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return nil, err
	}
	return r, c.readRecords(ctx, r, "COMMIT")
}

// readRecords adds the last commits and all groups to a reading that has the head, in the
// transaction that has read that. Then it executes the statement.
func (c *conn) readRecords(ctx context.Context, r *reading, then string) error {
	r.after, r.commits, r.rows = 0, nil, nil
	var b pgx.Batch
	b.Queue(selectCommits, max(0, r.head.sequence-maxCommits)).Query(r.scanCommits)
	b.Queue(selectRecords).Query(func(rows pgx.Rows) error { return r.scanGroups(rows, &c.decoder) })
	if then != "" {
		b.Queue(then)
	}
	return c.send(ctx, &b, turnSilence)
}
