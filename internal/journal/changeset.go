package journal

import (
	"maps"
	"slices"

	"pushgateway/internal/store"
)

// changeSet is what batches of changes amount to, one after the other. Its zero value is
// empty.
type changeSet struct {
	wiped  bool
	groups map[string]*store.Group // by ID; nil if deleted
}

func (s *changeSet) add(changes store.Changes) {
	if changes.Wiped {
		*s = changeSet{wiped: true}
	}
	if s.groups == nil {
		s.groups = map[string]*store.Group{}
	}
	for _, c := range changes.Groups {
		s.groups[c.ID] = c.Group
	}
}

// remove removes the changes that are still the last of their groups.
func (s *changeSet) remove(changes store.Changes) {
	for _, c := range changes.Groups {
		if g, ok := s.groups[c.ID]; ok && g == c.Group {
			delete(s.groups, c.ID)
		}
	}
}

// changes returns the set as one batch.
func (s *changeSet) changes() store.Changes {
	changes := store.Changes{Wiped: s.wiped}
	for _, id := range slices.Sorted(maps.Keys(s.groups)) {
		changes.Groups = append(changes.Groups, store.Change{ID: id, Group: s.groups[id]})
	}
	return changes
}

// before returns what the set and then the changes amount to, as one batch. The set
// stays as it is.
func (s *changeSet) before(changes store.Changes) store.Changes {
	if len(s.groups) == 0 && !s.wiped || changes.Wiped {
		return changes
	}
	both := changeSet{wiped: s.wiped, groups: maps.Clone(s.groups)}
	both.add(changes)
	return both.changes()
}
