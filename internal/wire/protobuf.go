package wire

import (
	"errors"
	"fmt"
	"math"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
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
	err := eachField(encoded, func(f field) error {
		m, err := decodeMetric(typ, f.bytes)
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
	err := eachField(m[1+n:], func(x field) error {
		if !x.is(metricLabel, protowire.BytesType) {
			return nil
		}
		l, err := decodeLabel(x.bytes)
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

// field is a field of a protobuf message: its number, its wire type, and its content in
// the form of that type.
type field struct {
	number protowire.Number
	typ    protowire.Type
	bits   uint64 // of a varint or fixed-size number
	bytes  []byte // of a string, a message, or packed numbers
}

func (f field) float() float64 { return math.Float64frombits(f.bits) }
func (f field) string() string { return Alias(f.bytes) }

// is reports whether the field has this number and wire type. One of another type is an
// unknown field, as for other readers of protobuf.
func (f field) is(number protowire.Number, typ protowire.Type) bool {
	return f.number == number && f.typ == typ
}

// eachField calls visit for each field of a message.
func eachField(message []byte, visit func(field) error) error {
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if !number.IsValid() {
			return fmt.Errorf("invalid field number %d", number)
		}
		message = message[n:]
		f := field{number: number, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.bits, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, typ, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// eachNumber calls visit for each number of a repeated field, which may be packed.
func eachNumber(f field, typ protowire.Type, visit func(bits uint64)) error {
	if f.typ == typ {
		visit(f.bits)
		return nil
	}
	if f.typ != protowire.BytesType {
		return nil
	}
	for b := f.bytes; len(b) > 0; {
		var bits uint64
		var n int
		if typ == protowire.VarintType {
			bits, n = protowire.ConsumeVarint(b)
		} else {
			bits, n = protowire.ConsumeFixed64(b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		visit(bits)
		b = b[n:]
	}
	return nil
}

// decodeFamily adds a family to the batch, or to several if it is large.
func (p *protobuf) decodeFamily(message []byte) error {
	var f metric.Family
	metrics := 0
	// A metric is decoded by the family's type, which may come after it.
	err := eachField(message, func(x field) error {
		switch {
		case x.is(familyName, protowire.BytesType):
			f.Name = x.string()
		case x.is(familyHelp, protowire.BytesType):
			f.Help = x.string()
		case x.is(familyUnit, protowire.BytesType):
			f.Unit = x.string()
		case x.is(familyType, protowire.VarintType):
			// Unknown types keep a number that no known one has.
			f.Type = metric.Type(min(x.bits, math.MaxUint8))
		case x.is(familyMetric, protowire.BytesType):
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
	err = eachField(message, func(x field) error {
		if !x.is(familyMetric, protowire.BytesType) {
			return nil
		}
		if len(f.Metrics) >= p.batchLimit {
			if err := p.add(f); err != nil {
				return err
			}
			f.Metrics = f.Metrics[:0]
		}
		m, err := decodeMetric(f.Type, x.bytes)
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
	return eachField(message, func(x field) error {
		switch {
		case x.is(metricLabel, protowire.BytesType):
			l, err := decodeLabel(x.bytes)
			m.Labels = append(m.Labels, l)
			return err
		case x.is(metricTimestamp, protowire.VarintType):
			m.TimestampMs, m.HasTimestamp = int64(x.bits), true
		case x.typ == protowire.BytesType && x.number == valueField(typ):
			return decodeValue(m, x)
		case x.typ == protowire.BytesType:
			// Decoded only to find an invalid message.
			return decodeValue(new(metric.Metric), x)
		}
		return nil
	})
}

// TextWriter converts encoded metrics to the text format. Reuse saves allocations. It is
// not safe for concurrent use. The zero value is ready for use.
type TextWriter struct {
	one    [1]metric.Metric // the metric being written
	buffer []byte
}

// Text returns the samples of an encoding by AppendProtobufMetrics in the text format.
// The next call overwrites the result.
func (w *TextWriter) Text(name string, typ metric.Type, encoded []byte) ([]byte, error) {
	w.buffer = w.buffer[:0]
	f := metric.Family{Name: name, Type: typ, Metrics: w.one[:]}
	err := eachField(encoded, func(x field) error {
		m := &w.one[0]
		*m = metric.Metric{Labels: m.Labels[:0], Summary: m.Summary, Histogram: m.Histogram}
		if m.Summary != nil {
			*m.Summary = metric.SummaryValue{Quantiles: m.Summary.Quantiles[:0]}
		}
		if m.Histogram != nil {
			*m.Histogram = metric.HistogramValue{Buckets: m.Histogram.Buckets[:0]}
		}
		if err := decodeMetricInto(m, typ, x.bytes); err != nil {
			return err
		}
		w.buffer = AppendText(w.buffer, &f)
		return nil
	})
	return w.buffer, err
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

func decodeValue(m *metric.Metric, x field) error {
	switch x.number {
	case metricGauge, metricUntyped:
		m.HasValue = true
		return eachField(x.bytes, func(v field) error {
			if v.is(singleValue, protowire.Fixed64Type) {
				m.Value = v.float()
			}
			return nil
		})
	case metricCounter:
		m.HasValue = true
		return decodeCounter(m, x.bytes)
	case metricSummary:
		return decodeSummary(m, x.bytes)
	case metricHistogram:
		return decodeHistogram(m, x.bytes)
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
	err := eachField(message, func(x field) error {
		switch {
		case x.is(labelName, protowire.BytesType):
			l.Name = x.string()
		case x.is(labelValue, protowire.BytesType):
			l.Value = x.string()
		}
		return nil
	})
	return l, err
}

func decodeCounter(m *metric.Metric, message []byte) error {
	return eachField(message, func(x field) error {
		switch {
		case x.is(singleValue, protowire.Fixed64Type):
			m.Value = x.float()
		case x.is(counterExemplar, protowire.BytesType):
			m.Exemplar = new(metric.Exemplar)
			return decodeExemplar(m.Exemplar, x.bytes)
		case x.is(counterCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.bytes)
		}
		return nil
	})
}

func decodeSummary(m *metric.Metric, message []byte) error {
	if m.Summary == nil {
		m.Summary = new(metric.SummaryValue)
	}
	s := m.Summary
	return eachField(message, func(x field) error {
		switch {
		case x.is(summaryCount, protowire.VarintType):
			s.Count = x.bits
		case x.is(summarySum, protowire.Fixed64Type):
			s.Sum = x.float()
		case x.is(summaryCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.bytes)
		case x.is(summaryQuantile, protowire.BytesType):
			var q metric.Quantile
			err := eachField(x.bytes, func(v field) error {
				switch {
				case v.is(quantileQuantile, protowire.Fixed64Type):
					q.Quantile = v.float()
				case v.is(quantileValue, protowire.Fixed64Type):
					q.Value = v.float()
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
	return eachField(message, func(x field) error {
		switch x.number {
		case histogramNegativeDelta, histogramNegativeCount, histogramNegativeSpan:
			return decodeNative(&h.Negative, x, x.number-histogramNegativeSpan)
		case histogramPositiveDelta, histogramPositiveCount, histogramPositiveSpan:
			return decodeNative(&h.Positive, x, x.number-histogramPositiveSpan)
		}
		switch {
		case x.is(histogramCount, protowire.VarintType):
			h.Count = x.bits
		case x.is(histogramCountFloat, protowire.Fixed64Type):
			h.CountFloat = x.float()
		case x.is(histogramSum, protowire.Fixed64Type):
			h.Sum = x.float()
		case x.is(histogramBucket, protowire.BytesType):
			b, err := decodeBucket(x.bytes)
			h.Buckets = append(h.Buckets, b)
			return err
		case x.is(histogramCreated, protowire.BytesType):
			return decodeTimestamp(&m.Created, x.bytes)
		case x.is(histogramSchema, protowire.VarintType):
			h.Schema = int32(protowire.DecodeZigZag(x.bits & math.MaxUint32))
		case x.is(histogramZeroThreshold, protowire.Fixed64Type):
			h.ZeroThreshold = x.float()
		case x.is(histogramZeroCount, protowire.VarintType):
			h.ZeroCount = x.bits
		case x.is(histogramZeroCountFloat, protowire.Fixed64Type):
			h.ZeroCountFloat = x.float()
		case x.is(histogramExemplar, protowire.BytesType):
			var e metric.Exemplar
			err := decodeExemplar(&e, x.bytes)
			h.Exemplars = append(h.Exemplars, e)
			return err
		}
		return nil
	})
}

// decodeNative decodes a field of one side of a native histogram. kind is 0 for spans, 1
// for deltas and 2 for counts.
func decodeNative(side *metric.NativeBuckets, x field, kind protowire.Number) error {
	switch kind {
	case 0:
		if x.typ != protowire.BytesType {
			return nil
		}
		var s metric.Span
		err := eachField(x.bytes, func(v field) error {
			switch {
			case v.is(spanOffset, protowire.VarintType):
				s.Offset = int32(protowire.DecodeZigZag(v.bits & math.MaxUint32))
			case v.is(spanLength, protowire.VarintType):
				s.Length = uint32(v.bits)
			}
			return nil
		})
		side.Spans = append(side.Spans, s)
		return err
	case 1:
		return eachNumber(x, protowire.VarintType, func(bits uint64) {
			side.Deltas = append(side.Deltas, protowire.DecodeZigZag(bits))
		})
	default:
		return eachNumber(x, protowire.Fixed64Type, func(bits uint64) {
			side.Counts = append(side.Counts, math.Float64frombits(bits))
		})
	}
}

func decodeBucket(message []byte) (metric.Bucket, error) {
	var b metric.Bucket
	err := eachField(message, func(x field) error {
		switch {
		case x.is(bucketCount, protowire.VarintType):
			b.CumulativeCount = x.bits
		case x.is(bucketCountFloat, protowire.Fixed64Type):
			b.CumulativeCountFloat = x.float()
		case x.is(bucketBound, protowire.Fixed64Type):
			b.UpperBound = x.float()
		case x.is(bucketExemplar, protowire.BytesType):
			b.Exemplar = new(metric.Exemplar)
			return decodeExemplar(b.Exemplar, x.bytes)
		}
		return nil
	})
	return b, err
}

func decodeExemplar(e *metric.Exemplar, message []byte) error {
	return eachField(message, func(x field) error {
		switch {
		case x.is(exemplarLabel, protowire.BytesType):
			l, err := decodeLabel(x.bytes)
			e.Labels = append(e.Labels, l)
			return err
		case x.is(exemplarValue, protowire.Fixed64Type):
			e.Value = x.float()
		case x.is(exemplarTimestamp, protowire.BytesType):
			return decodeTimestamp(&e.Timestamp, x.bytes)
		}
		return nil
	})
}

func decodeTimestamp(t *metric.Timestamp, message []byte) error {
	t.Set = true
	return eachField(message, func(x field) error {
		switch {
		case x.is(timestampSeconds, protowire.VarintType):
			t.Seconds = int64(x.bits)
		case x.is(timestampNanos, protowire.VarintType):
			t.Nanos = int32(x.bits)
		}
		return nil
	})
}
