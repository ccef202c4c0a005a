package otlp

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"hash"
	"slices"

	"github.com/prometheus/otlptranslator"
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// Numbers of the fields of opentelemetry.proto.metrics.v1 and of the messages around it, by
// message; see https://github.com/open-telemetry/opentelemetry-proto.
const (
	requestResourceMetrics = 1

	resourceMetricsResource = 1
	resourceMetricsScope    = 2

	resourceAttributes = 1

	scopeMetricsMetric = 2

	metricName                 = 1
	metricDescription          = 2
	metricUnit                 = 3
	metricGauge                = 5
	metricSum                  = 7
	metricHistogram            = 9
	metricExponentialHistogram = 10
	metricSummary              = 11

	dataPoints      = 1 // of all kinds of metrics
	dataTemporality = 2
	dataMonotonic   = 3
)

// Values of the enumeration AggregationTemporality.
const (
	temporalityDelta      = 1
	temporalityCumulative = 2
)

// targetInfo is the name of the family with the attributes of the resource.
const targetInfo = "target_info"

// Decode decodes and translates an ExportMetricsServiceRequest. groupBy is called for each
// resource. reserve is called with about how much memory the result takes, in bytes, before it takes
// any. Data points that cannot be translated are counted as rejected; they do not keep others from being
// accepted.
//
// The error is that of reserve, or a *metric.RejectionError: Malformed if the body cannot be
// decoded, TooLarge if it has too many groups. Cost: O(n log n) in the body.
func (t *Translator) Decode(body []byte, encoding Encoding, groupBy GroupBy, reserve func(memory int64) error) (*Request, error) {
	if encoding == JSON {
		var err error
		if body, err = fromJSON(body); err != nil {
			return nil, metric.Reject(metric.Malformed, "the body is no ExportMetricsServiceRequest in JSON: %v", err)
		}
	}
	memory, err := memoryOf(body)
	if err == nil {
		if err := reserve(memory); err != nil {
			return nil, err
		}
	}
	d := decoder{Translator: t, groupBy: groupBy, labelNames: map[string]string{}, byKey: map[string]*builder{}}
	err = protofield.Each(body, func(x protofield.Field) error {
		if !x.Is(requestResourceMetrics, protowire.BytesType) {
			return nil
		}
		return d.resourceMetrics(x.Bytes)
	})
	if rejection, ok := err.(*metric.RejectionError); ok {
		return nil, rejection
	}
	if err != nil {
		return nil, metric.Reject(metric.Malformed, "the body is no ExportMetricsServiceRequest in protobuf: %v", err)
	}
	for _, b := range d.builders {
		if b.finish(); b.Points > 0 || b.Rejected.First != nil {
			d.request.Groups = append(d.request.Groups, &b.Group)
		}
	}
	return &d.request, nil
}

// decoder decodes one request.
type decoder struct {
	*Translator
	groupBy    GroupBy
	request    Request
	labelNames map[string]string // by attribute
	byKey      map[string]*builder
	builders   []*builder // in order
	arena      []metric.Label

	group      *builder    // of the resource that is being decoded
	attributes []attribute // scratch
}

// builder builds what a request has for one group.
type builder struct {
	Group
	byName   map[string]int // index in Families
	promoted []metric.Label // of the resource that is being decoded
	digest   hash.Hash      // of all resources
	timed    bool           // there are deltas, and they have times
}

func (d *decoder) resourceMetrics(message []byte) error {
	var resource part
	err := protofield.Each(message, func(x protofield.Field) error {
		if x.Is(resourceMetricsResource, protowire.BytesType) {
			resource.add(x.Bytes)
		}
		return nil
	})
	if err != nil {
		return err
	}
	attributes, err := decodeAttributes(nil, resource.message, resourceAttributes)
	if err != nil {
		return err
	}
	key, reason := d.key(attributes, d.groupBy)
	if reason == nil {
		reason = d.begin(key, attributes)
	}
	if reason != nil {
		if reason.Reason == metric.TooLarge {
			return reason
		}
		d.request.Rejected.add(countPoints(message), reason)
		return nil
	}
	d.group.digest.Write(message)
	before := d.group.Points
	err = eachMetric(message, d.metric)
	if err != nil {
		return err
	}
	if d.group.Points > before {
		d.addTargetInfo(attributes)
	}
	return nil
}

// eachMetric calls visit for each message Metric of a message ResourceMetrics.
func eachMetric(message []byte, visit func([]byte) error) error {
	return protofield.Each(message, func(x protofield.Field) error {
		if !x.Is(resourceMetricsScope, protowire.BytesType) {
			return nil
		}
		return protofield.Each(x.Bytes, func(x protofield.Field) error {
			if !x.Is(scopeMetricsMetric, protowire.BytesType) {
				return nil
			}
			return visit(x.Bytes)
		})
	})
}

