// Package metrictest makes grouping keys for tests.
package metrictest

import "pushgateway/internal/metric"

// Key returns the grouping key of pairs of a label name and its value.
func Key(pairs ...string) metric.GroupingKey {
	var labels []metric.Label
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, metric.Label{Name: pairs[i], Value: pairs[i+1]}) // #nosec G602 -- labels come in pairs
	}
	return metric.NewGroupingKey(labels)
}
