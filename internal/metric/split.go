package metric

import (
	"strings"
	"unicode/utf8"
)

// maxParts bounds the groups of one push.
const maxParts = 100_000

// Part is what a push holds for one group.
type GroupFamilies struct {
	Key      GroupingKey
	Families []Family
}

// Split divides a push among groups: a metric goes to the group whose key is what the
// metric has for the labels called names, of which one is job. A label that the
// metric lacks, or that is empty, is not in the key; but without a job there is no
// group, and the push is rejected, as it is with a value that is not UTF-8, or for more
// than 100,000 groups. Parts are in the order of their first metrics, which they share
// with families; their keys share nothing. Cost: O(bytes of the labels) for each name.
func SplitByGroup(families []Family, names []string) ([]GroupFamilies, error) {
	s := splitter{names: names, values: make([]string, len(names)), parts: map[string]int{}}
	for i := range families {
		f := &families[i]
		for j := range f.Metrics {
			m := &f.Metrics[j]
			at, err := s.partOf(f, m)
			if err != nil {
				return nil, err
			}
			part := &s.list[at]
			// The families of a part follow one another, so the metric's is the last.
			if s.lastOf[at] != i+1 {
				s.lastOf[at] = i + 1
				part.Families = append(part.Families, Family{Name: f.Name, Help: f.Help, Unit: f.Unit, Type: f.Type})
			}
			last := &part.Families[len(part.Families)-1]
			last.Metrics = append(last.Metrics, *m)
		}
	}
	return s.list, nil
}

// splitter finds the parts of a push.
type splitter struct {
	names  []string
	values []string // scratch
	id     []byte   // scratch
	parts  map[string]int
	list   []GroupFamilies
	lastOf []int // for each part the family, counted from 1, that it got a metric of last
}

// partOf returns the place in list of the part that the metric goes to.
func (s *splitter) partOf(f *Family, m *Metric) (int, error) {
	s.id = s.id[:0]
	for i, name := range s.names {
		s.values[i] = ""
		for _, l := range m.Labels {
			if l.Name == name {
				s.values[i] = l.Value
			}
		}
		if s.values[i] == "" && name == JobLabel {
			return 0, Reject(BadOption, "a metric of family %q has no label job, so it belongs to no group: %s%s; give every metric one, or push to /metrics/job/<job>",
				f.Name, f.Name, FormatLabels(m.Labels))
		}
		if !utf8.ValidString(s.values[i]) {
			return 0, Reject(BadUTF8, "metric family %q has a label %q whose value is not valid UTF-8: %q", f.Name, name, s.values[i])
		}
		s.id = append(append(s.id, s.values[i]...), keySeparator...)
	}
	if at, ok := s.parts[string(s.id)]; ok {
		return at, nil
	}
	if len(s.list) == maxParts {
		return 0, Reject(TooLarge, "the push is for more than %d groups: push to fewer at once", maxParts)
	}
	var labels []Label
	for i, name := range s.names {
		if s.values[i] != "" {
			labels = append(labels, Label{name, strings.Clone(s.values[i])})
		}
	}
	at := len(s.list)
	s.parts[string(s.id)] = at
	s.list = append(s.list, GroupFamilies{Key: NewGroupingKey(labels)})
	s.lastOf = append(s.lastOf, 0)
	return at, nil
}
