package search

import (
	"cmp"
	"encoding/binary"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
	"pushgateway/internal/store"
)

// Row is a group with what listing it needs.
type Row struct {
	Group  *store.Group
	Series int
	Bytes  int64
	names  int32 // number of the set of metric names
}

// RowOf returns the row of a group by itself.
func RowOf(g *store.Group) Row {
	row := Row{Group: g}
	for _, c := range g.Families {
		row.Series += c.Series()
		row.Bytes += int64(c.Size())
	}
	return row
}

// Index keeps the rows of the view that was asked for last, so that asking again
// costs a look at each row, and a next view what has changed. It is safe for
// concurrent use.
type Index struct {
	mu   sync.Mutex // guards last
	last *Listing
}

// Listing is the groups of one view. It is immutable.
type Listing struct {
	// Version tells listings of one Index apart.
	Version uint64
	Rows    []Row // ordered by the groups' IDs

	view *store.Snapshot
	sets *nameSets
	jobs func() []Job
}

// Of returns the groups of the view. Cost: a step for each group, and a look at
// the chunks of those that are not as in the view before; O(1) for the same view.
func (x *Index) Of(v *store.Snapshot) *Listing {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.last != nil && x.last.view == v {
		return x.last
	}
	next := &Listing{Version: 1, view: v, sets: newNameSets(), Rows: make([]Row, 0, v.Totals.Groups)}
	var old []Row
	if x.last != nil {
		next.Version = x.last.Version + 1
		old = x.last.Rows
		// Sets that no group has any more go when there are too many.
		if sets := x.last.sets; sets.count() <= 1000+2*len(old) {
			next.sets = sets
		} else {
			old = nil
		}
	}
	for g := range v.Groups() {
		for len(old) > 0 && old[0].Group != g && old[0].Group.Key.ID() < g.Key.ID() {
			old = old[1:]
		}
		if len(old) > 0 && old[0].Group == g {
			next.Rows = append(next.Rows, old[0])
			continue
		}
		row := RowOf(g)
		row.names = next.sets.of(g)
		next.Rows = append(next.Rows, row)
	}
	next.jobs = sync.OnceValue(next.sumJobs)
	x.last = next
	return next
}

// View returns the view that is listed.
func (l *Listing) Snapshot() *store.Snapshot { return l.view }

// nameSets numbers the sets of metric names that groups have. Most groups of a job
// have the same, so that a name need not be looked for in each group.
type nameSets struct {
	mu      sync.Mutex // guards all below
	names   []string   // by number
	numbers map[string]int32
	sets    [][]int32 // names by the number of the set
	known   map[string]int32
	scratch []byte
}

func newNameSets() *nameSets {
	return &nameSets{numbers: map[string]int32{}, known: map[string]int32{}}
}

func (s *nameSets) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.sets)
}

// of returns the number of the set of the group's metric names.
func (s *nameSets) of(g *store.Group) int32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.scratch = s.scratch[:0]
	for _, c := range g.Families {
		name := c.Name()
		number, ok := s.numbers[name]
		if !ok {
			number = int32(len(s.names))
			s.names = append(s.names, name)
			s.numbers[name] = number
		}
		s.scratch = binary.LittleEndian.AppendUint32(s.scratch, uint32(number))
	}
	if set, ok := s.known[string(s.scratch)]; ok {
		return set
	}
	set := make([]int32, 0, len(g.Families))
	for at := 0; at < len(s.scratch); at += 4 {
		set = append(set, int32(binary.LittleEndian.Uint32(s.scratch[at:])))
	}
	number := int32(len(s.sets))
	s.sets = append(s.sets, set)
	s.known[string(s.scratch)] = number
	return number
}

// having returns, by the number of each set, whether one of its names does.
func (s *nameSets) having(does func(name string) bool) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]bool, len(s.names))
	for i, name := range s.names {
		// These two are in every group and say nothing.
		names[i] = name != store.PushTime && name != store.FailureTime && does(name)
	}
	sets := make([]bool, len(s.sets))
	for i, set := range s.sets {
		sets[i] = slices.ContainsFunc(set, func(number int32) bool { return names[number] })
	}
	return sets
}

// Found is what matches a query.
type Found struct {
	// Rows are in the order asked for.
	Rows []*Row
	// Counts are how many groups match by state, whatever state was asked for.
	Counts map[State]int
}

