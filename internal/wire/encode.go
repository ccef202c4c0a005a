package wire

import (
	"math"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
)

// For each family, an exposition has a header and then the metrics of each group. That
// holds for the text format and for protobuf, in which a repeated field may come in pieces.
// So the metrics of a group are encoded once, when they are pushed, and copied from then on.

// AppendTextHeader appends the HELP line, if there is a help text, and the TYPE line of
// a family.
func AppendTextHeader(dst []byte, name, help string, typ metric.Type) []byte {
	if help != "" {
		dst = append(dst, "# HELP "...)
		dst = appendName(dst, name)
		dst = append(dst, ' ')
		dst = appendEscaped(dst, help, false)
		dst = append(dst, '\n')
	}
	dst = append(dst, "# TYPE "...)
	dst = appendName(dst, name)
	dst = append(dst, ' ')
	if typ == metric.GaugeHistogram {
		typ = metric.Histogram // the text format has no other
	}
	dst = append(dst, typ.String()...)
	return append(dst, '\n')
}

// AppendText appends the samples of f in the text format, like
// expfmt.MetricFamilyToText.
func AppendText(dst []byte, f *metric.Family) []byte {
	plain := metric.LegacyMetricName(f.Name)
	var scratch [256]byte
	for i := range f.Metrics {
		m := &f.Metrics[i]
		s := sample{name: f.Name, plain: plain, labels: appendLabels(scratch[:0], m.Labels)}
		switch f.Type {
		case metric.Summary:
			for _, q := range m.Summary.Quantiles {
				dst = appendSample(dst, s.bounded("", metric.QuantileLabel, q.Quantile), q.Value)
			}
			dst = appendSample(dst, s.suffixed("_sum"), m.Summary.Sum)
			dst = appendSample(dst, s.suffixed("_count"), float64(m.Summary.Count))
		case metric.Histogram, metric.GaugeHistogram:
			infinite := false
			for j := range m.Histogram.Buckets {
				b := &m.Histogram.Buckets[j]
				dst = appendSample(dst, s.bounded("_bucket", metric.BucketLabel, b.UpperBound), b.Observations())
				infinite = infinite || math.IsInf(b.UpperBound, +1)
			}
			if !infinite {
				dst = appendSample(dst, s.bounded("_bucket", metric.BucketLabel, math.Inf(+1)), m.Histogram.Observations())
			}
			dst = appendSample(dst, s.suffixed("_sum"), m.Histogram.Sum)
			dst = appendSample(dst, s.suffixed("_count"), m.Histogram.Observations())
		default:
			dst = appendSample(dst, s, m.Value)
		}
	}
	return dst
}

// sample is the part before the value of a line in the text format.
type sample struct {
	name       string
	plain      bool // the name needs no quotes, so it goes before the braces
	suffix     string
	labels     []byte // without braces
	boundLabel string // le or quantile; may be empty
	bound      float64
	floatBound bool // the bound is always written as a float, as in OpenMetrics
}

func (s sample) suffixed(suffix string) sample {
	s.suffix = suffix
	return s
}

func (s sample) bounded(suffix, label string, bound float64) sample {
	s.suffix, s.boundLabel, s.bound = suffix, label, bound
	return s
}

func appendSample(dst []byte, s sample, value float64) []byte {
	dst = s.append(dst)
	dst = appendFloat(dst, value)
	return append(dst, '\n')
}

// append appends what comes before the value, with the blank.
func (s sample) append(dst []byte) []byte {
	separator := byte('{')
	if s.plain {
		dst = append(dst, s.name...)
		dst = append(dst, s.suffix...)
	} else {
		dst = append(dst, '{', '"')
		dst = appendEscaped(dst, s.name, true)
		dst = append(dst, s.suffix...)
		dst = append(dst, '"')
		separator = ','
	}
	if len(s.labels) > 0 {
		dst = append(dst, separator)
		dst = append(dst, s.labels...)
		separator = ','
	}
	if s.boundLabel != "" {
		dst = append(dst, separator)
		dst = append(dst, s.boundLabel...)
		dst = append(dst, '=', '"')
		if s.floatBound {
			dst = appendOpenMetricsFloat(dst, s.bound)
		} else {
			dst = appendFloat(dst, s.bound)
		}
		dst = append(dst, '"')
		separator = ','
	}
	if separator == ',' {
		dst = append(dst, '}')
	}
	return append(dst, ' ')
}

func appendLabels(dst []byte, labels []metric.Label) []byte {
	for i, l := range labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		if metric.LegacyLabelName(l.Name) {
			dst = append(dst, l.Name...)
		} else {
			dst = appendQuoted(dst, l.Name)
		}
		dst = append(dst, '=', '"')
		dst = appendEscaped(dst, l.Value, true)
		dst = append(dst, '"')
	}
	return dst
}

