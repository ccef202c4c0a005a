package wire

import (
	"errors"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// ParseProtobuf parses a body of delimited io.prometheus.client.MetricFamily messages,
// each after its length as a varint. Families of the same name and type become one.
// Strings of the result alias body. The error is a *metric.RejectionError.
//
// Unknown fields are skipped, as protobuf demands.
func ParseProtobuf(body []byte) ([]metric.Family, error) {
	var whole Families
	err := parseProtobufTo(body, &whole)
	return whole.All, err
}

// parseProtobufTo parses a body like ParseProtobuf and gives it to the sink in batches.
func parseProtobufTo(body []byte, sink Sink) error {
	p := protobuf{sink: sink, batchLimit: batchLimit(sink), byName: map[string]int{}}
	if err := p.parse(body); err != nil {
		return err
	}
	return sink.Done(p.families)
}

// protobuf parses one body.
type protobuf struct {
	sink       Sink
	batchLimit int             // of metrics
	families   []metric.Family // the batch
	byName     map[string]int  // index in families
	metrics    int             // of the batch
}

func (p *protobuf) parse(body []byte) error {
	for offset, message := 0, 1; offset < len(body); message++ {
		length, n := protowire.ConsumeVarint(body[offset:])
		if n < 0 || length > uint64(len(body)-offset-n) {
			return metric.Reject(metric.Malformed, "protobuf message %d at byte %d is cut short or is no delimited MetricFamily",
				message, offset)
		}
		offset += n
		var rejection *metric.RejectionError
		err := p.decodeFamily(body[offset : offset+int(length)])
		if errors.As(err, &rejection) {
			return err
		}
		if err != nil {
			return metric.Reject(metric.Malformed, "protobuf message %d at byte %d is no MetricFamily: %v", message, offset, err)
		}
		offset += int(length)
	}
	return nil
}

// endBatch gives the families to the sink.
func (p *protobuf) endBatch() error {
	err := p.sink.Add(p.families)
	p.families, p.metrics = p.families[:0], 0
	clear(p.byName)
	return err
}

// add adds metrics of a family to the batch.
func (p *protobuf) add(f metric.Family) error {
	at, again := p.byName[f.Name]
	switch {
	case !again:
		p.byName[f.Name] = len(p.families)
		p.families = append(p.families, f)
	case p.families[at].Type != f.Type:
		return metric.Reject(metric.Malformed, "the push has the metric family %q twice, as %s and as %s", f.Name,
			p.families[at].Type, f.Type)
	default:
		p.families[at].Metrics = append(p.families[at].Metrics, f.Metrics...)
	}
	if p.metrics += len(f.Metrics) + 1; p.metrics >= p.batchLimit {
		return p.endBatch()
	}
	return nil
}

// DecodeMetrics decodes count metrics of an encoding by AppendProtobufMetrics. Strings
// of the result alias encoded.
func DecodeMetrics(typ metric.Type, encoded []byte, count int) ([]metric.Metric, error) {
	metrics := make([]metric.Metric, 0, count)
	err := protofield.Each(encoded, func(f protofield.Field) error {
		m, err := decodeMetric(typ, f.Bytes)
		metrics = append(metrics, m)
		return err
	})
	return metrics, err
}

// CutMetric returns the first metric of an encoding by AppendProtobufMetrics, with its
// field number and length, and what follows it.
func CutMetric(encoded []byte) (m, rest []byte) {
	length, n := protowire.ConsumeVarint(encoded[1:])
	end := 1 + n + int(length)
	return encoded[:end:end], encoded[end:]
}

// AppendMetricLabels appends the labels of a metric as CutMetric returns it. They alias
// the metric.
func AppendMetricLabels(dst []metric.Label, m []byte) ([]metric.Label, error) {
	_, n := protowire.ConsumeVarint(m[1:])
	err := protofield.Each(m[1+n:], func(x protofield.Field) error {
		if !x.Is(metricLabel, protowire.BytesType) {
			return nil
		}
		l, err := decodeLabel(x.Bytes)
		dst = append(dst, l)
		return err
	})
	return dst, err
}

// Numbers of the fields of io.prometheus.client, by message; see
// https://github.com/prometheus/client_model/blob/master/io/prometheus/client/metrics.proto.
const (
	familyName   = 1
	familyHelp   = 2
	familyType   = 3
	familyMetric = 4
	familyUnit   = 5

	metricLabel     = 1
	metricGauge     = 2
	metricCounter   = 3
	metricSummary   = 4
	metricUntyped   = 5
	metricTimestamp = 6
	metricHistogram = 7

	labelName  = 1
	labelValue = 2

	singleValue     = 1 // of gauge, counter and untyped
	counterExemplar = 2
	counterCreated  = 3

	summaryCount    = 1
	summarySum      = 2
	summaryQuantile = 3
	summaryCreated  = 4

	quantileQuantile = 1
	quantileValue    = 2

	histogramCount          = 1
	histogramSum            = 2
	histogramBucket         = 3
	histogramCountFloat     = 4
	histogramSchema         = 5
	histogramZeroThreshold  = 6
	histogramZeroCount      = 7
	histogramZeroCountFloat = 8
	histogramNegativeSpan   = 9
	histogramNegativeDelta  = 10
	histogramNegativeCount  = 11
	histogramPositiveSpan   = 12
	histogramPositiveDelta  = 13
	histogramPositiveCount  = 14
	histogramCreated        = 15
	histogramExemplar       = 16

	bucketCount      = 1
	bucketBound      = 2
	bucketExemplar   = 3
	bucketCountFloat = 4

	spanOffset = 1
	spanLength = 2

	exemplarLabel     = 1
	exemplarValue     = 2
	exemplarTimestamp = 3

	timestampSeconds = 1
	timestampNanos   = 2
)

// decodeFamily adds a family to the batch, or to several if it is large.
func (p *protobuf) decodeFamily(message []byte) error {
	var f metric.Family
	metrics := 0
	// A metric is decoded by the family's type, which may come after it.
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(familyName, protowire.BytesType):
			f.Name = x.String()
		case x.Is(familyHelp, protowire.BytesType):
			f.Help = x.String()
		case x.Is(familyUnit, protowire.BytesType):
			f.Unit = x.String()
		case x.Is(familyType, protowire.VarintType):
			// Unknown types keep a number that no known one has.
			f.Type = metric.Type(min(x.Bits, math.MaxUint8))
		case x.Is(familyMetric, protowire.BytesType):
			metrics++
		}
		return nil
	})
	if err != nil {
		return err
	}
	// A metric with a value takes more bytes than this.
	capacity := min(metrics, len(message)/8)
	f.Metrics = make([]metric.Metric, 0, min(capacity, p.batchLimit))
	valueless := false
	err = protofield.Each(message, func(x protofield.Field) error {
		if !x.Is(familyMetric, protowire.BytesType) {
			return nil
		}
		if len(f.Metrics) >= p.batchLimit {
			if err := p.add(f); err != nil {
				return err
			}
			f.Metrics = f.Metrics[:0]
		}
		m, err := decodeMetric(f.Type, x.Bytes)
		if none := !m.HasValue && m.Summary == nil && m.Histogram == nil; !none || !valueless {
			f.Metrics = append(f.Metrics, m)
			valueless = valueless || none // one is enough to reject the family
		}
		return err
	})
	if err != nil {
		return err
	}
	return p.add(f)
}

