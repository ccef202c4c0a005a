package store

import (
	"slices"
	"strings"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

// PushOptions say how a push changes its group.
type PushOptions struct {
	// Merge says what stays of the group's metrics; the zero value is as
	// metric.MergeGroup.
	Merge metric.Merge
	// Gauges says how metric.MergeSum merges gauges.
	Gauges metric.GaugeMerge
	// Reset has metric.MergeSum replace a group that was not summed so far. Otherwise
	// the push is rejected.
	Reset bool
	// Expiry is what the push sets itself; the ExpiryPolicy sets the rest.
	Expiry metric.Expiry
	// DropTimestamps drops timestamps. Otherwise a push that has any is rejected.
	DropTimestamps bool
	// DropLabels are the names of labels to drop from metrics, sorted. Labels of the group stay.
	// With metric.MergeSum, metrics that are then the same series are added up.
	DropLabels []string
	// IdempotencyKey makes the push have no effect if one with the same key was applied
	// to the group within ReplayWindow; empty for none.
	IdempotencyKey string
	// Limits bound the push and its group. limits.Groups and limits.TotalSeries are
	// ignored; see Quota.
	Limits limits.Limits
}

// mergeOf returns how the push merges a family with that of its group.
func (o *PushOptions) mergeOf(f *metric.Family) metric.Merge {
	if o.Merge == metric.MergeEach {
		return f.Merge
	}
	return o.Merge
}

// sums reports whether the push adds up any of its families.
func (p *Push) sums() bool {
	return slices.ContainsFunc(p.families, func(f metric.Family) bool { return p.options.mergeOf(&f) == metric.MergeSum })
}

// Push is a push that is ready to be applied. It has been checked on its own and encoded.
// That is most of its cost, and does not need the store.
type Push struct {
	key      metric.GroupingKey
	shape    shape // of key
	at       time.Time
	options  PushOptions
	families []metric.Family // as normalized, sorted by name; without metrics if the push is large
	encoded  []EncodedFamily // of families
	times    []EncodedFamily // the failure time of a group without rejected pushes, and the push time
	dropped  int             // timestamps
}

// metrics returns the metrics of a pushed family, sorted. Cost: O(bytes) for a large push.
func (p *Push) metrics(i int) []metric.Metric {
	if m := p.families[i].Metrics; m != nil {
		return m
	}
	return p.encoded[i].Metrics()
}

// Key returns the key of the group the push goes to.
func (p *Push) Key() metric.GroupingKey { return p.key }

// DroppedTimestamps returns how many samples are accepted without their timestamps.
func (p *Push) DroppedTimestamps() int { return p.dropped }

// replaces reports whether nothing stays of the old state of the group.
func (p *Push) replaces(old *Group) bool {
	switch p.options.Merge {
	case metric.MergeDefault, metric.MergeGroup:
		return true
	case metric.MergeSum:
		return p.options.Reset && old != nil && !old.Summed
	}
	return false
}

// groupFamilies returns the encoded families and the two push times, sorted by name. old is
// the group to which they go, nil if there is none yet.
func (p *Push) groupFamilies(old *Group) []*EncodedFamily {
	all := make([]*EncodedFamily, 0, len(p.encoded)+pushTimeFamilies)
	times := [...]*EncodedFamily{&p.times[0], &p.times[1]} // sorted by name
	times[0].time = p.at.UnixNano()
	if failed := old.Family(FailureTime); failed != nil && old.Failed.IsZero() {
		// Use this push's family with the old time: the old family shares its memory with other
		// families of an earlier push.
		times[0].time = failed.time
	} else if failed != nil {
		times[0] = failed
	}
	rest := times[:]
	for i := range p.encoded {
		for len(rest) > 0 && rest[0].Name() < p.families[i].Name {
			all, rest = append(all, rest[0]), rest[1:]
		}
		all = append(all, &p.encoded[i])
	}
	return append(all, rest...)
}

// find returns the index of the pushed family of this name, and whether there is one.
func (p *Push) find(name string) (i int, found bool) {
	return slices.BinarySearchFunc(p.families, name, func(f metric.Family, name string) int { return strings.Compare(f.Name, name) })
}
