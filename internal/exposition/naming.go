package exposition

import (
	"math"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// naming adapts families to a format so that no two of them and no two series
// become one, and so that the format can hold them.
type naming struct {
	scheme      model.EscapingScheme
	openMetrics bool
	held        map[string]bool // names of all families, as they are
	taken       map[string]bool // names of samples given so far
}

func newNaming(view *store.Snapshot, own []*dto.MetricFamily, format expfmt.Format) naming {
	n := naming{
		scheme:      format.ToEscapingScheme(),
		openMetrics: format.FormatType() == expfmt.TypeOpenMetrics,
		held:        map[string]bool{},
		taken:       map[string]bool{},
	}
	_ = eachFamily(view, own, func(f *store.Family, o *dto.MetricFamily) error {
		name, typ := o.GetName(), o.GetType()
		if f != nil {
			name, typ = f.Name, dto.MetricType(f.Type)
		}
		n.held[name] = true
		if metric.LegacyMetricName(name) {
			// Names that are fine as they are go before those that are not.
			n.take(model.EscapeName(name, n.scheme), typ)
		}
		return nil
	})
	return n
}

// sampleNames returns the names of all samples of a family.
func sampleNames(name string, typ dto.MetricType) []string {
	names := []string{name}
	switch typ {
	case dto.MetricType_HISTOGRAM, dto.MetricType_GAUGE_HISTOGRAM:
		names = append(names, name+"_bucket")
		fallthrough
	case dto.MetricType_SUMMARY:
		names = append(names, name+"_count", name+"_sum")
	}
	return names
}

func (n naming) take(name string, typ dto.MetricType) {
	for _, sample := range sampleNames(name, typ) {
		n.taken[sample] = true
	}
}

func (n naming) free(name string, typ dto.MetricType) bool {
	return !slices.ContainsFunc(sampleNames(name, typ), func(sample string) bool { return n.taken[sample] })
}

// adapt returns the families that f is exposed as: itself with its names escaped,
// where need be by the scheme that keeps names apart. It does not change f.
func (n naming) adapt(f *dto.MetricFamily) []*dto.MetricFamily {
	escaped := model.EscapeMetricFamily(f, n.scheme)
	if n.scheme != model.NoEscaping && !distinct(escaped) {
		if escaped = model.EscapeMetricFamily(f, model.ValueEncodingEscaping); !distinct(escaped) {
			return nil // somebody went out of their way to have escaped names beside the real ones
		}
	}
	out := &dto.MetricFamily{Name: escaped.Name, Help: escaped.Help, Type: escaped.Type, Metric: escaped.Metric, Unit: escaped.Unit}
	if n.scheme != model.NoEscaping && !metric.LegacyMetricName(f.GetName()) {
		name := out.GetName()
		if !n.free(name, f.GetType()) {
			name = model.EscapeName(f.GetName(), model.ValueEncodingEscaping)
		}
		for !n.free(name, f.GetType()) {
			name += "_"
		}
		out.Name = &name
		n.take(name, f.GetType())
	}
	if !n.openMetrics {
		return []*dto.MetricFamily{out}
	}
	return n.openMetricsFamilies(out)
}

// openMetricsFamilies makes a family fit OpenMetrics, which has more rules than the
// text format. out may be changed, but not its metrics.
func (n naming) openMetricsFamilies(out *dto.MetricFamily) []*dto.MetricFamily {
	base, total := strings.CutSuffix(out.GetName(), "_total")
	if out.GetType() == dto.MetricType_COUNTER && total && n.held[base] {
		// A counter x_total announces itself as x. Beside another family of that
		// name it keeps its own, as every counter without _total does, at the
		// price of its type.
		counters := out.Metric
		out.Type, out.Metric = dto.MetricType_UNTYPED.Enum(), nil
		for _, m := range counters {
			out.Metric = append(out.Metric, untyped(m.Label, m.Counter.GetValue()))
		}
	}
	if n.held[base+"_created"] {
		out.Metric = withoutCreated(out.Metric)
	}
	if out.Unit != nil && !strings.HasSuffix(base, "_"+out.GetUnit()) {
		out.Unit = nil // units are only allowed as a suffix of the name
	}
	if slices.ContainsFunc(out.Metric, countsInFloats) {
		return histogramSamples(out)
	}
	return []*dto.MetricFamily{out}
}

func untyped(labels []*dto.LabelPair, value float64) *dto.Metric {
	return &dto.Metric{Label: labels, Untyped: &dto.Untyped{Value: &value}}
}

// withoutCreated returns metrics without the times that would be exposed as samples
// called _created.
func withoutCreated(metrics []*dto.Metric) []*dto.Metric {
	out := make([]*dto.Metric, len(metrics))
	for i, m := range metrics {
		m = proto.Clone(m).(*dto.Metric)
		if m.Counter != nil {
			m.Counter.CreatedTimestamp = nil
		}
		if m.Summary != nil {
			m.Summary.CreatedTimestamp = nil
		}
		if m.Histogram != nil {
			m.Histogram.CreatedTimestamp = nil
		}
		out[i] = m
	}
	return out
}

func countsInFloats(m *dto.Metric) bool {
	h := m.GetHistogram()
	return h.GetSampleCountFloat() != 0 || slices.ContainsFunc(h.GetBucket(), func(b *dto.Bucket) bool { return b.GetCumulativeCountFloat() != 0 })
}

// histogramSamples returns the samples of a histogram that counts in floats, which
// OpenMetrics 1.0 lacks, as families of no type, under the names they have in the
// text format.
func histogramSamples(f *dto.MetricFamily) []*dto.MetricFamily {
	family := func(suffix string) *dto.MetricFamily {
		return &dto.MetricFamily{Name: proto.String(f.GetName() + suffix), Help: f.Help, Type: dto.MetricType_UNTYPED.Enum()}
	}
	buckets, counts, sums := family("_bucket"), family("_count"), family("_sum")
	for _, m := range f.Metric {
		h := m.Histogram
		count := h.GetSampleCountFloat()
		if count == 0 {
			count = float64(h.GetSampleCount())
		}
		bucket := func(bound, value float64) {
			le := &dto.LabelPair{Name: proto.String(model.BucketLabel), Value: proto.String(formatBound(bound))}
			buckets.Metric = append(buckets.Metric, untyped(append(slices.Clone(m.Label), le), value))
		}
		infinite := false
		for _, b := range h.Bucket {
			value := b.GetCumulativeCountFloat()
			if value == 0 {
				value = float64(b.GetCumulativeCount())
			}
			bucket(b.GetUpperBound(), value)
			infinite = infinite || math.IsInf(b.GetUpperBound(), +1)
		}
		if !infinite {
			bucket(math.Inf(+1), count)
		}
		counts.Metric = append(counts.Metric, untyped(m.Label, count))
		sums.Metric = append(sums.Metric, untyped(m.Label, h.GetSampleSum()))
	}
	return []*dto.MetricFamily{buckets, counts, sums}
}

// formatBound writes a bucket's bound as OpenMetrics does: always a float.
func formatBound(bound float64) string {
	if math.IsInf(bound, +1) {
		return "+Inf"
	}
	text := strconv.FormatFloat(bound, 'g', -1, 64)
	if !strings.ContainsAny(text, "e.NI") {
		text += ".0"
	}
	return text
}

// distinct reports whether no metric of the family has a label twice and no two
// have the same labels.
func distinct(f *dto.MetricFamily) bool {
	seen := make(map[string]struct{}, len(f.Metric))
	for _, m := range f.Metric {
		labels := make([]metric.Label, len(m.Label))
		names := make(map[string]struct{}, len(m.Label))
		for i, l := range m.Label {
			labels[i] = metric.Label{Name: l.GetName(), Value: l.GetValue()}
			names[l.GetName()] = struct{}{}
		}
		slices.SortFunc(labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
		id := metric.FormatLabels(labels)
		if _, twice := seen[id]; twice || len(names) < len(labels) {
			return false
		}
		seen[id] = struct{}{}
	}
	return true
}