// decodeMetric decodes a metric. Of its values it keeps the one of the type.
func decodeMetric(typ metric.Type, message []byte) (metric.Metric, error) {
	m := metric.Metric{Labels: make([]metric.Label, 0, countFields(message, metricLabel))}
	return m, decodeMetricInto(&m, typ, message)
}

// decodeMetricInto is decodeMetric into an empty metric, whose memory it uses.
func decodeMetricInto(m *metric.Metric, typ metric.Type, message []byte) error {
	return protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(metricLabel, protowire.BytesType):
			l, err := decodeLabel(x.Bytes)
			m.Labels = append(m.Labels, l)
			return err
		case x.Is(metricTimestamp, protowire.VarintType):
			m.TimestampMs, m.HasTimestamp = int64(x.Bits), true
		case x.Type == protowire.BytesType && x.Number == valueField(typ):
			return decodeValue(m, x)
		case x.Type == protowire.BytesType:
			// Decoded only to find an invalid message.
			return decodeValue(new(metric.Metric), x)
		}
		return nil
	})
}

// TextWriter converts encoded metrics to the text format. Reuse saves allocations. It is
// not safe for concurrent use. The zero value is ready for use.
type TextWriter struct {
	one [1]metric.Metric // the metric being written
}

// Append appends the samples of an encoding by AppendProtobufMetrics in the text format.
func (w *TextWriter) Append(dst []byte, name string, typ metric.Type, encoded []byte) ([]byte, error) {
	f := metric.Family{Name: name, Type: typ, Metrics: w.one[:]}
	err := protofield.Each(encoded, func(x protofield.Field) error {
		m := &w.one[0]
		*m = metric.Metric{Labels: m.Labels[:0], Summary: m.Summary, Histogram: m.Histogram}
		if m.Summary != nil {
			*m.Summary = metric.SummaryValue{Quantiles: m.Summary.Quantiles[:0]}
		}
		if m.Histogram != nil {
			*m.Histogram = metric.HistogramValue{Buckets: m.Histogram.Buckets[:0]}
		}
		if err := decodeMetricInto(m, typ, x.Bytes); err != nil {
			return err
		}
		dst = AppendText(dst, &f)
		return nil
	})
	return dst, err
}

