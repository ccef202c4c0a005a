package metric

import (
	"strings"
	"unicode/utf8"
)

// MaxGroups bounds the groups of one request.
const MaxGroups = 100_000

// GroupFamilies are the families that a bulk push has for one group.
type GroupFamilies struct {
	Key      GroupingKey
	Families []Family
}

// Splitter splits a bulk push, in one batch or several, among groups. It is not safe for
// concurrent use.
type Splitter struct {
	names      []string
	values     []string       // scratch
	id         []byte         // scratch
	byID       map[string]int // index in groups
	groups     []GroupFamilies
	lastFamily []int // for each group the family of its last metric, counted from 1
	families   int   // of all batches
	touched    []int // groups that have families of the batch
}

// NewSplitter returns a Splitter by the labels with the given names, which include job.
// The key of a metric's group consists of the metric's labels with these names; a label
// that is absent or empty is not in the key.
func NewSplitter(names []string) *Splitter {
	return &Splitter{names: names, values: make([]string, len(names)), byID: map[string]int{}}
}

// SplitByGroup splits a bulk push of one batch; see NewSplitter and Split.
func SplitByGroup(families []Family, names []string) ([]GroupFamilies, error) {
	s := NewSplitter(names)
	_, err := s.Split(families)
	return s.groups, err
}

// Groups returns all groups so far, in the order of their first metrics, with their
// families of the last batch.
func (s *Splitter) Groups() []GroupFamilies { return s.groups }

// Split splits a batch and returns which of Groups have families of it. The families share
// memory with the batch, but the keys do not. Split rejects a metric without a job, a label
// value that is not UTF-8, and a push for more than 100,000 groups. The next call overwrites
// the result. Cost: O(bytes of the labels) for each name.
func (s *Splitter) Split(families []Family) ([]int, error) {
	for _, at := range s.touched {
		s.groups[at].Families = nil
	}
	s.touched = s.touched[:0]
	for i := range families {
		f := &families[i]
		s.families++
		for j := range f.Metrics {
			m := &f.Metrics[j]
			at, err := s.groupOf(f, m)
			if err != nil {
				return nil, err
			}
			group := &s.groups[at]
			if len(group.Families) == 0 {
				s.touched = append(s.touched, at)
			}
			// Families come one after the other, so the metric's is the group's last.
			if s.lastFamily[at] != s.families {
				s.lastFamily[at] = s.families
				group.Families = append(group.Families, Family{Name: f.Name, Help: f.Help, Unit: f.Unit, Type: f.Type})
			}
			last := &group.Families[len(group.Families)-1]
			last.Metrics = append(last.Metrics, *m)
		}
	}
	return s.touched, nil
}

// groupOf returns the index of the group that the metric goes to.
func (s *Splitter) groupOf(f *Family, m *Metric) (int, error) {
	s.id = s.id[:0]
	for i, name := range s.names {
		s.values[i] = ""
		for _, l := range m.Labels {
			if l.Name == name {
				s.values[i] = l.Value
			}
		}
		if s.values[i] == "" && name == JobLabel {
			return 0, Reject(BadOption,
				"a metric of family %q has no label job, so it belongs to no group: %s%s; give every metric one, or push to "+
					"/metrics/job/<job>",
				f.Name, f.Name, FormatLabels(m.Labels))
		}
		if !utf8.ValidString(s.values[i]) {
			return 0, Reject(BadUTF8, "metric family %q has a label %q whose value is not valid UTF-8: %q", f.Name, name, s.values[i])
		}
		s.id = append(append(s.id, s.values[i]...), keySeparator...)
	}
	if at, ok := s.byID[string(s.id)]; ok {
		return at, nil
	}
	if len(s.groups) == MaxGroups {
		return 0, Reject(TooLarge, "the push is for more than %d groups: push to fewer at once", MaxGroups)
	}
	var labels []Label
	for i, name := range s.names {
		if s.values[i] != "" {
			labels = append(labels, Label{name, strings.Clone(s.values[i])})
		}
	}
	at := len(s.groups)
	s.byID[string(s.id)] = at
	s.groups = append(s.groups, GroupFamilies{Key: NewGroupingKey(labels)})
	s.lastFamily = append(s.lastFamily, 0)
	return at, nil
}
