package postgres

import (
	"crypto/rand"

	"pushgateway/internal/store"
)

// token identifies a commit, whichever server it is on.
type token [16]byte

func newToken() (t token) {
	_, _ = rand.Read(t[:]) // never fails
	return t
}

// commit is a commit's place in the order of all, and its token. After a failover that
// lost commits, other commits may take their places.
type commit struct {
	sequence int64
	token    token
}

// maxCommits is how many of the last commits a replica remembers, to see which of them a
// failover has lost. The database has twice as many.
const maxCommits = 1 << 16

// knowledge is what a replica knows of the commits up to the last one that it has.
type knowledge struct {
	commits []commit // the last ones, without a gap; never empty once loaded
	// changed has the last commit that changed a group, by the group's ID, if it is among
	// commits.
	changed map[string]int64
	wiped   int64 // the last commit that deleted all groups
}

// last returns the last commit that the replica has.
func (k *knowledge) last() commit {
	if len(k.commits) == 0 {
		return commit{}
	}
	return k.commits[len(k.commits)-1]
}

// has reports whether the replica knows the commit.
func (k *knowledge) has(c commit) bool {
	if len(k.commits) == 0 {
		return false
	}
	i := c.sequence - k.commits[0].sequence
	return i >= 0 && i < int64(len(k.commits)) && k.commits[i] == c
}

// note adds commits to the knowledge, with the groups that they changed.
func (k *knowledge) note(commits []commit, wiped int64, groups []row) {
	k.commits = append(k.commits, commits...)
	k.wiped = wiped
	for _, g := range groups {
		k.changed[g.id] = g.sequence
	}
	k.forget()
}

// forget drops what is older than maxCommits, once that is worth its cost.
func (k *knowledge) forget() {
	if len(k.commits) < 2*maxCommits {
		return
	}
	k.commits = append([]commit(nil), k.commits[len(k.commits)-maxCommits:]...)
	for id, sequence := range k.changed {
		if sequence < k.commits[0].sequence {
			delete(k.changed, id)
		}
	}
}

// row is a group in the database.
type row struct {
	id       string
	sequence int64
	origin   commit       // that decided on the group: another than sequence after a repair
	group    *store.Group // nil if it was deleted
}

// reading is what was read of the database at one moment.
type reading struct {
	after   int64 // rows are those of later commits
	head    head
	commits []commit // from after on
	rows    []row
}

// head is the row that is locked for a turn.
type head struct {
	commit
	wiped, pruned, timeline int64
}

// relation is how what was read relates to what a replica knows.
type relation int

const (
	same     relation = iota // nothing new
	ahead                    // others have committed
	stale                    // it was read before what the replica knows was committed
	diverged                 // the database lacks commits that the replica knows
	unknown                  // the replica was away for too long to tell
)

// relate compares a reading with what the replica knows.
func (k *knowledge) relate(r *reading) relation {
	last := k.last()
	if r.head.commit == last {
		return same
	}
	if r.head.sequence <= last.sequence && r.after < last.sequence {
		return stale
	}
	if r.head.sequence <= last.sequence {
		return diverged
	}
	i := 0
	for i < len(r.commits) && r.commits[i].sequence < last.sequence {
		i++
	}
	switch {
	case i == len(r.commits) || r.commits[i].sequence > last.sequence || last.sequence < r.head.pruned:
		return unknown
	case r.commits[i] != last:
		return diverged
	}
	return ahead
}

// learn adds to the knowledge a reading that is ahead of it, and returns what others
// have changed.
func (k *knowledge) learn(r *reading) store.Changes {
	last := k.last().sequence
	var later []row
	for _, g := range r.rows {
		if g.sequence > last {
			later = append(later, g)
		}
	}
	var commits []commit
	for _, c := range r.commits {
		if c.sequence > last {
			commits = append(commits, c)
		}
	}
	changes := changesOf(later, r.head.wiped > last)
	k.note(commits, r.head.wiped, later)
	return changes
}

// replace makes the reading, which is of all groups, all that is known. It returns what
// leads to it from any state.
func (k *knowledge) replace(r *reading) store.Changes {
	*k = knowledge{changed: map[string]int64{}}
	var recent []row
	for _, g := range r.rows {
		if g.sequence >= r.commits[0].sequence {
			recent = append(recent, g)
		}
	}
	k.note(r.commits, r.head.wiped, recent)
	return changesOf(r.rows, true)
}

func changesOf(rows []row, wiped bool) store.Changes {
	changes := store.Changes{Wiped: wiped}
	for _, g := range rows {
		if wiped && g.group == nil {
			continue
		}
		changes.Groups = append(changes.Groups, store.Change{ID: g.id, Group: g.group})
	}
	return changes
}
