package metric

import "time"

// Merge is what becomes of what a group holds already when it is pushed to.
type Merge uint8

const (
	MergeDefault Merge = iota // as the method of the push says
	MergeGroup                // the push replaces the whole group
	MergeFamily               // the push replaces families of the same names
	MergeSeries               // the push replaces series of the same names and labels
	MergeSum                  // the push is added to what is there
)

// String returns the name that the option has for people.
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
	}
	return "default"
}

// GaugeSum is what becomes of gauges when pushes are added up.
type GaugeMerge uint8

const (
	GaugeDefault GaugeMerge = iota // as GaugeLast
	GaugeLast                      // the value pushed last
	GaugeSum                       // the sum of the values
	GaugeMin                       // the least value; NaN only where there is no other
	GaugeMax                       // the greatest value; NaN only where there is no other
)

// Timestamps is what becomes of a push whose samples carry timestamps.
type Timestamps uint8

const (
	TimestampsDefault Timestamps = iota // as TimestampsReject
	TimestampsReject                    // it is rejected
	TimestampsDrop                      // it is taken without them
)

// Lifetime says when a group ends. The zero value says nothing.
type Expiry struct {
	// Limited reports whether TTL says anything.
	Set bool
	// TTL is how long the group stays after its last successful push; 0 for ever.
	TTL time.Duration
	// KeepTimes leaves the group its two push times when it ends.
	KeepPushTimes bool
}

// Options say how a push is to be taken. The zero value of a field leaves it open.
type Options struct {
	Expiry     Expiry
	Merge      Merge
	Gauges     GaugeMerge
	Timestamps Timestamps
}

// Or returns the options with what they leave open taken from others.
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
	return o
}

// Or returns the lifetime with what it leaves open taken from another.
func (l Expiry) Or(other Expiry) Expiry {
	if !l.Set {
		l.Set, l.TTL = other.Set, other.TTL
	}
	l.KeepPushTimes = l.KeepPushTimes || other.KeepPushTimes
	return l
}
