package postgres

import (
	"context"

	"github.com/jackc/pgx/v5"

	"pushgateway/internal/store"
)

const (
	upsertRepaired = "INSERT INTO pushgateway_groups (hash, id, sequence, record, origin_sequence, origin_token) " +
		"SELECT sha256(u.id), u.id, $1, u.record, u.origin_sequence, u.origin_token " +
		"FROM unnest($2::bytea[], $3::bytea[], $4::bigint[], $5::uuid[]) AS u(id, record, origin_sequence, origin_token) " +
		"ON CONFLICT (hash) DO UPDATE SET sequence = excluded.sequence, record = excluded.record, " +
		"origin_sequence = excluded.origin_sequence, origin_token = excluded.origin_token"
	selectIDs = "SELECT id FROM pushgateway_groups WHERE record IS NOT NULL AND sequence <= $1"
)

// repair brings together what the replica knows and a database that lacks some of it, in
// the transaction that is open on the connection and has locked the head. What the database has
// lost and nobody has overwritten since is written again, which ends the transaction. It
// returns false, and has done nothing, if the two have no commit in common.
func (j *Journal) repair(ctx context.Context, c *conn, h head) (repaired bool, err error) {
	k := &j.knowledge // only the caller changes it
	fork, found, err := c.findFork(ctx, k)
	if err != nil || !found {
		return false, err
	}
	r := &reading{after: fork.sequence, head: h}
	var b pgx.Batch
	c.queueChanges(&b, r)
	var existing []string
	wipeLost := k.wiped > fork.sequence
	if wipeLost {
		b.Queue(selectIDs, fork.sequence).Query(func(rows pgx.Rows) error {
			var id []byte
			_, err := pgx.ForEachRow(rows, []any{&id}, func() error {
				existing = append(existing, string(id))
				return nil
			})
			return err
		})
	}
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return false, err
	}
	lost := k.lostSince(fork, r, existing)
	next := commit{h.sequence + 1, newToken()}
	rows, err := c.writeAgain(ctx, lost, j.states(lost), next)
	if err != nil {
		return false, err
	}
	j.metrics.repairs.Inc()
	j.metrics.repaired.Add(float64(len(rows)))
	j.options.Logger.Warn("the database had lost commits: wrote again what it lacked", "groups", len(rows),
		"last_common_commit", fork.sequence, "last_known_commit", k.last().sequence, "last_commit_there", h.sequence)
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := k.rejoin(fork, r, lost)
	k.note([]commit{next}, h.wiped, rows)
	j.undelivered = merge(j.undelivered, changes)
	return true, nil
}

// findFork returns the last commit that both the replica and the database know.
func (c *conn) findFork(ctx context.Context, k *knowledge) (fork commit, found bool, err error) {
	var r reading
	var b pgx.Batch
	b.Queue(selectCommits, k.commits[0].sequence).Query(r.scanCommits)
	if err := c.send(ctx, &b, turnSilence); err != nil {
		return commit{}, false, err
	}
	for _, there := range r.commits {
		if k.has(there) {
			fork, found = there, true
		}
	}
	return fork, found, nil
}

// lostSince returns the groups whose last change the database has lost, with the commit
// that made it. r is what has been committed to the database since the fork; existing are
// older groups there, if a wipe was lost.
func (k *knowledge) lostSince(fork commit, r *reading, existing []string) map[string]commit {
	lost := map[string]commit{}
	if r.head.wiped > fork.sequence {
		return lost // all groups were deleted later
	}
	first := k.commits[0].sequence
	for id, sequence := range k.changed {
		if sequence > fork.sequence {
			lost[id] = k.commits[sequence-first]
		}
	}
	for _, id := range existing {
		if _, changed := lost[id]; !changed {
			lost[id] = k.commits[k.wiped-first]
		}
	}
	for _, there := range r.rows {
		mine, ok := lost[there.id]
		// Another replica may have repaired the group with an older change than this one's.
		if ok && !(k.has(there.origin) && there.origin.sequence < mine.sequence) {
			delete(lost, there.id)
		}
	}
	return lost
}

// states returns the groups of these IDs that exist.
func (j *Journal) states(ids map[string]commit) map[string]*store.Group {
	states := map[string]*store.Group{}
	if len(ids) == 0 {
		return states
	}
	if !j.undelivered.Wiped {
		for g := range j.current() {
			if _, ok := ids[g.Key.ID()]; ok {
				states[g.Key.ID()] = g
			}
		}
	}
	for _, c := range j.undelivered.Groups {
		if _, ok := ids[c.ID]; ok {
			states[c.ID] = c.Group
		}
	}
	return states
}

// writeAgain writes the lost groups as they are, moves the head, and commits.
func (c *conn) writeAgain(ctx context.Context, lost map[string]commit, states map[string]*store.Group, next commit) ([]row, error) {
	var rows []row
	var ids, records [][]byte
	var sequences []int64
	var tokens [][16]byte
	var b pgx.Batch
	size := 0
	flush := func() {
		if len(ids) > 0 {
			b.Queue(upsertRepaired, next.sequence, ids, records, sequences, tokens)
		}
		ids, records, sequences, tokens, size = nil, nil, nil, nil, 0
	}
	for id, origin := range lost {
		var record []byte
		if g := states[id]; g != nil {
			record = store.AppendRecord(nil, g)
		}
		ids, records = append(ids, []byte(id)), append(records, record)
		sequences, tokens = append(sequences, origin.sequence), append(tokens, origin.token)
		rows = append(rows, row{id: id, sequence: next.sequence})
		if size += len(record); size > maxUpsert {
			flush()
		}
	}
	flush()
	b.Queue(moveHead, next.sequence, [16]byte(next.token), int64(0))
	b.Queue("COMMIT")
	return rows, c.send(ctx, &b, turnSilence)
}

// rejoin forgets the commits after the fork for those that the database has instead. It
// returns what these changed, besides what this replica has written again.
func (k *knowledge) rejoin(fork commit, r *reading, lost map[string]commit) store.Changes {
	for id, sequence := range k.changed {
		if sequence > fork.sequence {
			delete(k.changed, id)
		}
	}
	k.commits = k.commits[:fork.sequence-k.commits[0].sequence+1]
	k.wiped = min(k.wiped, fork.sequence)
	kept := r.rows[:0]
	for _, g := range r.rows {
		if _, written := lost[g.id]; !written {
			kept = append(kept, g)
		}
	}
	r.rows = kept
	return k.learn(r)
}

// merge returns what a and then b amount to.
func merge(a, b store.Changes) store.Changes {
	if b.Wiped || a.Empty() {
		return b
	}
	later := make(map[string]bool, len(b.Groups))
	for _, c := range b.Groups {
		later[c.ID] = true
	}
	merged := store.Changes{Wiped: a.Wiped}
	for _, c := range a.Groups {
		if !later[c.ID] {
			merged.Groups = append(merged.Groups, c)
		}
	}
	merged.Groups = append(merged.Groups, b.Groups...)
	return merged
}
