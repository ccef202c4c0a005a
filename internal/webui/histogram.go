package webui

import (
	"cmp"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/histogram"

	"pushgateway/internal/metric"
)

// bucket is a bucket with the number of observations between its bounds.
type bucket struct {
	lower, upper float64
	count        float64
	name         string
}

// histogramChart draws a histogram, by its native buckets if it has any.
func histogramChart(h *metric.HistogramValue, rows int) chart {
	c := chart{
		Kind: "histogram", Count: numberOf(h.Observations()), Sum: numberOf(h.Sum), Mean: meanOf(h.Sum, h.Observations()),
		Heads: [2]string{"Bucket", "Observations"},
	}
	var buckets []bucket
	if h.Native() {
		c.Kind = "native histogram"
		buckets = nativeBuckets(h)
	} else {
		buckets = classicBuckets(h)
	}
	for i, b := range buckets {
		if i == rows {
			c.Hidden = len(buckets) - rows
			break
		}
		c.Rows = append(c.Rows, chartRow{Name: b.name, Value: numberOf(b.count)})
	}
	if len(buckets) == 0 {
		return c
	}
	exponential := h.Native() && h.Schema >= minExponentialSchema
	c.Estimates = estimates(buckets, exponential)
	c.Plot = &plot{Title: fmt.Sprintf("Bar chart of a %s: %s observations in %d buckets", c.Kind, c.Count.Text, len(buckets))}
	largest := slices.MaxFunc(buckets, func(a, b bucket) int { return cmp.Compare(a.count, b.count) })
	if largest.count > 0 {
		c.Plot.Title += fmt.Sprintf(", most of them, %s, in %s", formatNumber(largest.count), largest.name)
	}
	each := (len(buckets) + maxBars - 1) / maxBars // buckets to a bar
	if c.Plot.Note = "one bar per bucket"; each > 1 {
		c.Plot.Note = fmt.Sprintf("one bar for %d buckets", each)
	}
	if exponential {
		c.Plot.Note += ", logarithmic axis"
		drawLogarithmic(c.Plot, buckets, each)
	} else {
		drawEvenly(c.Plot, buckets, each)
	}
	return c
}

// minExponentialSchema is the lowest schema of native histograms with exponential buckets.
// Lower ones have buckets of their own choice.
const minExponentialSchema = -4

// classicBuckets returns the pushed buckets and the one to +Inf.
func classicBuckets(h *metric.HistogramValue) []bucket {
	sorted := slices.Clone(h.Buckets)
	slices.SortFunc(sorted, func(a, b metric.Bucket) int { return cmp.Compare(a.UpperBound, b.UpperBound) })
	if n := len(sorted); n == 0 || !math.IsInf(sorted[n-1].UpperBound, 1) {
		sorted = append(sorted, metric.Bucket{UpperBound: math.Inf(1), CumulativeCountFloat: h.Observations()})
	}
	var buckets []bucket
	lower, before := math.Inf(-1), 0.0
	for i := range sorted {
		b := bucket{lower: lower, upper: sorted[i].UpperBound, count: sorted[i].Observations() - before}
		switch {
		case i == 0 && math.IsInf(b.upper, 1):
			b.name = "all"
		case i == 0:
			b.name = "≤ " + formatValue(b.upper)
		case math.IsInf(b.upper, 1):
			b.name = "> " + formatValue(b.lower)
		default:
			b.name = formatValue(b.lower) + " – " + formatValue(b.upper)
		}
		lower, before = b.upper, sorted[i].Observations()
		buckets = append(buckets, b)
	}
	return buckets
}

// nativeBuckets returns the buckets from the lowest to the highest.
func nativeBuckets(h *metric.HistogramValue) []bucket {
	float := (*histogram.FloatHistogram)(nil)
	if h.Float() {
		float = h.NativeFloat()
	} else {
		float = h.NativeInteger().ToFloat(nil)
	}
	var buckets []bucket
	add := func(lower, upper, count float64) {
		name := formatShort(lower) + " – " + formatShort(upper)
		buckets = append(buckets, bucket{lower: lower, upper: upper, count: count, name: name})
	}
	for it := float.NegativeBucketIterator(); it.Next(); {
		b := it.At()
		add(b.Lower, b.Upper, b.Count)
	}
	slices.Reverse(buckets)
	if float.ZeroCount > 0 { // with custom buckets there is no zero bucket
		add(-float.ZeroThreshold, float.ZeroThreshold, float.ZeroCount)
		buckets[len(buckets)-1].name = "near 0"
	}
	for it := float.PositiveBucketIterator(); it.Next(); {
		b := it.At()
		add(b.Lower, b.Upper, b.Count)
	}
	return buckets
}

