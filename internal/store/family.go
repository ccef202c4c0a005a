package store

import (
	"strings"

	"pushgateway/internal/metric"
)

// family is what the store knows of the families of one name in all groups.
type family struct {
	name   string
	typ    metric.Type
	run    run[*EncodedFamily]
	shapes shapes  // of the groups that hold it
	view   *Family // nil once the family has changed
}

// compositeSuffixes are those that the samples of a summary or a histogram bear.
var compositeSuffixes = [...]string{"_count", "_sum", "_bucket"}

// hasSample reports whether a family of the type has samples of this suffix.
func hasSample(typ metric.Type, suffix string) bool {
	return typ.HasBuckets() || typ == metric.Summary && suffix != "_bucket"
}

// cutSampleSuffix splits a name that a sample of a summary or histogram could
// have.
func cutSampleSuffix(name string) (base, suffix string, ok bool) {
	for _, suffix := range compositeSuffixes {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base, suffix, true
		}
	}
	return "", "", false
}
