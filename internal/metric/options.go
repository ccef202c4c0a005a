package metric

import (
	"slices"
	"strings"
	"time"
)

// Merge says what a push does with the metrics that its group already has.
type Merge uint8

const (
	MergeDefault Merge = iota // as the HTTP method says
	MergeGroup                // the push replaces the whole group
	MergeFamily               // the push replaces families of the same name
	MergeSeries               // the push replaces series of the same name and labels
	MergeSum                  // the push is added to the group
	MergeEach                 // each family is merged as it says itself; see Family.Merge
)

// String returns the value of the option merge.
func (m Merge) String() string {
	switch m {
	case MergeGroup:
		return "group"
	case MergeFamily:
		return "family"
	case MergeSeries:
		return "series"
	case MergeSum:
		return "sum"
	case MergeEach:
		return "each"
	}
	return "default"
}

// GaugeMerge says what becomes of gauges when pushes are added up.
type GaugeMerge uint8

const (
	GaugeDefault GaugeMerge = iota // as GaugeLast
	GaugeLast                      // the value pushed last
	GaugeSum                       // the sum of the values
	GaugeMin                       // the minimum; NaN only if there is no other value
	GaugeMax                       // the maximum; NaN only if there is no other value
)

// Timestamps says what becomes of a push whose samples have timestamps.
type Timestamps uint8

const (
	TimestampsDefault Timestamps = iota // as TimestampsReject
	TimestampsReject                    // it is rejected
	TimestampsDrop                      // it is accepted without them
)

// Expiry says when a group expires. The zero value leaves it open.
type Expiry struct {
	// TTL is how long the group stays after its last successful push; 0 means that
	// it never expires.
	TTL time.Duration
	// Set reports whether TTL is given.
	Set bool
	// KeepPushTimes keeps the two push times of the group when it expires.
	KeepPushTimes bool
}

// LabelNames is a set of names of labels or attributes: sorted, distinct and separated by commas. It is
// comparable.
type LabelNames string

// NewLabelNames returns the set of the names, which must not contain commas.
func NewLabelNames(names ...string) LabelNames {
	names = slices.Clone(names)
	slices.Sort(names)
	return LabelNames(strings.Join(slices.Compact(names), ","))
}

// All returns the names, sorted.
func (n LabelNames) All() []string {
	if n == "" {
		return nil
	}
	return strings.Split(string(n), ",")
}

// Options are the options of a push. The zero value of a field leaves it open.
type Options struct {
	Expiry     Expiry
	Merge      Merge
	Gauges     GaugeMerge
	Timestamps Timestamps
	DropLabels LabelNames // labels that the pushed metrics lose; those of the group stay
	// GroupBy are the labels of metrics, or the attributes of resources, that name their group.
	GroupBy LabelNames
}

// Or returns o, with the options that it leaves open taken from others.
func (o Options) Or(others Options) Options {
	o.Expiry = o.Expiry.Or(others.Expiry)
	if o.Merge == MergeDefault {
		o.Merge = others.Merge
	}
	if o.Gauges == GaugeDefault {
		o.Gauges = others.Gauges
	}
	if o.Timestamps == TimestampsDefault {
		o.Timestamps = others.Timestamps
	}
	if o.DropLabels == "" {
		o.DropLabels = others.DropLabels
	}
	if o.GroupBy == "" {
		o.GroupBy = others.GroupBy
	}
	return o
}

// Or returns e, with what it leaves open taken from other.
func (e Expiry) Or(other Expiry) Expiry {
	if !e.Set {
		e.Set, e.TTL = other.Set, other.TTL
	}
	e.KeepPushTimes = e.KeepPushTimes || other.KeepPushTimes
	return e
}
