package metric

import (
	"strings"
	"unicode/utf8"

	"github.com/prometheus/common/model"
)

// ValidationScheme says which metric and label names are allowed.
type ValidationScheme model.ValidationScheme

const (
	LegacyValidation = ValidationScheme(model.LegacyValidation) // letters, digits, underscores, colons
	UTF8Validation   = ValidationScheme(model.UTF8Validation)   // any UTF-8
)

// ValidMetric reports whether name is a valid metric name. A name with a zero byte is
// not: Prometheus cannot read it.
func (n ValidationScheme) ValidMetric(name string) bool {
	return LegacyMetricName(name) ||
		n == UTF8Validation && name != "" && utf8.ValidString(name) && !strings.Contains(name, "\x00")
}

// ValidLabel reports whether name is a valid label name. A name with a colon is not:
// client libraries write it without the quotes that it needs.
func (n ValidationScheme) ValidLabel(name string) bool {
	return LegacyLabelName(name) ||
		n == UTF8Validation && name != "" && utf8.ValidString(name) && !strings.ContainsAny(name, ":\x00")
}

// Reserved reports whether a label name begins with the two underscores that Prometheus
// reserves for itself.
func Reserved(label string) bool { return strings.HasPrefix(label, model.ReservedLabelPrefix) }

// LegacyMetricName reports whether name is a metric name that needs neither quotes nor
// escaping in any exposition format.
func LegacyMetricName(name string) bool { return consistsOf(name, metricNameByte) }

// LegacyLabelName reports whether name is a label name that needs neither quotes nor
// escaping in any exposition format.
func LegacyLabelName(name string) bool { return consistsOf(name, labelNameByte) }

func consistsOf(name string, class byte) bool {
	if name == "" || nameBytes[name[0]]&digitByte != 0 {
		return false
	}
	for i := range len(name) {
		if nameBytes[name[i]]&class == 0 {
			return false
		}
	}
	return true
}

// MetricNamePrefix returns the length of the longest prefix of s that is a legacy
// metric name.
func MetricNamePrefix(s string) int { return prefixOf(s, metricNameByte) }

// LabelNamePrefix returns the length of the longest prefix of s that is a legacy label
// name.
func LabelNamePrefix(s string) int { return prefixOf(s, labelNameByte) }

func prefixOf(s string, class byte) int {
	if s == "" || nameBytes[s[0]]&digitByte != 0 {
		return 0
	}
	n := 0
	for n < len(s) && nameBytes[s[n]]&class != 0 {
		n++
	}
	return n
}

// Classes of bytes in legacy names.
const (
	metricNameByte byte = 1 << iota
	labelNameByte
	digitByte // may not come first
)

// nameBytes gives the classes of each byte. It never changes.
var nameBytes = func() (classes [256]byte) {
	for c := '0'; c <= '9'; c++ {
		classes[c] = metricNameByte | labelNameByte | digitByte
	}
	for c := 'a'; c <= 'z'; c++ {
		classes[c] = metricNameByte | labelNameByte
		classes[c-'a'+'A'] = classes[c]
	}
	classes['_'] = metricNameByte | labelNameByte
	classes[':'] = metricNameByte
	return classes
}()
