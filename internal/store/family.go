package store

import (
	"strings"

	"pushgateway/internal/metric"
)

// family is the index entry of the families of one name in all groups.
type family struct {
	name string
	types
	run run[*EncodedFamily]
	// retyped are the segments of a mixed family by those of run; see segments.
	retyped map[*Segment[*EncodedFamily]]*Segment[*EncodedFamily]
	// shapes are those of the groups that have the family.
	shapes shapes
	view   *Family // in Store.list; nil if the family is not there
	stale  bool    // view is outdated, and the family is in Store.stale
	// announced counts pushes that may add the family; see announce.
	announced int32
}

// compositeSuffixes are the suffixes of the samples of summaries and histograms.
var compositeSuffixes = [...]string{"_count", "_sum", "_bucket"}

// hasSample reports whether a family of the type has samples with this suffix.
func hasSample(typ metric.Type, suffix string) bool {
	return typ.HasBuckets() || typ == metric.Summary && suffix != "_bucket"
}

// cutSampleSuffix splits a name that a sample of a summary or histogram could have.
func cutSampleSuffix(name string) (base, suffix string, ok bool) {
	for _, suffix := range compositeSuffixes {
		if base, ok := strings.CutSuffix(name, suffix); ok && base != "" {
			return base, suffix, true
		}
	}
	return "", "", false
}
