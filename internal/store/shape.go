package store

import (
	"iter"
	"slices"
	"strings"

	"pushgateway/internal/metric"
)

// A group gives the labels of its key to all its series. So a series can be in two groups
// only if it has the labels of both keys. Two groups whose keys have the same label names
// differ in a value and share no series. That leaves few candidates: for each other shape
// (set of label names) of the groups that have the family, the one group whose key has the
// values of the series under those names. So the check needs no index of series.

// shape is the set of label names of a grouping key: sorted, each before a separator.
type shape string

const nameSeparator = "\xff"

func shapeOf(key metric.GroupingKey) shape {
	var b strings.Builder
	for _, l := range key.Labels() {
		b.WriteString(l.Name)
		b.WriteString(nameSeparator)
	}
	return shape(b.String())
}

// of returns the shape of the key. If that equals s, it returns s itself, to share its memory.
func (s shape) of(key metric.GroupingKey) shape {
	rest := string(s)
	for _, l := range key.Labels() {
		var ok bool
		if rest, ok = strings.CutPrefix(rest, l.Name); ok {
			rest, ok = strings.CutPrefix(rest, nameSeparator)
		}
		if !ok {
			return shapeOf(key)
		}
	}
	if rest != "" {
		return shapeOf(key)
	}
	return s
}

// names returns the label names, in order.
func (s shape) names() iter.Seq[string] {
	return func(yield func(string) bool) {
		for rest := string(s); rest != ""; {
			name, after, _ := strings.Cut(rest, nameSeparator)
			if !yield(name) {
				return
			}
			rest = after
		}
	}
}

// project returns the key of this shape whose labels are among the given ones, which are
// sorted by name; false if a name is missing.
func (s shape) project(labels []metric.Label) (metric.GroupingKey, bool) {
	var key []metric.Label
	for name := range s.names() {
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

// shapes counts the groups of each shape. Usually there is one shape. Others are filed
// under one of their names, whichever has the fewest at the time, so that few have to be
// looked at for a series even if every group has different label names.
type shapes struct {
	first shapeCount
	more  map[string][]shapeCount
}

type shapeCount struct {
	shape  shape
	groups int
}

// others reports whether there are shapes other than x.
func (s *shapes) others(x shape) bool {
	return len(s.more) > 0 || s.first.groups > 0 && s.first.shape != x
}

// find returns the count of x and the name that it is filed under; nil if there is none.
func (s *shapes) find(x shape) (count *shapeCount, name string) {
	if s.first.groups > 0 && s.first.shape == x {
		return &s.first, ""
	}
	for name := range x.names() {
		for i := range s.more[name] {
			if s.more[name][i].shape == x {
				return &s.more[name][i], name
			}
		}
	}
	return nil, ""
}

func (s *shapes) add(x shape) {
	if known, _ := s.find(x); known != nil {
		known.groups++
		return
	}
	if s.first.groups == 0 {
		s.first = shapeCount{x, 1}
		return
	}
	fewest, found := "", -1
	for name := range x.names() {
		if n := len(s.more[name]); found < 0 || n < found {
			fewest, found = name, n
		}
	}
	if s.more == nil {
		s.more = map[string][]shapeCount{}
	}
	s.more[fewest] = append(s.more[fewest], shapeCount{x, 1})
}

func (s *shapes) remove(x shape) {
	count, name := s.find(x)
	if count.groups--; count.groups > 0 || count == &s.first {
		return
	}
	rest := slices.DeleteFunc(s.more[name], func(c shapeCount) bool { return c.shape == x })
	if s.more[name] = rest; len(rest) == 0 {
		delete(s.more, name)
	}
}

// each calls visit with all shapes whose names may be among the labels, and with some
// others.
func (s *shapes) each(labels []metric.Label, visit func(shape)) {
	if s.first.groups > 0 {
		visit(s.first.shape)
	}
	if len(s.more) == 0 {
		return
	}
	for _, l := range labels {
		for _, c := range s.more[l.Name] {
			visit(c.shape)
		}
	}
}
