package webui

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"pushgateway/internal/metric"
)

// coordinate returns the value of a coordinate, which may be a percentage.
func coordinate(t *testing.T, text string) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(strings.TrimSuffix(text, "%"), 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestPlots(t *testing.T) {
	classic := func(counts ...float64) *metric.HistogramValue {
		h := &metric.HistogramValue{}
		for i, n := range counts {
			h.CountFloat += n
			h.Buckets = append(h.Buckets, metric.Bucket{UpperBound: float64(i - 1), CumulativeCountFloat: h.CountFloat})
		}
		return h
	}
	native := func(zero uint64, negative, positive int) *metric.HistogramValue {
		h := &metric.HistogramValue{ZeroThreshold: 1e-100, ZeroCount: zero, Count: zero}
		fill := func(b *metric.NativeBuckets, buckets int) {
			if buckets == 0 {
				return
			}
			b.Spans = []metric.Span{{Offset: 1, Length: uint32(buckets)}} // from 1 on
			b.Deltas = make([]int64, buckets)
			b.Deltas[0] = 1
			h.Count += uint64(buckets)
		}
		fill(&h.Negative, negative)
		fill(&h.Positive, positive)
		return h
	}
	many := make([]float64, 1000)
	many[500] = 7
	for name, c := range map[string]struct {
		h     *metric.HistogramValue
		bars  int
		note  string
		zero  string
		ticks []string // position and text
		scale []string // text
	}{
		"classic": {
			classic(2, 12, 17, 3), 5, "one bar per bucket", "40%",
			[]string{"20% -1", "40% 0", "60% 1", "80% 2", "100% +Inf"}, []string{"0", "5", "10", "15"},
		},
		"nothing": {classic(), 1, "one bar per bucket", "", []string{"100% +Inf"}, []string{"0"}},
		"many":    {classic(many...), 112, "one bar for 9 buckets", "", nil, []string{"0", "2", "4", "6"}},
		"native": {native(0, 0, 10), 10, "one bar per bucket, logarithmic axis", "",
			[]string{"0% 1", "33.22% 10", "66.44% 100", "99.66% 1000"}, nil},
		"mirrored": {native(1, 10, 10), 21, "one bar per bucket, logarithmic axis", "50%", nil, nil},
		"short": {native(0, 0, 2), 2, "one bar per bucket, logarithmic axis", "",
			[]string{"0% 1", "50% 2", "100% 4"}, []string{"0", "0.5", "1"}},
		"all near 0": {native(3, 0, 0), 1, "one bar per bucket, logarithmic axis", "50%", nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			p := histogramChart(c.h, 20).Plot
			if len(p.Bars) != c.bars || p.Note != c.note || p.Zero != c.zero && name != "many" {
				t.Errorf("%d bars, %q, zero at %q", len(p.Bars), p.Note, p.Zero)
			}
			var ticks, scale []string
			for _, tick := range p.Ticks {
				ticks = append(ticks, tick.At+" "+tick.Text)
			}
			for _, tick := range p.Scale {
				scale = append(scale, tick.Text)
			}
			if c.ticks != nil && !slices.Equal(ticks, c.ticks) || c.scale != nil && !slices.Equal(scale, c.scale) {
				t.Errorf("ticks %q, scale %q", ticks, scale)
			}
			if len(ticks) == 0 || len(ticks) > 2*maxTicks || len(scale) > 6 {
				t.Errorf("%d ticks, %d marks on the scale", len(ticks), len(scale))
			}
			numbered := p.Bars[0].Count != ""
			if numbered != (name == "classic" || name == "mirrored" || name == "native" || name == "short" || name == "all near 0") {
				t.Errorf("the bars have numbers: %v", numbered)
			}
			before := -1.0
			for _, b := range p.Bars {
				x, width := coordinate(t, b.X), coordinate(t, b.W)
				if x < before-0.01 || width <= 0 || x+width > 100.01 || coordinate(t, b.Y)+coordinate(t, b.H) != plotGround {
					t.Errorf("a bar at %s, %s wide, after %v", b.X, b.W, before)
				}
				before = x + width
			}
		})
	}
}
