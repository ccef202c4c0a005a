package search

import (
	"cmp"
	"encoding/binary"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
	"pushgateway/internal/store"
)

// Row is a group with the values that searching and sorting need.
type Row struct {
	// Group is the stored group. If Stored is false, it has no families: nothing is
	// known of the group but that pushes to it were rejected.
	Group  *store.Group
	Stored bool
	Failed time.Time // of the last rejected push; zero if none is known
	Series int       // label sets; a histogram counts once
	Bytes  int64
	names  int32 // number of the set of metric names
}

// Index makes listings of snapshots. It keeps the last one, so that the next costs
// little more than what has changed. It is safe for concurrent use.
type Index struct {
	mu   sync.Mutex // guards last
	last *Listing
}

// Listing is the groups of one snapshot, and those that only rejected pushes are
// known of. It is immutable.
type Listing struct {
	// Version differs for each listing of an Index.
	Version  uint64
	Snapshot *store.Snapshot
	Rows     []Row // ordered by the groups' IDs

	rejected *history.Rejected
	sets     *nameSets
	jobs     func() []Job
}

// List returns the listing of a snapshot and of the rejections known at that time.
// Cost: O(groups), and a look at the families of those that have changed since the
// last listing; O(1) if nothing has changed.
func (x *Index) List(v *store.Snapshot, rejected *history.Rejected) *Listing {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.last != nil && x.last.Snapshot == v && x.last.rejected == rejected {
		return x.last
	}
	next := &Listing{Version: 1, Snapshot: v, rejected: rejected, sets: newNameSets(), Rows: make([]Row, 0, v.Totals.Groups)}
	var old []Row
	if x.last != nil {
		next.Version = x.last.Version + 1
		old = x.last.Rows
		// Drop sets that no group has any more once there are too many.
		if sets := x.last.sets; sets.count() <= 1000+2*len(old) {
			next.sets = sets
		} else {
			old = nil
		}
	}
	others := onlyRejected(v, rejected)
	add := func(g *store.Group, stored bool) {
		for len(old) > 0 && old[0].Group != g && old[0].Group.Key.ID() < g.Key.ID() {
			old = old[1:]
		}
		row := Row{Group: g, Stored: stored}
		if len(old) > 0 && old[0].Group == g {
			row = old[0]
		} else {
			row.names = next.sets.of(g)
			for _, f := range g.Families {
				row.Series += f.Series()
				row.Bytes += int64(f.Size())
			}
		}
		row.Failed = g.Failed
		if at := rejected.At(g.Key.ID()); at.After(g.Failed) {
			row.Failed = at
		}
		next.Rows = append(next.Rows, row)
	}
	for g := range v.Groups() {
		for len(others) > 0 && others[0].Key.ID() < g.Key.ID() {
			add(others[0], false)
			others = others[1:]
		}
		add(g, true)
	}
	for _, g := range others {
		add(g, false)
	}
	next.jobs = sync.OnceValue(next.sumJobs)
	x.last = next
	return next
}

// onlyRejected returns the groups that are not in the snapshot but had pushes
// rejected, ordered by their IDs. They have no families.
func onlyRejected(v *store.Snapshot, rejected *history.Rejected) []*store.Group {
	var groups []*store.Group
	for r := range rejected.All() {
		if v.Group(r.Key) == nil {
			groups = append(groups, &store.Group{Key: r.Key, Failed: r.At})
		}
	}
	slices.SortFunc(groups, func(a, b *store.Group) int { return strings.Compare(a.Key.ID(), b.Key.ID()) })
	return groups
}

// Row returns the row of the group with this key, nil if there is none.
func (l *Listing) Row(key metric.GroupingKey) *Row {
	i, found := slices.BinarySearchFunc(l.Rows, key.ID(), func(r Row, id string) int { return strings.Compare(r.Group.Key.ID(), id) })
	if !found {
		return nil
	}
	return &l.Rows[i]
}

