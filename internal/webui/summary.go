package webui

import (
	"cmp"
	"math"
	"slices"

	"pushgateway/internal/metric"
)

// summaryChart lists the quantiles of a summary, with a bar for each value.
func summaryChart(s *metric.SummaryValue, rows int) chart {
	c := chart{
		Kind: "summary", Count: numberOf(float64(s.Count)), Sum: numberOf(s.Sum), Mean: meanOf(s.Sum, float64(s.Count)),
		Heads: [2]string{"Quantile", "Value"},
	}
	sorted := slices.Clone(s.Quantiles)
	slices.SortFunc(sorted, func(a, b metric.Quantile) int { return cmp.Compare(a.Quantile, b.Quantile) })
	shown := sorted[:min(rows, len(sorted))]
	largest := 0.0
	for _, q := range shown {
		if q.Value > largest && !math.IsInf(q.Value, 0) {
			largest = q.Value
		}
	}
	for _, q := range shown {
		row := chartRow{Name: formatValue(q.Quantile), Value: numberOf(q.Value)}
		if q.Value > 0 && largest > 0 {
			row.Share = percent(min(q.Value/largest, 1))
		}
		c.Rows = append(c.Rows, row)
	}
	c.Hidden = len(sorted) - len(shown)
	return c
}