// appendName appends a metric's name, in quotes unless it is a legacy name.
func appendName(dst []byte, name string) []byte {
	if metric.LegacyMetricName(name) {
		return append(dst, name...)
	}
	return appendQuoted(dst, name)
}

func appendQuoted(dst []byte, name string) []byte {
	dst = append(dst, '"')
	dst = appendEscaped(dst, name, true)
	return append(dst, '"')
}

func appendEscaped(dst []byte, s string, quotes bool) []byte {
	start := 0
	for i := range len(s) {
		var escape string
		switch s[i] {
		case '\\':
			escape = `\\`
		case '\n':
			escape = `\n`
		case '"':
			if !quotes {
				continue
			}
			escape = `\"`
		default:
			continue
		}
		dst = append(dst, s[start:i]...)
		dst = append(dst, escape...)
		start = i + 1
	}
	return append(dst, s[start:]...)
}

// appendFloat appends v in its shortest form, like expfmt.
func appendFloat(dst []byte, v float64) []byte {
	if n := int64(v); float64(n) == v && n > -1e6 && n < 1e6 {
		return strconv.AppendInt(dst, n, 10) // what 'g' gives, without its cost
	}
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, +1):
		return append(dst, "+Inf"...)
	case math.IsInf(v, -1):
		return append(dst, "-Inf"...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// AppendProtobufHeader appends the fields of a MetricFamily message before its metrics.
func AppendProtobufHeader(dst []byte, name, help, unit string, typ metric.Type) []byte {
	dst = appendString(dst, familyName, name)
	if help != "" {
		dst = appendString(dst, familyHelp, help)
	}
	dst = appendVarint(dst, familyType, uint64(typ))
	if unit != "" {
		dst = appendString(dst, familyUnit, unit)
	}
	return dst
}

// AppendProtobufMetrics appends the metrics of f as fields of a MetricFamily message.
func AppendProtobufMetrics(dst []byte, f *metric.Family) []byte {
	for i := range f.Metrics {
		m := &f.Metrics[i]
		var at int
		dst, at = openMessage(dst, familyMetric)
		for _, l := range m.Labels {
			dst = appendLabel(dst, metricLabel, l)
		}
		switch f.Type {
		case metric.Gauge:
			dst = appendSingleValue(dst, metricGauge, m.Value)
		case metric.Untyped:
			dst = appendSingleValue(dst, metricUntyped, m.Value)
		case metric.Counter:
			dst = appendCounter(dst, m)
		case metric.Summary:
			dst = appendSummary(dst, m)
		case metric.Histogram, metric.GaugeHistogram:
			dst = appendHistogram(dst, m)
		}
		dst = closeMessage(dst, at)
	}
	return dst
}

// openMessage begins a nested message, for closeMessage to end. It leaves one byte for
// the length, since most messages are shorter than 128 bytes.
func openMessage(dst []byte, number protowire.Number) (_ []byte, at int) {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return append(dst, 0), len(dst) + 1
}

// closeMessage ends the nested message that begins at byte at.
func closeMessage(dst []byte, at int) []byte {
	length := len(dst) - at
	extra := protowire.SizeVarint(uint64(length)) - 1
	if extra > 0 {
		dst = append(dst, make([]byte, extra)...)
		copy(dst[at+extra:], dst[at:at+length])
	}
	protowire.AppendVarint(dst[:at-1], uint64(length))
	return dst
}

func appendString(dst []byte, number protowire.Number, s string) []byte {
	dst = protowire.AppendTag(dst, number, protowire.BytesType)
	return protowire.AppendString(dst, s)
}

func appendVarint(dst []byte, number protowire.Number, v uint64) []byte {
	dst = protowire.AppendTag(dst, number, protowire.VarintType)
	return protowire.AppendVarint(dst, v)
}

func appendDouble(dst []byte, number protowire.Number, v float64) []byte {
	dst = protowire.AppendTag(dst, number, protowire.Fixed64Type)
	return protowire.AppendFixed64(dst, math.Float64bits(v))
}

func appendLabel(dst []byte, number protowire.Number, l metric.Label) []byte {
	const short = 60 // so that every length is a single byte
	if len(l.Name) < short && len(l.Value) < short {
		dst = append(dst, byte(number<<3)|byte(protowire.BytesType), byte(4+len(l.Name)+len(l.Value)),
			labelName<<3|byte(protowire.BytesType), byte(len(l.Name)))
		dst = append(dst, l.Name...)
		dst = append(dst, labelValue<<3|byte(protowire.BytesType), byte(len(l.Value)))
		return append(dst, l.Value...)
	}
	dst, at := openMessage(dst, number)
	dst = appendString(dst, labelName, l.Name)
	dst = appendString(dst, labelValue, l.Value)
	return closeMessage(dst, at)
}

func appendSingleValue(dst []byte, number protowire.Number, v float64) []byte {
	dst, at := openMessage(dst, number)
	dst = appendDouble(dst, singleValue, v)
	return closeMessage(dst, at)
}

func appendCounter(dst []byte, m *metric.Metric) []byte {
	dst, at := openMessage(dst, metricCounter)
	dst = appendDouble(dst, singleValue, m.Value)
	if m.Exemplar != nil {
		dst = appendExemplar(dst, counterExemplar, m.Exemplar)
	}
	dst = appendTimestamp(dst, counterCreated, m.Created)
	return closeMessage(dst, at)
}

func appendSummary(dst []byte, m *metric.Metric) []byte {
	dst, at := openMessage(dst, metricSummary)
	dst = appendVarint(dst, summaryCount, m.Summary.Count)
	dst = appendDouble(dst, summarySum, m.Summary.Sum)
	for _, q := range m.Summary.Quantiles {
		var quantile int
		dst, quantile = openMessage(dst, summaryQuantile)
		dst = appendDouble(dst, quantileQuantile, q.Quantile)
		dst = appendDouble(dst, quantileValue, q.Value)
		dst = closeMessage(dst, quantile)
	}
	dst = appendTimestamp(dst, summaryCreated, m.Created)
	return closeMessage(dst, at)
}

func appendHistogram(dst []byte, m *metric.Metric) []byte {
	h := m.Histogram
	dst, at := openMessage(dst, metricHistogram)
	if h.CountFloat != 0 {
		dst = appendDouble(dst, histogramCountFloat, h.CountFloat)
	} else {
		dst = appendVarint(dst, histogramCount, h.Count)
	}
	dst = appendDouble(dst, histogramSum, h.Sum)
	for i := range h.Buckets {
		dst = appendBucket(dst, &h.Buckets[i])
	}
	if h.Native() {
		dst = appendVarint(dst, histogramSchema, protowire.EncodeZigZag(int64(h.Schema)))
		dst = appendDouble(dst, histogramZeroThreshold, h.ZeroThreshold)
		if h.ZeroCountFloat != 0 {
			dst = appendDouble(dst, histogramZeroCountFloat, h.ZeroCountFloat)
		} else {
			dst = appendVarint(dst, histogramZeroCount, h.ZeroCount)
		}
		dst = appendNative(dst, histogramNegativeSpan, &h.Negative)
		dst = appendNative(dst, histogramPositiveSpan, &h.Positive)
	}
	dst = appendTimestamp(dst, histogramCreated, m.Created)
	for i := range h.Exemplars {
		dst = appendExemplar(dst, histogramExemplar, &h.Exemplars[i])
	}
	return closeMessage(dst, at)
}

func appendBucket(dst []byte, b *metric.Bucket) []byte {
	dst, at := openMessage(dst, histogramBucket)
	if b.CumulativeCountFloat != 0 {
		dst = appendDouble(dst, bucketCountFloat, b.CumulativeCountFloat)
	} else {
		dst = appendVarint(dst, bucketCount, b.CumulativeCount)
	}
	dst = appendDouble(dst, bucketBound, b.UpperBound)
	if b.Exemplar != nil {
		dst = appendExemplar(dst, bucketExemplar, b.Exemplar)
	}
	return closeMessage(dst, at)
}

// appendNative appends one side of a native histogram. Its fields have the numbers spans
// (spans), spans+1 (deltas) and spans+2 (counts).
func appendNative(dst []byte, spans protowire.Number, side *metric.NativeBuckets) []byte {
	for _, s := range side.Spans {
		var at int
		dst, at = openMessage(dst, spans)
		dst = appendVarint(dst, spanOffset, protowire.EncodeZigZag(int64(s.Offset)))
		dst = appendVarint(dst, spanLength, uint64(s.Length))
		dst = closeMessage(dst, at)
	}
	for _, d := range side.Deltas {
		dst = appendVarint(dst, spans+1, protowire.EncodeZigZag(d))
	}
	for _, c := range side.Counts {
		dst = appendDouble(dst, spans+2, c)
	}
	return dst
}

func appendExemplar(dst []byte, number protowire.Number, e *metric.Exemplar) []byte {
	dst, at := openMessage(dst, number)
	for _, l := range e.Labels {
		dst = appendLabel(dst, exemplarLabel, l)
	}
	dst = appendDouble(dst, exemplarValue, e.Value)
	dst = appendTimestamp(dst, exemplarTimestamp, e.Timestamp)
	return closeMessage(dst, at)
}

func appendTimestamp(dst []byte, number protowire.Number, t metric.Timestamp) []byte {
	if !t.Set {
		return dst
	}
	dst, at := openMessage(dst, number)
	dst = appendVarint(dst, timestampSeconds, uint64(t.Seconds))
	dst = appendVarint(dst, timestampNanos, uint64(int64(t.Nanos)))
	return closeMessage(dst, at)
}