// valueField returns the number of the field with the value of a metric of the type.
func valueField(typ metric.Type) protowire.Number {
	switch typ {
	case metric.Counter:
		return metricCounter
	case metric.Gauge:
		return metricGauge
	case metric.Summary:
		return metricSummary
	case metric.Untyped:
		return metricUntyped
	case metric.Histogram, metric.GaugeHistogram:
		return metricHistogram
	}
	return 0
}

func decodeValue(m *metric.Metric, x protofield.Field) error {
	switch x.Number {
	case metricGauge, metricUntyped:
		m.HasValue = true
		return protofield.Each(x.Bytes, func(v protofield.Field) error {
			if v.Is(singleValue, protowire.Fixed64Type) {
				m.Value = v.Float()
			}
			return nil
		})
	case metricCounter:
		m.HasValue = true
		return decodeCounter(m, x.Bytes)
	case metricSummary:
		return decodeSummary(m, x.Bytes)
	case metricHistogram:
		return decodeHistogram(m, x.Bytes)
	}
	return nil
}

// countFields counts the leading fields of the message with this number and a length of
// at most 127 bytes. It is an estimate, to allocate memory by.
func countFields(message []byte, number protowire.Number) int {
	count := 0
	for at := 0; at+1 < len(message) && message[at] == byte(number<<3)|byte(protowire.BytesType) && message[at+1] < 0x80; count++ {
		at += 2 + int(message[at+1])
	}
	return count
}

func decodeLabel(message []byte) (metric.Label, error) {
	var l metric.Label
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(labelName, protowire.BytesType):
			l.Name = x.String()
		case x.Is(labelValue, protowire.BytesType):
			l.Value = x.String()
		}
		return nil
	})
	return l, err
}

func decodeCounter(m *metric.Metric, message []byte) error {
	return protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(singleValue, protowire.Fixed64Type):
			m.Value = x.Float()
		case x.Is(counterExemplar, protowire.BytesType):
			m.Exemplar = new(metric.Exemplar)
			return decodeExemplar(m.Exemplar, x.Bytes)
		case x.Is(counterCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.Bytes)
		}
		return nil
	})
}

func decodeSummary(m *metric.Metric, message []byte) error {
	if m.Summary == nil {
		m.Summary = new(metric.SummaryValue)
	}
	s := m.Summary
	return protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(summaryCount, protowire.VarintType):
			s.Count = x.Bits
		case x.Is(summarySum, protowire.Fixed64Type):
			s.Sum = x.Float()
		case x.Is(summaryCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.Bytes)
		case x.Is(summaryQuantile, protowire.BytesType):
			var q metric.Quantile
			err := protofield.Each(x.Bytes, func(v protofield.Field) error {
				switch {
				case v.Is(quantileQuantile, protowire.Fixed64Type):
					q.Quantile = v.Float()
				case v.Is(quantileValue, protowire.Fixed64Type):
					q.Value = v.Float()
				}
				return nil
			})
			s.Quantiles = append(s.Quantiles, q)
			return err
		}
		return nil
	})
}

