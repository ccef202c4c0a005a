package otlp

import (
	"cmp"
	"encoding/hex"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/prometheus/otlptranslator"
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// Numbers of the fields of data points, by message.
const (
	pointStart = 2 // of all kinds
	pointTime  = 3

	numberDouble     = 4
	numberExemplar   = 5
	numberInt        = 6
	numberAttributes = 7
	numberFlags      = 8

	summaryCount      = 4
	summarySum        = 5
	summaryQuantile   = 6
	summaryAttributes = 7
	summaryFlags      = 8

	quantileQuantile = 1
	quantileValue    = 2

	exemplarTime       = 2
	exemplarDouble     = 3
	exemplarSpan       = 4
	exemplarTrace      = 5
	exemplarInt        = 6
	exemplarAttributes = 7
)

// noRecordedValue is the flag of data points that say that a series has no value any more.
const noRecordedValue = 1

// point is a data point that is being decoded.
type point struct {
	family  *metric.Family
	metric  metric.Metric
	noValue bool // it says that there is no value
	// reason is why it is rejected; nil if it is not.
	reason *metric.RejectionError
}

// reject rejects the point unless it has been.
func (p *point) reject(format string, args ...any) {
	if p.reason == nil {
		p.reason = metric.Reject(metric.BadValue, "a data point of %q "+format, append([]any{p.family.Name}, args...)...)
	}
}

// check rejects labels that the samples of the family have themselves.
func (p *point) check() *metric.RejectionError {
	own := ""
	switch p.family.Type {
	case metric.Histogram:
		own = metric.BucketLabel
	case metric.Summary:
		own = metric.QuantileLabel
	}
	for _, l := range p.metric.Labels {
		if l.Name == own {
			return metric.Reject(metric.ReservedLabel, "a data point of the %s %q has the attribute %q, which its samples have as a label already",
				p.family.Type, p.family.Name, own)
		}
	}
	return nil
}

// decodePoint decodes a data point of a metric whose data are in the field kind. Its
// attributes are in d.attributes then.
func (d *decoder) decodePoint(p *point, kind protowire.Number, message []byte) error {
	d.attributes = d.attributes[:0]
	var err error
	switch kind {
	case metricHistogram:
		err = d.decodeHistogram(p, message)
	case metricExponentialHistogram:
		err = d.decodeExponential(p, message)
	case metricSummary:
		err = d.decodeSummary(p, message)
	default:
		err = d.decodeNumber(p, message)
	}
	if p.family.Type == metric.Gauge {
		p.metric.Created = metric.Timestamp{}
	}
	return err
}

// common decodes a field that all kinds of data points have; attributes and flags have
// different numbers.
func (d *decoder) common(p *point, x protofield.Field, attributes, flags protowire.Number) (err error) {
	switch {
	case x.Is(attributes, protowire.BytesType):
		d.attributes, err = appendAttribute(d.attributes, x.Bytes)
	case x.Is(flags, protowire.VarintType):
		p.noValue = x.Bits&noRecordedValue != 0
	case x.Is(pointStart, protowire.Fixed64Type):
		p.metric.Created = timestamp(x.Bits)
	case x.Is(pointTime, protowire.Fixed64Type):
		p.metric.TimestampMs, p.metric.HasTimestamp = int64(x.Bits/1e6), x.Bits != 0
	}
	return err
}

// timestamp returns a time in nanoseconds since 1970; 0 means that none was given.
func timestamp(nanos uint64) metric.Timestamp {
	if nanos == 0 {
		return metric.Timestamp{}
	}
	return metric.Timestamp{Seconds: int64(nanos / 1e9), Nanos: int32(nanos % 1e9), Set: true}
}

func (d *decoder) decodeNumber(p *point, message []byte) error {
	m := &p.metric
	m.HasValue = true // without a value it is 0, as for Prometheus
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(numberDouble, protowire.Fixed64Type):
			m.Value = x.Float()
		case x.Is(numberInt, protowire.Fixed64Type):
			m.Value = float64(int64(x.Bits))
		case x.Is(numberExemplar, protowire.BytesType) && p.family.Type == metric.Counter:
			e, err := d.decodeExemplar(p, x.Bytes)
			if m.Exemplar == nil || !newer(m.Exemplar, &e) {
				m.Exemplar = &e
			}
			return err
		default:
			return d.common(p, x, numberAttributes, numberFlags)
		}
		return nil
	})
	if p.family.Merge == metric.MergeSum && p.family.Type == metric.Counter && !(m.Value >= 0) {
		p.reject("has the value %v, which cannot be added to a counter", m.Value)
	}
	return err
}

// newer reports whether a is newer than b.
func newer(a, b *metric.Exemplar) bool {
	return a.Timestamp.Seconds > b.Timestamp.Seconds ||
		a.Timestamp.Seconds == b.Timestamp.Seconds && a.Timestamp.Nanos > b.Timestamp.Nanos
}

