package metric

import (
	"strings"

	"github.com/prometheus/common/model"
)

// Names says which metric and label names are allowed.
type Names model.ValidationScheme

const (
	LegacyNames = Names(model.LegacyValidation) // letters, digits, underscores, colons
	UTF8Names   = Names(model.UTF8Validation)   // any UTF-8
)

// ValidMetric tells whether name may name a metric.
func (n Names) ValidMetric(name string) bool {
	return model.ValidationScheme(n).IsValidMetricName(name)
}

// ValidLabel tells whether name may name a label.
func (n Names) ValidLabel(name string) bool {
	return model.ValidationScheme(n).IsValidLabelName(name)
}

// ValidGroupingLabel tells whether name may name a label of a grouping key.
func (n Names) ValidGroupingLabel(name string) bool {
	return n.ValidLabel(name) && !strings.HasPrefix(name, model.ReservedLabelPrefix)
}

// LegacyMetricName tells whether name needs neither quotes nor escaping in any
// exposition format.
func LegacyMetricName(name string) bool { return LegacyNames.ValidMetric(name) }

// LegacyLabelName tells whether name needs neither quotes nor escaping in any
// exposition format.
func LegacyLabelName(name string) bool { return LegacyNames.ValidLabel(name) }