func decodeHistogram(m *metric.Metric, message []byte) error {
	if m.Histogram == nil {
		m.Histogram = new(metric.HistogramValue)
	}
	h := m.Histogram
	return protofield.Each(message, func(x protofield.Field) error {
		switch x.Number {
		case histogramNegativeDelta, histogramNegativeCount, histogramNegativeSpan:
			return decodeNative(&h.Negative, x, x.Number-histogramNegativeSpan)
		case histogramPositiveDelta, histogramPositiveCount, histogramPositiveSpan:
			return decodeNative(&h.Positive, x, x.Number-histogramPositiveSpan)
		}
		switch {
		case x.Is(histogramCount, protowire.VarintType):
			h.Count = x.Bits
		case x.Is(histogramCountFloat, protowire.Fixed64Type):
			h.CountFloat = x.Float()
		case x.Is(histogramSum, protowire.Fixed64Type):
			h.Sum = x.Float()
		case x.Is(histogramBucket, protowire.BytesType):
			b, err := decodeBucket(x.Bytes)
			h.Buckets = append(h.Buckets, b)
			return err
		case x.Is(histogramCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.Bytes)
		case x.Is(histogramSchema, protowire.VarintType):
			h.Schema = int32(protowire.DecodeZigZag(x.Bits & math.MaxUint32))
		case x.Is(histogramZeroThreshold, protowire.Fixed64Type):
			h.ZeroThreshold = x.Float()
		case x.Is(histogramZeroCount, protowire.VarintType):
			h.ZeroCount = x.Bits
		case x.Is(histogramZeroCountFloat, protowire.Fixed64Type):
			h.ZeroCountFloat = x.Float()
		case x.Is(histogramExemplar, protowire.BytesType):
			var e metric.Exemplar
			err := decodeExemplar(&e, x.Bytes)
			h.Exemplars = append(h.Exemplars, e)
			return err
		}
		return nil
	})
}

// decodeNative decodes a field of one side of a native histogram. kind is 0 for spans, 1
// for deltas and 2 for counts.
func decodeNative(side *metric.NativeBuckets, x protofield.Field, kind protowire.Number) error {
	switch kind {
	case 0:
		if x.Type != protowire.BytesType {
			return nil
		}
		var s metric.Span
		err := protofield.Each(x.Bytes, func(v protofield.Field) error {
			switch {
			case v.Is(spanOffset, protowire.VarintType):
				s.Offset = int32(protowire.DecodeZigZag(v.Bits & math.MaxUint32))
			case v.Is(spanLength, protowire.VarintType):
				s.Length = uint32(v.Bits)
			}
			return nil
		})
		side.Spans = append(side.Spans, s)
		return err
	case 1:
		return protofield.EachNumber(x, protowire.VarintType, func(bits uint64) {
			side.Deltas = append(side.Deltas, protowire.DecodeZigZag(bits))
		})
	default:
		return protofield.EachNumber(x, protowire.Fixed64Type, func(bits uint64) {
			side.Counts = append(side.Counts, math.Float64frombits(bits))
		})
	}
}

func decodeBucket(message []byte) (metric.Bucket, error) {
	var b metric.Bucket
	err := protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(bucketCount, protowire.VarintType):
			b.CumulativeCount = x.Bits
		case x.Is(bucketCountFloat, protowire.Fixed64Type):
			b.CumulativeCountFloat = x.Float()
		case x.Is(bucketBound, protowire.Fixed64Type):
			b.UpperBound = x.Float()
		case x.Is(bucketExemplar, protowire.BytesType):
			b.Exemplar = new(metric.Exemplar)
			return decodeExemplar(b.Exemplar, x.Bytes)
		}
		return nil
	})
	return b, err
}

func decodeExemplar(e *metric.Exemplar, message []byte) error {
	return protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(exemplarLabel, protowire.BytesType):
			l, err := decodeLabel(x.Bytes)
			e.Labels = append(e.Labels, l)
			return err
		case x.Is(exemplarValue, protowire.Fixed64Type):
			e.Value = x.Float()
		case x.Is(exemplarTimestamp, protowire.BytesType):
			return decodeTimestamp(&e.Timestamp, x.Bytes)
		}
		return nil
	})
}

func decodeTimestamp(t *metric.Timestamp, message []byte) error {
	t.Set = true
	return protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(timestampSeconds, protowire.VarintType):
			t.Seconds = int64(x.Bits)
		case x.Is(timestampNanos, protowire.VarintType):
			t.Nanos = int32(x.Bits)
		}
		return nil
	})
}