func (d *decoder) decodeSummary(p *point, message []byte) error {
	s := new(metric.SummaryValue)
	p.metric.Summary = s
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(summaryCount, protowire.Fixed64Type):
			s.Count = x.Bits
		case x.Is(summarySum, protowire.Fixed64Type):
			s.Sum = x.Float()
		case x.Is(summaryQuantile, protowire.BytesType):
			var q metric.Quantile
			err := protofield.Each(x.Bytes, func(x protofield.Field) error {
				switch {
				case x.Is(quantileQuantile, protowire.Fixed64Type):
					q.Quantile = x.Float()
				case x.Is(quantileValue, protowire.Fixed64Type):
					q.Value = x.Float()
				}
				return nil
			})
			s.Quantiles = append(s.Quantiles, q)
			return err
		default:
			return d.common(p, x, summaryAttributes, summaryFlags)
		}
		return nil
	})
	slices.SortStableFunc(s.Quantiles, func(a, b metric.Quantile) int { return cmp.Compare(a.Quantile, b.Quantile) })
	for i, q := range s.Quantiles {
		if math.IsNaN(q.Quantile) || i > 0 && s.Quantiles[i-1].Quantile == q.Quantile {
			p.reject("has the quantile %v, which is NaN or there twice", q.Quantile)
		}
	}
	return err
}

// Labels of exemplars for the IDs of a trace and a span, and how long the labels may be in all,
// by OpenMetrics.
const (
	traceLabel       = "trace_id"
	spanLabel        = "span_id"
	maxExemplarRunes = 128
	maxID            = 16 // bytes
)

// decodeExemplar decodes an exemplar. It has the IDs of the trace and the span, and the
// filtered attributes if there is room for them. One without a value rejects the point, as
// Prometheus does.
func (d *decoder) decodeExemplar(p *point, message []byte) (metric.Exemplar, error) {
	var e metric.Exemplar
	var attributes []attribute
	hasValue := false
	err := protofield.Each(message, func(x protofield.Field) (err error) {
		switch {
		case x.Is(exemplarTime, protowire.Fixed64Type):
			e.Timestamp = timestamp(x.Bits)
		case x.Is(exemplarDouble, protowire.Fixed64Type):
			e.Value, hasValue = x.Float(), true
		case x.Is(exemplarInt, protowire.Fixed64Type):
			e.Value, hasValue = float64(int64(x.Bits)), true
		case x.Is(exemplarTrace, protowire.BytesType):
			e.Labels = setID(e.Labels, traceLabel, x.Bytes)
		case x.Is(exemplarSpan, protowire.BytesType):
			e.Labels = setID(e.Labels, spanLabel, x.Bytes)
		case x.Is(exemplarAttributes, protowire.BytesType):
			attributes, err = appendAttribute(attributes, x.Bytes)
		}
		return err
	})
	if !hasValue {
		p.reject("has an exemplar without a value")
	}
	if err == nil {
		e.Labels = withAttributes(e.Labels, attributes)
	}
	slices.SortFunc(e.Labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
	return e, err
}

// setID sets the label for the ID of a trace or span. One of zeros alone is none.
func setID(labels []metric.Label, name string, id []byte) []metric.Label {
	labels = slices.DeleteFunc(labels, func(l metric.Label) bool { return l.Name == name })
	if len(id) > maxID || !slices.ContainsFunc(id, func(b byte) bool { return b != 0 }) {
		return labels
	}
	return append(labels, metric.Label{Name: name, Value: hex.EncodeToString(id)})
}

// withAttributes returns the labels of an exemplar with the attributes, or without any of them
// if they would be too long.
func withAttributes(labels []metric.Label, attributes []attribute) []metric.Label {
	runes := 0
	for _, l := range labels {
		runes += utf8.RuneCountInString(l.Name) + utf8.RuneCountInString(l.Value)
	}
	all := labels
	for _, a := range attributes {
		if runes += utf8.RuneCountInString(a.key) + utf8.RuneCountInString(a.value); runes > maxExemplarRunes {
			return labels
		}
		name, err := exemplarNamer.Build(a.key)
		if err != nil || !metric.LegacyLabelName(name) || strings.Contains(a.value, "\x00") ||
			slices.ContainsFunc(all, func(l metric.Label) bool { return l.Name == name }) {
			continue // no exposition can have it
		}
		all = append(all, metric.Label{Name: name, Value: a.value})
	}
	return all
}

// exemplarNamer names the labels of exemplars, which no exposition can have in quotes. It
// never changes.
var exemplarNamer = otlptranslator.LabelNamer{PreserveMultipleUnderscores: true}
