package main

import (
	"bytes"
	"fmt"
	"math"
	"net/http"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	resource "go.opentelemetry.io/proto/otlp/resource/v1"
	"google.golang.org/protobuf/proto"
)

// otlpExport returns an OTLP export, in protobuf, of what a body in the text format has, for a
// group by job and instance. SDKs send it with cumulative temporality.
func otlpExport(body []byte, group int) ([]byte, error) {
	parser := expfmt.NewTextParser(model.LegacyValidation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	var all []*metrics.Metric
	for name, f := range families {
		m := &metrics.Metric{Name: name, Description: f.GetHelp()}
		const cumulative = metrics.AggregationTemporality_AGGREGATION_TEMPORALITY_CUMULATIVE
		switch f.GetType() {
		case dto.MetricType_GAUGE:
			m.Data = &metrics.Metric_Gauge{Gauge: &metrics.Gauge{DataPoints: numbers(f, (*dto.Metric).GetGauge)}}
		case dto.MetricType_COUNTER:
			m.Data = &metrics.Metric_Sum{Sum: &metrics.Sum{
				DataPoints: numbers(f, (*dto.Metric).GetCounter), AggregationTemporality: cumulative, IsMonotonic: true,
			}}
		case dto.MetricType_HISTOGRAM:
			m.Data = &metrics.Metric_Histogram{Histogram: &metrics.Histogram{
				DataPoints: histograms(f), AggregationTemporality: cumulative,
			}}
		default:
			return nil, fmt.Errorf("%s is of type %s", name, f.GetType())
		}
		all = append(all, m)
	}
	job, instance := groupLabels(group)
	identity := []*common.KeyValue{attribute("service.name", job), attribute("service.instance.id", instance)}
	return proto.Marshal(&metrics.MetricsData{ResourceMetrics: []*metrics.ResourceMetrics{{
		Resource:     &resource.Resource{Attributes: identity},
		ScopeMetrics: []*metrics.ScopeMetrics{{Metrics: all}},
	}}})
}

func attribute(key, value string) *common.KeyValue {
	return &common.KeyValue{Key: key, Value: &common.AnyValue{Value: &common.AnyValue_StringValue{StringValue: value}}}
}

func attributes(m *dto.Metric) []*common.KeyValue {
	var all []*common.KeyValue
	for _, l := range m.Label {
		all = append(all, attribute(l.GetName(), l.GetValue()))
	}
	return all
}

// Times of all data points.
const started, measured = 1_700_000_000_000_000_000, 1_700_000_060_000_000_000

// numbers returns the data points of a family whose metrics have the value.
func numbers[V interface{ GetValue() float64 }](f *dto.MetricFamily, value func(*dto.Metric) V) []*metrics.NumberDataPoint {
	var all []*metrics.NumberDataPoint
	for _, m := range f.Metric {
		all = append(all, &metrics.NumberDataPoint{
			Attributes: attributes(m), StartTimeUnixNano: started, TimeUnixNano: measured,
			Value: &metrics.NumberDataPoint_AsDouble{AsDouble: value(m).GetValue()},
		})
	}
	return all
}

func histograms(f *dto.MetricFamily) []*metrics.HistogramDataPoint {
	var all []*metrics.HistogramDataPoint
	for _, m := range f.Metric {
		h := m.Histogram
		p := &metrics.HistogramDataPoint{
			Attributes: attributes(m), StartTimeUnixNano: started, TimeUnixNano: measured,
			Count: h.GetSampleCount(), Sum: proto.Float64(h.GetSampleSum()),
		}
		before := uint64(0)
		for _, b := range h.Bucket {
			p.BucketCounts = append(p.BucketCounts, b.GetCumulativeCount()-before)
			before = b.GetCumulativeCount()
			if !math.IsInf(b.GetUpperBound(), +1) {
				p.ExplicitBounds = append(p.ExplicitBounds, b.GetUpperBound())
			}
		}
		all = append(all, p)
	}
	return all
}

// exportLatency is the median latency of OTLP exports over one connection. They replace the series of
// random groups.
func exportLatency(s server) side {
	var exports [][]byte // by group
	return of(s, func(i *instance) (float64, error) {
		for group := len(exports); group < i.groups; group++ {
			export, err := otlpExport(bodies[group%len(bodies)], group)
			if err != nil {
				return 0, err
			}
			exports = append(exports, export)
		}
		p := i.pusher(0)
		took, err := timed(pushTurn, func() error {
			return p.send(http.MethodPost, "http://"+i.addr+"/api/v1/otlp/v1/metrics", "application/x-protobuf", exports[p.rng.IntN(i.groups)])
		})
		return quantile(took, 0.5), err
	})
}