// drawEvenly gives each bucket the same width, and marks the bounds between them.
func drawEvenly(p *plot, buckets []bucket, each int) {
	bars := (len(buckets) + each - 1) / each
	var spans []span
	var marks []mark
	for i := 0; i < len(buckets); i += each {
		from, to := float64(i/each)/float64(bars), float64(i/each+1)/float64(bars)
		group := buckets[i:min(i+each, len(buckets))]
		spans = append(spans, spanOf(group, from, to))
		lower, upper := group[0].lower, group[len(group)-1].upper
		if i == 0 && !math.IsInf(lower, 0) {
			marks = append(marks, mark{from, formatShort(lower)})
		}
		marks = append(marks, mark{to, formatShort(upper)})
		switch {
		case upper == 0:
			p.Zero = percent(to)
		case lower == 0:
			p.Zero = percent(from)
		}
	}
	p.draw(spans)
	p.mark(thin(marks))
}

// thin leaves out marks, which have equal distances, until there is room for the others.
func thin(marks []mark) []mark {
	var texts []string
	for _, m := range marks {
		texts = append(texts, m.text)
	}
	every := int(math.Ceil(room(texts...)*float64(len(marks)) - 1e-9))
	var kept []mark
	for i, m := range marks {
		if (len(marks)-1-i)%every == 0 {
			kept = append(kept, m)
		}
	}
	return kept
}

// spanOf returns the part of the axis for neighboring buckets.
func spanOf(buckets []bucket, from, to float64) span {
	s := span{from: from, to: to, title: buckets[0].name}
	for _, b := range buckets {
		s.count += b.count
	}
	if len(buckets) > 1 {
		s.title = formatShort(buckets[0].lower) + " – " + formatShort(buckets[len(buckets)-1].upper)
	}
	s.title += ": " + formatNumber(s.count)
	return s
}

// logAxis places values by the logarithm of their size, negative ones mirrored to the left.
// What is closer to 0 than nearest has room of one bucket between them.
type logAxis struct {
	nearest, room float64
	low, high     float64 // unscaled positions of the ends
}

func newLogAxis(buckets []bucket) logAxis {
	a := logAxis{nearest: math.Inf(1)}
	for _, b := range buckets {
		if b.lower > 0 || b.upper < 0 {
			size, other := math.Abs(b.lower), math.Abs(b.upper)
			a.nearest = min(a.nearest, size, other)
			a.room = math.Abs(math.Log(size/other)) / 2
		}
	}
	if math.IsInf(a.nearest, 0) { // only the zero bucket
		a.nearest, a.room = max(buckets[0].upper, math.SmallestNonzeroFloat64), 1
	}
	a.low, a.high = a.unscaled(buckets[0].lower), a.unscaled(buckets[len(buckets)-1].upper)
	return a
}

func (a logAxis) unscaled(v float64) float64 {
	size := math.Abs(v)
	if size <= a.nearest {
		// A zero bucket is drawn as wide as its neighbors leave it, whatever its threshold.
		if v == 0 {
			return 0
		}
		return math.Copysign(a.room, v)
	}
	return math.Copysign(a.room+math.Log(min(size, math.MaxFloat64)/a.nearest), v)
}

// place returns a position from 0 to 1 on the axis, and less or more beyond its ends.
func (a logAxis) place(v float64) float64 { return (a.unscaled(v) - a.low) / (a.high - a.low) }

// drawLogarithmic draws exponential buckets where their bounds are on a logarithmic axis, and
// marks powers of ten, or bounds if there are too few.
func drawLogarithmic(p *plot, buckets []bucket, each int) {
	axis := newLogAxis(buckets)
	var spans []span
	for i := 0; i < len(buckets); i += each {
		group := buckets[i:min(i+each, len(buckets))]
		spans = append(spans, spanOf(group, axis.place(group[0].lower), axis.place(group[len(group)-1].upper)))
	}
	p.draw(spans)

	p.mark(axis.marks(buckets))
	if zero := axis.place(0); zero >= 0 && zero <= 1 {
		p.Zero = percent(zero)
	}
}

// marks returns 0 and powers of ten, or the bounds of buckets if there are few of these.
func (a logAxis) marks(buckets []bucket) []mark {
	var marks []mark
	add := func(v, distance float64) bool {
		at, text := a.place(v), formatShort(v)
		if at < -1e-9 || at > 1+1e-9 || slices.ContainsFunc(marks, func(m mark) bool { return math.Abs(m.at-at) < distance-1e-9 }) {
			return false
		}
		marks = append(marks, mark{at, text})
		return true
	}
	add(0, 0)
	farthest := max(math.Abs(buckets[0].lower), math.Abs(buckets[len(buckets)-1].upper))
	first, last := math.Ceil(math.Log10(a.nearest)-1e-9), math.Floor(math.Log10(farthest)+1e-9)
	distance := room("-"+formatShort(math.Pow(10, first)), formatShort(math.Pow(10, last)))
	step := max(1, math.Ceil(distance*(a.high-a.low)/math.Ln10))
	powers := 0
	for e := last; e >= first; e -= step {
		for _, v := range []float64{math.Pow(10, e), -math.Pow(10, e)} {
			if add(v, distance) {
				powers++
			}
		}
	}
	if powers >= 3 {
		return marks
	}
	marks = nil
	add(0, 0)
	for _, b := range buckets {
		if b.lower > 0 || b.upper < 0 {
			add(b.lower, room(formatShort(b.lower), formatShort(b.upper)))
			add(b.upper, room(formatShort(b.lower), formatShort(b.upper)))
		}
	}
	return marks
}
