package store

import (
	"strings"

	"pushgateway/internal/metric"
)

// A series can be in two groups only where the labels of both grouping keys are
// among its own, since each group gives its labels to all its series. Two groups
// whose keys have the same label names differ in a value and so share no series.
// That leaves few candidates: for each other shape (set of label names) of keys
// that hold the family, the one group whose key is what the series has under
// those names. So the check needs no index of series.

// shape is the set of label names of a grouping key.
type shape struct {
	names string // sorted, each before a separator
	mask  uint64 // has a bit for each name, see nameBit
}

const nameSeparator = "\xff"

func shapeOf(key metric.GroupingKey) shape {
	var s shape
	var b strings.Builder
	for _, l := range key.Labels() {
		b.WriteString(l.Name)
		b.WriteString(nameSeparator)
		s.mask |= nameBit(l.Name)
	}
	s.names = b.String()
	return s
}

// nameBit maps a name to one of 64 bits, to tell fast that a name is missing.
func nameBit(name string) uint64 {
	hash := uint32(2166136261)
	for i := range len(name) {
		hash = (hash ^ uint32(name[i])) * 16777619
	}
	return 1 << (hash >> 26)
}

func nameMask(labels []metric.Label) uint64 {
	mask := uint64(0)
	for _, l := range labels {
		mask |= nameBit(l.Name)
	}
	return mask
}

// project returns the key that labels, sorted by name, have under the names of
// the shape; false where a name is missing.
func (s shape) project(labels []metric.Label) (metric.GroupingKey, bool) {
	var key []metric.Label
	for rest := s.names; rest != ""; {
		name, after, _ := strings.Cut(rest, nameSeparator)
		rest = after
		for len(labels) > 0 && labels[0].Name < name {
			labels = labels[1:]
		}
		if len(labels) == 0 || labels[0].Name != name {
			return metric.GroupingKey{}, false
		}
		key = append(key, labels[0])
	}
	return metric.NewGroupingKey(key), true
}

// shapes counts the groups of each shape. They are few wherever label names are
// names and not values; even where not, walking them is cheap.
type shapes struct {
	list []shapeCount
	at   map[string]int // index into list by names, made when the list grows
}

type shapeCount struct {
	shape
	groups int
}

// linearShapes is up to how many shapes a search goes without the map.
const linearShapes = 8

func (s *shapes) find(names string) int {
	if s.at != nil {
		if i, ok := s.at[names]; ok {
			return i
		}
		return -1
	}
	for i := range s.list {
		if s.list[i].names == names {
			return i
		}
	}
	return -1
}

func (s *shapes) add(x shape) {
	if i := s.find(x.names); i >= 0 {
		s.list[i].groups++
		return
	}
	s.list = append(s.list, shapeCount{x, 1})
	switch {
	case s.at != nil:
		s.at[x.names] = len(s.list) - 1
	case len(s.list) > linearShapes:
		s.at = make(map[string]int, len(s.list))
		for i := range s.list {
			s.at[s.list[i].names] = i
		}
	}
}

func (s *shapes) remove(x shape) {
	i := s.find(x.names)
	if s.list[i].groups--; s.list[i].groups > 0 {
		return
	}
	last := len(s.list) - 1
	s.list[i] = s.list[last]
	s.list = s.list[:last]
	if s.at != nil {
		delete(s.at, x.names)
		if i < last {
			s.at[s.list[i].names] = i
		}
	}
}
