package webui

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/histogram"

	"pushgateway/internal/metric"
)

// chart is a histogram or a summary, as a drawing and as a table.
type chart struct {
	Labels []chip
	More   int

	Kind       string // histogram, native histogram, summary
	Title      string // text alternative
	Count, Sum string
	Mean       string // empty if undefined

	Bars []bar  // with titles; empty if there are too many
	Path string // of all bars if Bars is empty, or of the line through quantiles
	Dots string // of a summary's quantiles
	Axis []string

	Heads  [2]string // of the table
	Rows   []chartRow
	Hidden int // rows not shown
}

// bar is a bar of a chart of chartWidth by chartHeight.
type bar struct {
	X, Y, W, H string
	Title      string
}

type chartRow struct{ Name, Value string }

const (
	chartWidth  = 600.0
	chartHeight = 100.0
	// maxTitledBars is the maximum number of bars with titles.
	maxTitledBars = 40
	// maxBars is the maximum number of bars. If there are more buckets, neighbours share
	// a bar.
	maxBars = 300
)

// bucket is a bucket with the number of observations between its bounds.
type bucket struct {
	lower, upper float64
	count        float64
	name         string
	gap          bool // there is space between this bucket and the previous one
}

// histogramChart draws a histogram, by its native buckets if it has any.
func histogramChart(h *metric.HistogramValue, rows int) chart {
	c := chart{
		Kind: "histogram", Count: formatValue(h.Observations()), Sum: formatValue(h.Sum),
		Heads: [2]string{"Bucket", "Observations"},
	}
	var buckets []bucket
	if h.Native() {
		c.Kind = "native histogram"
		buckets = nativeBuckets(h)
	} else {
		buckets = classicBuckets(h)
	}
	if n := h.Observations(); n > 0 && !math.IsNaN(h.Sum) {
		c.Mean = formatShort(h.Sum / n)
	}
	c.draw(buckets)
	for i, b := range buckets {
		if i == rows {
			c.Hidden = len(buckets) - rows
			break
		}
		c.Rows = append(c.Rows, chartRow{b.name, formatValue(b.count)})
	}
	c.Title = fmt.Sprintf("Bar chart of a %s: %s observations in %d buckets", c.Kind, c.Count, len(buckets))
	if largest := maxOf(buckets); largest >= 0 && buckets[largest].count > 0 {
		c.Title += fmt.Sprintf(", most of them, %s, in %s", formatShort(buckets[largest].count), buckets[largest].name)
	}
	return c
}

// classicBuckets returns the pushed buckets and the one to +Inf.
func classicBuckets(h *metric.HistogramValue) []bucket {
	sorted := slices.Clone(h.Buckets)
	slices.SortFunc(sorted, func(a, b metric.Bucket) int {
		switch {
		case a.UpperBound < b.UpperBound:
			return -1
		case a.UpperBound > b.UpperBound:
			return 1
		}
		return 0
	})
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
	for i := 1; i < len(buckets); i++ {
		buckets[i].gap = buckets[i].lower > buckets[i-1].upper*(1+1e-9) && buckets[i].lower-buckets[i-1].upper > 1e-300
	}
	return buckets
}

func maxOf(buckets []bucket) int {
	largest := -1
	for i, b := range buckets {
		if largest < 0 || b.count > buckets[largest].count {
			largest = i
		}
	}
	return largest
}

