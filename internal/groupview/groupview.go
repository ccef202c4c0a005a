// Package groupview resolves what the list, the pages and the API show of groups:
// state, last rejection, expiry and totals. It knows neither HTTP nor HTML nor JSON.
package groupview

import (
	"math"
	"slices"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// Group is one group as it is shown.
type Group struct {
	Key metric.GroupingKey
	// Stored has the group's metrics. It is nil if nothing is known of the group but
	// that pushes to it were rejected.
	Stored *store.Group

	State     search.State
	Pushed    time.Time      // of the last accepted push; zero if there was none
	Failed    time.Time      // of the last rejected push; zero if there was none
	Rejection *history.Event // the last rejected push; nil if it is not known
	Pushes    []history.Event
	Expiry    Expiry
	Families  int
	Series    int // label sets; a histogram counts once
	Bytes     int64
}

// Summed reports whether pushes to the group are added up.
func (g *Group) Summed() bool { return g.Stored != nil && g.Stored.Summed }

// Expired reports whether the group has expired and only its push times are left.
func (g *Group) Expired() bool { return g.Stored != nil && g.Stored.Expired }

// Samples returns the number of samples that a scrape gets of the group as text. Unlike in Series, a
// histogram counts once for each bucket, count and sum. Cost: O(bytes of the group).
func (g *Group) Samples() int {
	if g.Stored == nil {
		return 0
	}
	samples := 0
	for _, f := range g.Stored.Families {
		if f.Type().Scalar() {
			samples += f.Series()
			continue
		}
		metrics := f.Metrics()
		for i := range metrics {
			samples += 2 // sum and count
			if summary := metrics[i].Summary; summary != nil {
				samples += len(summary.Quantiles)
			} else if h := metrics[i].Histogram; h != nil {
				samples += len(h.Buckets)
				if n := len(h.Buckets); n == 0 || !math.IsInf(h.Buckets[n-1].UpperBound, 1) {
					samples++ // the bucket for +Inf
				}
			}
		}
	}
	return samples
}

// Expiry says when a group expires.
type Expiry struct {
	At            time.Time // zero if never
	KeepPushTimes bool      // the two push times stay then
	SetBy         SetBy
}

// SetBy is what set a group's expiry.
type SetBy int

const (
	SetByFlag SetBy = iota
	SetByRule
	SetByPush
)

// Source makes views of the groups. All fields are required, but index. It is safe
// for concurrent use.
type Source struct {
	Store   *store.Store
	History *history.Log
	Now     func() time.Time
	// HasRule reports whether a rule sets the expiry of the group with this key.
	HasRule func(metric.GroupingKey) bool

	index search.Index
}

// View is the groups of one reader at one moment.
type View struct {
	*search.Listing
	Now time.Time

	source *Source
	may    func(metric.GroupingKey) bool // nil if the reader may read all groups
}

// View returns the groups as they are now. Cost: as search.Index.List.
func (s *Source) View() *View {
	return &View{Listing: s.index.List(s.Store.Snapshot(), s.History.Rejected()), Now: s.Now(), source: s}
}

// Only returns the view of a reader who may read no other groups than the allowed ones.
// Nothing in it depends on other groups. Cost: O(groups).
func (v *View) Only(allowed func(metric.GroupingKey) bool) *View {
	return &View{v.Listing.Only(allowed), v.Now, v.source, allowed}
}

// Rejections returns the latest rejections, the newest first. They may be newer than
// the view. Those whose URL named no group are for readers of all groups.
func (v *View) Rejections() []history.Event {
	all := v.source.History.Rejections()
	if v.may == nil {
		return all
	}
	return slices.DeleteFunc(all, func(e history.Event) bool { return e.Key.ID() == "" || !v.may(e.Key) })
}

// Scrapes returns who has scraped the gateway, the latest first.
func (v *View) Scrapes() []history.Scrape { return v.source.History.Scrapes() }

// Totals returns the number of stored groups and what is in them.
func (v *View) Totals() store.Totals {
	if v.may == nil {
		return v.Snapshot.Totals
	}
	var t store.Totals
	for i := range v.Rows {
		if row := &v.Rows[i]; row.Stored {
			t.Groups++
			t.Series += row.Series
			t.Bytes += row.Bytes
		}
	}
	return t
}

// Found is the result of a query.
type Found struct {
	search.Found
	view  *View
	query search.Query
}

// Find returns the groups that match the query. Cost: as search.Listing.Find.
func (v *View) Find(q search.Query) *Found {
	expiry := func(g *store.Group) time.Time {
		at, _ := v.source.Store.ExpiresAt(g)
		return at
	}
	return &Found{v.Listing.Find(q, v.Now, expiry), v, q}
}

// Groups returns the found groups from first to before end, without their Pushes.
// Bounds beyond the number of groups are reduced to it.
func (f *Found) Groups(first, end int) []Group {
	end = min(end, len(f.Rows))
	first = min(first, end)
	groups := make([]Group, 0, end-first)
	for _, row := range f.Rows[first:end] {
		groups = append(groups, f.view.group(row, &f.query))
	}
	return groups
}

// Group returns the group with this key and its recent pushes. ok is false if nothing
// is known of it. Its state counts as old after the given age.
func (v *View) Group(key metric.GroupingKey, age time.Duration) (g Group, ok bool) {
	row := v.Row(key)
	pushes, rejection := v.source.History.Group(key)
	if row == nil {
		return Group{}, false
	}
	g = v.group(row, &search.Query{Age: age})
	g.Pushes, g.Rejection = pushes, rejection
	return g, true
}

func (v *View) group(row *search.Row, q *search.Query) Group {
	g := Group{
		Key: row.Group.Key, State: q.StateOf(row, v.Now), Pushed: row.Group.Pushed, Failed: row.Failed,
		Rejection: v.source.History.LastRejected(row.Group.Key),
		Families:  len(row.Group.Families), Series: row.Series, Bytes: row.Bytes,
	}
	if !row.Stored {
		return g
	}
	g.Stored = row.Group
	g.Expiry.At, g.Expiry.KeepPushTimes = v.source.Store.ExpiresAt(row.Group)
	own := row.Group.Expiry
	switch {
	// A group that holds nothing but push times that are to stay never expires,
	// whatever its last push set.
	case own.Set && g.Expiry.At.IsZero() == (own.TTL == 0):
		g.Expiry.SetBy = SetByPush
	case v.source.HasRule(row.Group.Key):
		g.Expiry.SetBy = SetByRule
	}
	return g
}
