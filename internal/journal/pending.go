package journal

import (
	"slices"
	"strings"

	"pushgateway/internal/store"
)

// pending is changes that wait to be written, of each group the last.
type pending struct {
	wiped  bool
	groups map[string]*store.Group // nil for one that was deleted
}

func (p *pending) empty() bool { return !p.wiped && len(p.groups) == 0 }

// add adds changes.
func (p *pending) add(changes store.Changes) {
	if changes.Wiped {
		*p = pending{wiped: true}
	}
	if p.groups == nil {
		p.groups = make(map[string]*store.Group, len(changes.Groups))
	}
	for _, c := range changes.Groups {
		p.groups[c.ID] = c.Group
	}
}

// changes returns all that waits.
func (p *pending) changes() store.Changes {
	out := store.Changes{Wiped: p.wiped, Groups: make([]store.Change, 0, len(p.groups))}
	for id, g := range p.groups {
		out.Groups = append(out.Groups, store.Change{ID: id, Group: g})
	}
	slices.SortFunc(out.Groups, func(a, b store.Change) int { return strings.Compare(a.ID, b.ID) })
	return out
}