// draw makes bars of equal width, each for one bucket or for several neighbours.
func (c *chart) draw(buckets []bucket) {
	if len(buckets) == 0 {
		return
	}
	slots := len(buckets)
	for _, b := range buckets {
		if b.gap {
			slots++
		}
	}
	each := (slots + maxBars - 1) / maxBars // slots to a bar
	counts := make([]float64, (slots+each-1)/each)
	at := 0
	places := make([]int, len(buckets))
	for i, b := range buckets {
		if b.gap {
			at++
		}
		places[i] = at / each
		if b.count > 0 && !math.IsInf(b.count, 0) {
			counts[at/each] += b.count
		}
		at++
	}
	highest := slices.Max(counts)
	if highest == 0 {
		highest = 1
	}
	width := chartWidth / float64(len(counts))
	gap := min(width*0.15, 4)
	var path strings.Builder
	drawn := make([]bar, len(counts))
	for i, n := range counts {
		height := n / highest * (chartHeight - 4)
		if n > 0 {
			height = max(height, 1.5)
		}
		x, y, w := float64(i)*width+gap/2, chartHeight-height, width-gap
		drawn[i] = bar{X: short(x), Y: short(y), W: short(w), H: short(height)}
		if n > 0 {
			fmt.Fprintf(&path, "M%s %sh%sv%sh-%sz", short(x), short(y), short(w), short(height), short(w))
		}
	}
	if len(buckets) <= maxTitledBars && each == 1 {
		for i, b := range buckets {
			d := drawn[places[i]]
			d.Title = b.name + ": " + formatValue(b.count)
			c.Bars = append(c.Bars, d)
		}
	} else {
		c.Path = path.String()
	}
	c.Axis = axis(buckets)
}

// axis returns the labels below the chart.
func axis(buckets []bucket) []string {
	first, last := buckets[0], buckets[len(buckets)-1]
	ends := func(b bucket, outer float64) string {
		if math.IsInf(outer, -1) {
			return "≤ " + formatShort(b.upper)
		}
		if math.IsInf(outer, 1) {
			return "> " + formatShort(b.lower)
		}
		return formatShort(outer)
	}
	if len(buckets) == 1 {
		return []string{first.name}
	}
	if len(buckets) < 3 {
		return []string{ends(first, first.lower), ends(last, last.upper)}
	}
	return []string{ends(first, first.lower), formatShort(buckets[len(buckets)/2].upper), ends(last, last.upper)}
}

// short formats a coordinate.
func short(v float64) string {
	s := fmt.Sprintf("%.1f", v)
	return strings.TrimSuffix(s, ".0")
}

// summaryChart draws the quantiles of a summary: φ from left to right, its value
// upwards.
func summaryChart(s *metric.SummaryValue, rows int) chart {
	c := chart{
		Kind: "summary", Count: fmt.Sprint(s.Count), Sum: formatValue(s.Sum), Heads: [2]string{"Quantile", "Value"},
		Title: fmt.Sprintf("Plot of a summary: %d observations, %d quantiles", s.Count, len(s.Quantiles)),
	}
	if s.Count > 0 && !math.IsNaN(s.Sum) {
		c.Mean = formatShort(s.Sum / float64(s.Count))
	}
	sorted := slices.Clone(s.Quantiles)
	slices.SortFunc(sorted, func(a, b metric.Quantile) int {
		switch {
		case a.Quantile < b.Quantile:
			return -1
		case a.Quantile > b.Quantile:
			return 1
		}
		return 0
	})
	low, high := 0.0, 0.0
	var drawable []metric.Quantile
	for i, q := range sorted {
		if i < rows {
			c.Rows = append(c.Rows, chartRow{formatValue(q.Quantile), formatValue(q.Value)})
		}
		if !math.IsNaN(q.Value) && !math.IsInf(q.Value, 0) && q.Quantile >= 0 && q.Quantile <= 1 && len(drawable) < maxBars {
			drawable = append(drawable, q)
			low, high = min(low, q.Value), max(high, q.Value)
		}
	}
	c.Hidden = max(0, len(sorted)-rows)
	if len(drawable) == 0 {
		return c
	}
	if high == low {
		high = low + 1
	}
	var line, dots strings.Builder
	for i, q := range drawable {
		x := 8 + q.Quantile*(chartWidth-16)
		y := 8 + (high-q.Value)/(high-low)*(chartHeight-16)
		command := "L"
		if i == 0 {
			command = "M"
		}
		fmt.Fprintf(&line, "%s%s %s", command, short(x), short(y))
		fmt.Fprintf(&dots, "M%s %sh.01", short(x), short(y))
	}
	c.Path, c.Dots = line.String(), dots.String()
	c.Axis = []string{"minimum", "median", "maximum"}
	last := sorted[len(sorted)-1]
	c.Title += fmt.Sprintf(", from %s at %s to %s at %s", formatShort(sorted[0].Value), formatValue(sorted[0].Quantile),
		formatShort(last.Value), formatValue(last.Quantile))
	return c
}
