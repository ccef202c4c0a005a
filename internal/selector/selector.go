// Package selector matches groups by PromQL selectors.
package selector

import (
	"errors"
	"fmt"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"pushgateway/internal/metric"
)

// Parse parses a series selector as Prometheus does. It is safe for concurrent use.
func Parse(text string) ([]*labels.Matcher, error) {
	matchers, err := parser.NewParser(parser.Options{}).ParseMetricSelector(text)
	if err != nil {
		// Errors after the first one follow from it.
		if errs, ok := errors.AsType[parser.ParseErrors](err); ok && len(errs) > 0 {
			return nil, fmt.Errorf("not a PromQL selector: at character %d: %w", int(errs[0].PositionRange.Start)+1, errs[0].Err)
		}
		return nil, fmt.Errorf("not a PromQL selector: %w", err)
	}
	return matchers, nil
}

// Matches reports whether the key's label satisfies m. A label that the key lacks counts
// as empty. Cost: O(1) in the store.
func Matches(m *labels.Matcher, key metric.GroupingKey) bool {
	value, _ := key.Value(m.Name)
	return m.Matches(value)
}