// begin makes the group of the key the one that data points go to.
func (d *decoder) begin(key metric.GroupingKey, resource []attribute) *metric.RejectionError {
	b := d.byKey[key.ID()]
	if b == nil {
		if len(d.builders) == metric.MaxGroups {
			return metric.Reject(metric.TooLarge, "the request is for more than %d groups: export fewer at once", metric.MaxGroups)
		}
		b = &builder{Group: Group{Key: key}, byName: map[string]int{}, digest: sha256.New()}
		d.byKey[key.ID()] = b
		d.builders = append(d.builders, b)
	}
	d.group = b
	b.promoted = nil
	for _, name := range d.config.PromoteResourceAttributes.All() {
		if value := find(resource, name); value != "" {
			label, reason := d.labelName(name)
			if reason != nil {
				return reason
			}
			b.promoted = append(b.promoted, metric.Label{Name: label, Value: value})
		}
	}
	return nil
}

// decodeAttributes appends the attributes in the fields with the number of a message.
func decodeAttributes(dst []attribute, message []byte, number protowire.Number) ([]attribute, error) {
	err := protofield.Each(message, func(x protofield.Field) (err error) {
		if x.Is(number, protowire.BytesType) {
			dst, err = appendAttribute(dst, x.Bytes)
		}
		return err
	})
	return dst, err
}

// countPoints returns how many data points a message ResourceMetrics has.
func countPoints(message []byte) int {
	points := 0
	_ = eachMetric(message, func(m []byte) error { // an error shows once the message is decoded
		d, err := decodeDescription(m)
		points += d.points
		return err
	})
	return points
}

// description is what a message Metric says of its data points.
type description struct {
	name, help, unit string
	kind             protowire.Number // the field with the data; 0 if there are none
	data             part
	points           int
	temporality      uint64
	monotonic        bool
}

func decodeDescription(message []byte) (m description, err error) {
	err = protofield.Each(message, func(x protofield.Field) (err error) {
		switch {
		case x.Is(metricName, protowire.BytesType):
			m.name, err = text(x)
		case x.Is(metricDescription, protowire.BytesType):
			m.help, err = text(x)
		case x.Is(metricUnit, protowire.BytesType):
			m.unit, err = text(x)
		case isData(x):
			if m.kind != x.Number {
				m.kind, m.data = x.Number, part{}
			}
			m.data.add(x.Bytes)
		}
		return err
	})
	if err != nil {
		return m, err
	}
	err = protofield.Each(m.data.message, func(x protofield.Field) error {
		switch {
		case x.Is(dataPoints, protowire.BytesType):
			m.points++
		case m.kind == metricGauge || m.kind == metricSummary:
		case x.Is(dataTemporality, protowire.VarintType):
			m.temporality = x.Bits
		case x.Is(dataMonotonic, protowire.VarintType) && m.kind == metricSum:
			m.monotonic = x.Bits != 0
		}
		return nil
	})
	return m, err
}

func isData(x protofield.Field) bool {
	switch x.Number {
	case metricGauge, metricSum, metricHistogram, metricExponentialHistogram, metricSummary:
		return x.Type == protowire.BytesType
	}
	return false
}

// types returns the type of a metric for its name, and as a family.
func (m *description) types() (otlptranslator.MetricType, metric.Type) {
	switch m.kind {
	case metricGauge:
		return otlptranslator.MetricTypeGauge, metric.Gauge
	case metricSum:
		if m.monotonic {
			return otlptranslator.MetricTypeMonotonicCounter, metric.Counter
		}
		return otlptranslator.MetricTypeNonMonotonicCounter, metric.Gauge
	case metricHistogram:
		return otlptranslator.MetricTypeHistogram, metric.Histogram
	case metricExponentialHistogram:
		return otlptranslator.MetricTypeExponentialHistogram, metric.Histogram
	}
	return otlptranslator.MetricTypeSummary, metric.Summary
}

// merge returns how the values of a metric are merged with those that its group has.
func (m *description) merge() (metric.Merge, *metric.RejectionError) {
	switch {
	case m.kind == metricGauge || m.kind == metricSummary || m.temporality == temporalityCumulative:
		return metric.MergeSeries, nil
	case m.temporality == temporalityDelta:
		return metric.MergeSum, nil
	}
	return 0, metric.Reject(metric.BadValue,
		"the metric %q has the aggregation temporality %d: it must be delta (1) or cumulative (2)", m.name, m.temporality)
}

// metric adds the data points of a message Metric to the group.
func (d *decoder) metric(message []byte) error {
	m, err := decodeDescription(message)
	if err != nil || m.points == 0 {
		return err
	}
	f, reason := d.family(&m)
	if reason != nil {
		d.group.Rejected.add(m.points, reason)
		return nil
	}
	f.Metrics = slices.Grow(f.Metrics, m.points)
	return protofield.Each(m.data.message, func(x protofield.Field) error {
		if !x.Is(dataPoints, protowire.BytesType) {
			return nil
		}
		p := point{family: f}
		if err := d.decodePoint(&p, m.kind, x.Bytes); err != nil {
			return err
		}
		d.addPoint(&p)
		return nil
	})
}

