package metric_test

import (
	"math"
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
)

var key = metrictest.Key

func TestNormalizeMergesLabels(t *testing.T) {
	for _, c := range []struct {
		key  metric.GroupingKey
		own  []metric.Label
		want string
	}{
		{key("job", "j"), nil, `{instance="",job="j"}`},
		{key("job", "j", "instance", "i"), nil, `{instance="i",job="j"}`},
		{key("job", "j"), []metric.Label{{"instance", "own"}}, `{instance="own",job="j"}`},
		{key("job", "j", "instance", "i"), []metric.Label{{"instance", "own"}, {"job", "own"}}, `{instance="i",job="j"}`},
		{key("job", "j", "a", "1", "z", "2"), []metric.Label{{"m", "3"}, {"b", "4"}}, `{a="1",b="4",instance="",job="j",m="3",z="2"}`},
	} {
		f := metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{{Labels: c.own, HasValue: true}}}
		var n metric.Normalizer
		n.Reset(c.key)
		if err := n.Normalize(&f); err != nil || metric.FormatLabels(f.Metrics[0].Labels) != c.want {
			t.Errorf("%s with %v: got %s, %v, want %s", c.key, c.own, metric.FormatLabels(f.Metrics[0].Labels), err, c.want)
		}
	}
}

func TestNormalizeRejects(t *testing.T) {
	gauge := func(m metric.Metric) metric.Family {
		m.HasValue = true
		return metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{m}}
	}
	counter := func(e metric.Exemplar) metric.Family {
		return metric.Family{Name: "m_total", Type: metric.Counter, Metrics: []metric.Metric{{HasValue: true, Exemplar: &e}}}
	}
	histogram := func(h metric.HistogramValue) metric.Family {
		return metric.Family{Name: "m", Type: metric.Histogram, Metrics: []metric.Metric{{Histogram: &h}}}
	}
	for name, c := range map[string]struct {
		family metric.Family
		reason metric.Reason
	}{
		"reserved label":      {gauge(metric.Metric{Labels: []metric.Label{{"__x", "1"}}}), metric.BadName},
		"label with a colon":  {gauge(metric.Metric{Labels: []metric.Label{{"a:b", "1"}}}), metric.BadName},
		"name with zero byte": {metric.Family{Name: "a\x00", Type: metric.Gauge}, metric.BadName},
		"label not UTF-8":     {gauge(metric.Metric{Labels: []metric.Label{{"a", "\xff"}}}), metric.BadUTF8},
		"exemplar label name": {counter(metric.Exemplar{Labels: []metric.Label{{"a:b", "1"}}}), metric.BadName},
		"exemplar zero byte":  {counter(metric.Exemplar{Labels: []metric.Label{{"a", "\x00"}}}), metric.BadUTF8},
		"exemplar far future": {counter(metric.Exemplar{Timestamp: metric.Timestamp{Seconds: math.MaxInt64, Set: true}}), metric.BadValue},
		"exemplar nanos":      {counter(metric.Exemplar{Timestamp: metric.Timestamp{Nanos: -5, Set: true}}), metric.BadValue},
		"created far future":  {gauge(metric.Metric{Created: metric.Timestamp{Seconds: 1 << 60, Set: true}}), metric.BadValue},
		"negative count":      {histogram(metric.HistogramValue{CountFloat: -1}), metric.BadValue},
		"negative bucket":     {histogram(metric.HistogramValue{Buckets: []metric.Bucket{{CumulativeCountFloat: -2.5}}}), metric.BadValue},
		"NaN bounds twice": {histogram(metric.HistogramValue{Buckets: []metric.Bucket{{UpperBound: math.NaN()},
			{UpperBound: math.NaN()}}}), metric.DuplicateSeries},
		"unknown type": {metric.Family{Name: "m", Type: 17}, metric.BadValue},
		"value of other type": {metric.Family{Name: "m", Type: metric.Summary, Metrics: []metric.Metric{{HasValue: true}}},
			metric.BadValue},
		"same series, unsorted": {metric.Family{Name: "m", Type: metric.Gauge, Metrics: []metric.Metric{
			{HasValue: true, Labels: []metric.Label{{"a", "1"}}}, {HasValue: true}, {HasValue: true,
				Labels: []metric.Label{{"a", "1"}}}}}, metric.DuplicateSeries},
	} {
		t.Run(name, func(t *testing.T) {
			var n metric.Normalizer
			n.Reset(key("job", "j"))
			err, _ := n.Normalize(&c.family).(*metric.RejectionError)
			if err == nil || err.Reason != c.reason {
				t.Errorf("got %v, want reason %s", err, c.reason)
			}
		})
	}
}

func TestRejectionsAreShort(t *testing.T) {
	err := metric.Reject(metric.BadName, "%q is too long: shorten it", strings.Repeat("ä", 1<<20))
	if len(err.Message) > 2100 || !strings.HasSuffix(err.Message, "shorten it") || !strings.HasPrefix(err.Message, `"ä`) {
		t.Errorf("%d bytes: %.100q … %q", len(err.Message), err.Message, err.Message[max(0, len(err.Message)-50):])
	}
}

func TestGroupPath(t *testing.T) {
	for _, c := range []struct {
		key  metric.GroupingKey
		want string
	}{
		{key("job", "a"), "/metrics/job/a"},
		{key("job", "a b", "z", "1", "c", "ü"), "/metrics/job/a%20b/c/%C3%BC/z/1"},
		{key("job", "a", "path", "/var/tmp"), "/metrics/job/a/path@base64/L3Zhci90bXA"},
		{key("job", "a", "l", ""), "/metrics/job/a/l@base64/="},
		{key("job", ".."), "/metrics/job@base64/Li4"},
	} {
		if got := c.key.Path(); got != c.want {
			t.Errorf("%s: got %s, want %s", c.key, got, c.want)
		}
	}
}