// Only returns the listing of those groups whose keys are allowed. Cost: O(groups).
func (l *Listing) Only(allowed func(metric.GroupingKey) bool) *Listing {
	only := &Listing{Version: l.Version, Snapshot: l.Snapshot, rejected: l.rejected, sets: l.sets}
	for _, row := range l.Rows {
		if allowed(row.Group.Key) {
			only.Rows = append(only.Rows, row)
		}
	}
	only.jobs = sync.OnceValue(only.sumJobs)
	return only
}

// nameSets numbers the distinct sets of metric names. Most groups of a job share a
// set, so that a name is looked up once per set instead of once per group.
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

// of returns the number of the group's set of metric names.
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

// having reports, by the number of each set, whether any of its names matches.
func (s *nameSets) having(matches func(name string) bool) []bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := make([]bool, len(s.names))
	for i, name := range s.names {
		// Every group has these two, so they distinguish nothing.
		names[i] = name != store.PushTime && name != store.FailureTime && matches(name)
	}
	sets := make([]bool, len(s.sets))
	for i, set := range s.sets {
		sets[i] = slices.ContainsFunc(set, func(number int32) bool { return names[number] })
	}
	return sets
}

// Found is the result of a query.
type Found struct {
	Rows []*Row // in the order of the query
	// Counts is the number of matching groups by state, ignoring the query's state.
	Counts map[State]int
}

// Find returns the groups that match the query at the given time. expiry returns when a group
// expires, or the zero time if it does not; it is called only to sort by expiry. Cost: O(groups)
// and sorting the matches.
func (l *Listing) Find(q Query, now time.Time, expiry func(*store.Group) time.Time) Found {
	found := Found{Counts: map[State]int{}}
	matches := l.compile(&q)
	var counts [len(States)]int
	for i := range l.Rows {
		row := &l.Rows[i]
		if !matches(row) {
			continue
		}
		state := q.StateOf(row, now)
		counts[slices.Index(States[:], state)]++
		if q.State == Any || q.State == state {
			found.Rows = append(found.Rows, row)
		}
	}
	for i, state := range States {
		found.Counts[state] = counts[i]
	}
	q.sort(found.Rows, now, expiry)
	return found
}

// compile returns a function that reports whether a row matches the query, ignoring
// the query's state.
func (l *Listing) compile(q *Query) func(*Row) bool {
	var all []func(*Row) bool
	for _, word := range q.words {
		named := l.sets.having(func(name string) bool { return contains(name, word) })
		all = append(all, func(r *Row) bool { return named[r.names] || keyContains(r.Group.Key, word) })
	}
	for _, p := range q.pairs {
		all = append(all, func(r *Row) bool { return p.matches(r.Group.Key) })
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

// compileSelector returns a function that reports whether a group matches: its
// labels and the name of at least one of its metrics.
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

// sort sorts rows, which are in the order of their IDs. The sort is stable.
func (q *Query) sort(rows []*Row, now time.Time, expiry func(*store.Group) time.Time) {
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
		all[i] = keyed{q.sortKey(row, now, expiry), i, row}
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

func (q *Query) sortKey(r *Row, now time.Time, expiry func(*store.Group) time.Time) int64 {
	switch q.Sort {
	case ByExpiry:
		if r.Stored {
			if at := expiry(r.Group); !at.IsZero() {
				return at.UnixNano()
			}
		}
		return math.MaxInt64
	case BySeries:
		return int64(r.Series)
	case ByBytes:
		return r.Bytes
	case ByPushed:
		return unixNano(r.Group.Pushed)
	case ByFailure:
		return unixNano(r.Failed)
	}
	return int64(slices.Index(States[:], q.StateOf(r, now)))
}

// unixNano returns 0 for the zero time, so that it sorts first.
func unixNano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

// Job is the totals of all stored groups of one job.
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
		if !r.Stored {
			continue
		}
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
