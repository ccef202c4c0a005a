package journal

import (
	"maps"
	"slices"

	"pushgateway/internal/store"
)

// pending is the groups that were acknowledged and wait to be written, by ID, each
// as it was last. Deletes never wait.
type pending map[string]*store.Group

// add adds changes, none of them a delete.
func (p pending) add(changes store.Changes) {
	for _, c := range changes.Groups {
		p[c.ID] = c.Group
	}
}

// before returns changes that amount to what is pending and then the given ones.
func (p pending) before(changes store.Changes) store.Changes {
	if len(p) == 0 || changes.Wiped {
		return changes
	}
	last := maps.Clone(p)
	for _, c := range changes.Groups {
		last[c.ID] = c.Group
	}
	merged := make([]store.Change, 0, len(last))
	for _, id := range slices.Sorted(maps.Keys(last)) {
		merged = append(merged, store.Change{ID: id, Group: last[id]})
	}
	return store.Changes{Groups: merged}
}