// Find returns the groups that match the query at the given time. Cost: O(groups),
// and sorting those that match.
func (l *Listing) Find(q Query, rejected Rejected, now time.Time) Found {
	found := Found{Counts: map[State]int{}}
	matches := l.compile(&q)
	var counts [len(States)]int
	for i := range l.Rows {
		row := &l.Rows[i]
		if !matches(row) {
			continue
		}
		state := q.StateOf(row.Group, rejected, now)
		counts[slices.Index(States[:], state)]++
		if q.State == Any || q.State == state {
			found.Rows = append(found.Rows, row)
		}
	}
	for i, state := range States {
		found.Counts[state] = counts[i]
	}
	q.sort(found.Rows, rejected, now)
	return found
}

// compile returns whether a row matches all of the query but its state.
func (l *Listing) compile(q *Query) func(*Row) bool {
	var all []func(*Row) bool
	for _, word := range q.words {
		named := l.sets.having(func(name string) bool { return contains(name, word) })
		all = append(all, func(r *Row) bool { return named[r.names] || keyContains(r.Group.Key, word) })
	}
	if len(q.selector) > 0 {
		all = append(all, l.compileSelector(q.selector))
	}
	if len(q.matches) > 0 {
		var any []func(*Row) bool
		for _, matchers := range q.matches {
			any = append(any, l.compileSelector(matchers))
		}
		all = append(all, func(r *Row) bool {
			return slices.ContainsFunc(any, func(matches func(*Row) bool) bool { return matches(r) })
		})
	}
	return func(r *Row) bool {
		for _, matches := range all {
			if !matches(r) {
				return false
			}
		}
		return true
	}
}

// compileSelector returns whether a group matches: its labels, and at least one
// of the names of its metrics.
func (l *Listing) compileSelector(matchers []*labels.Matcher) func(*Row) bool {
	var names, values []*labels.Matcher
	for _, m := range matchers {
		if m.Name == metric.NameLabel {
			names = append(names, m)
		} else {
			values = append(values, m)
		}
	}
	var named []bool
	if len(names) > 0 {
		named = l.sets.having(func(name string) bool {
			return !slices.ContainsFunc(names, func(m *labels.Matcher) bool { return !m.Matches(name) })
		})
	}
	return func(r *Row) bool {
		if named != nil && !named[r.names] {
			return false
		}
		for _, m := range values {
			if !selector.Matches(m, r.Group.Key) {
				return false
			}
		}
		return true
	}
}

// sort orders rows, which are in the order of their IDs. Equal ones stay in it.
func (q *Query) sort(rows []*Row, rejected Rejected, now time.Time) {
	if q.Sort == ByLabels {
		if q.Descending {
			slices.Reverse(rows)
		}
		return
	}
	type keyed struct {
		key int64
		at  int
		row *Row
	}
	all := make([]keyed, len(rows))
	for i, row := range rows {
		all[i] = keyed{q.sortKey(row, rejected, now), i, row}
	}
	slices.SortFunc(all, func(a, b keyed) int {
		c := cmp.Compare(a.key, b.key)
		if q.Descending {
			c = -c
		}
		if c == 0 {
			c = cmp.Compare(a.at, b.at)
		}
		return c
	})
	for i := range all {
		rows[i] = all[i].row
	}
}

func (q *Query) sortKey(r *Row, rejected Rejected, now time.Time) int64 {
	switch q.Sort {
	case BySeries:
		return int64(r.Series)
	case ByBytes:
		return r.Bytes
	case ByPushed:
		return unixNano(r.Group.Pushed)
	case ByFailure:
		return unixNano(rejected.FailedAt(r.Group))
	}
	return int64(slices.Index(States[:], q.StateOf(r.Group, rejected, now)))
}

// unixNano puts what never happened before all that did.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Job is the groups of one job, summed up.
type Job struct {
	Name   string
	Groups int
	Series int
	Bytes  int64
}

// Jobs returns all jobs, in no particular order. The caller must not change them.
func (l *Listing) Jobs() []Job { return l.jobs() }

func (l *Listing) sumJobs() []Job {
	var jobs []Job
	places := map[string]int{}
	for i := range l.Rows {
		r := &l.Rows[i]
		name, _ := r.Group.Key.Value(metric.JobLabel)
		at, known := places[name]
		if !known {
			at = len(jobs)
			places[name] = at
			jobs = append(jobs, Job{Name: name})
		}
		j := &jobs[at]
		j.Groups++
		j.Series += r.Series
		j.Bytes += r.Bytes
	}
	return jobs
}