// family returns the group's family for a metric. It is valid until the next call.
func (d *decoder) family(m *description) (*metric.Family, *metric.RejectionError) {
	merge, reason := m.merge()
	if reason != nil {
		return nil, reason
	}
	namedType, typ := m.types()
	name, err := d.metrics.Build(otlptranslator.Metric{Name: m.name, Unit: m.unit, Type: namedType})
	if err == nil && !metric.UTF8Validation.ValidMetric(name) {
		return nil, metric.Reject(metric.BadName, "%q is not a valid metric name: a name must not be empty and have no zero bytes", name)
	}
	if err != nil {
		return nil, metric.Reject(metric.BadName, "the metric %q cannot be named: %v", m.name, err)
	}
	b := d.group
	if at, ok := b.byName[name]; ok {
		switch f := &b.Families[at]; {
		case f.Type != typ:
			return nil, metric.Reject(metric.TypeConflict, "the request has the metric %q twice, as %s and as %s", name, f.Type, typ)
		case f.Merge != merge:
			return nil, metric.Reject(metric.BadMerge, "the request has the metric %q with both temporalities, delta and cumulative", name)
		default:
			return f, nil
		}
	}
	b.byName[name] = len(b.Families)
	unit := otlptranslator.UnitNamer{UTF8Allowed: !Escapes(d.config.Strategy)}
	b.Families = append(b.Families, metric.Family{Name: name, Help: m.help, Unit: unit.Build(m.unit), Type: typ, Merge: merge})
	return &b.Families[len(b.Families)-1], nil
}

// addPoint adds a data point to its family, or counts it as rejected.
func (d *decoder) addPoint(p *point) {
	switch {
	case p.reason == nil && p.noValue: // the series has ended; the group's last value of it stays
		return
	case p.reason == nil:
		p.metric.Labels, p.reason = d.labelsOf(d.attributes, nil)
	}
	if p.reason == nil {
		p.reason = p.check()
	}
	if p.reason != nil {
		d.group.Rejected.add(1, p.reason)
		return
	}
	p.family.Metrics = append(p.family.Metrics, p.metric)
	d.group.Points++
	if p.family.Merge == metric.MergeSum && p.metric.HasTimestamp {
		d.group.timed = true
	}
}

// addTargetInfo adds the attributes of a resource, as Prometheus does: not if it has none but
// those that identify it.
func (d *decoder) addTargetInfo(resource []attribute) {
	identifying := func(key string) bool { return key == serviceName || key == serviceNamespace || key == serviceInstance }
	if !slices.ContainsFunc(resource, func(a attribute) bool { return !identifying(a.key) }) {
		return
	}
	skip := identifying
	if d.config.KeepIdentifyingResourceAttributes {
		skip = nil
	}
	b := d.group
	b.promoted = nil // they are among the others
	labels, reason := d.labelsOf(resource, skip)
	if reason != nil {
		b.Rejected.add(0, reason)
		return
	}
	at, ok := b.byName[targetInfo]
	if !ok {
		at = len(b.Families)
		b.byName[targetInfo] = at
		b.Families = append(b.Families, metric.Family{
			Name: targetInfo, Help: "Target metadata", Type: metric.Gauge, Merge: metric.MergeFamily,
		})
	}
	if f := &b.Families[at]; f.Merge == metric.MergeFamily { // not a metric that happens to have the name
		f.Metrics = append(f.Metrics, metric.Metric{Labels: labels, Value: 1, HasValue: true})
	}
}

// finish sorts the metrics of all families, so that there is one of each series, and counts them.
func (b *builder) finish() {
	b.Points = 0
	b.Families = slices.DeleteFunc(b.Families, func(f metric.Family) bool { return len(f.Metrics) == 0 })
	for i := range b.Families {
		f := &b.Families[i]
		slices.SortStableFunc(f.Metrics, compareMetrics)
		if f.Merge == metric.MergeSum {
			points := len(f.Metrics)
			if err := f.CombineDuplicates(metric.GaugeSum); err != nil {
				f.Metrics = nil
				b.Rejected.add(points, err.(*metric.RejectionError))
			}
		} else {
			f.Metrics = lastOfEach(f.Metrics)
		}
		if f.Merge != metric.MergeFamily { // that is target_info
			b.Points += len(f.Metrics)
		}
	}
	if b.timed {
		b.DeltaKey = "otlp-" + hex.EncodeToString(b.digest.Sum(nil))
	}
}

// compareMetrics orders metrics by labels, and those of one series by time.
func compareMetrics(x, y metric.Metric) int {
	return cmp.Or(metric.CompareLabels(x.Labels, y.Labels), cmp.Compare(x.TimestampMs, y.TimestampMs))
}

// lastOfEach removes all but the last of the metrics with the same labels, which are side by
// side.
func lastOfEach(metrics []metric.Metric) []metric.Metric {
	last := metrics[:0]
	for i := range metrics {
		if n := len(last) - 1; n >= 0 && metric.CompareLabels(last[n].Labels, metrics[i].Labels) == 0 {
			last[n] = metrics[i]
		} else {
			last = append(last, metrics[i])
		}
	}
	return last
}
