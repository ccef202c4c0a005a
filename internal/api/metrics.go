// Package api writes the bodies of the HTTP API's answers: the JSON of upstream's API
// v1, field for field, and of the gateway's own additions. It does not know HTTP.
package api

import (
	"fmt"
	"io"
	"iter"
	"strconv"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// WriteMetrics writes the answer to GET /api/v1/metrics: the groups with their
// metrics. An error, mostly that of w, leaves the document incomplete. Memory: O(largest family of a group).
//
// It does not use encoding/json, which takes five times as long.
func WriteMetrics(w io.Writer, groups iter.Seq[*store.Group]) error {
	e := encoder{w: w, buf: make([]byte, 0, flushAt+flushAt/4)}
	e.buf = append(e.buf, `{"status":"success","data":[`...)
	first := true
	for g := range groups {
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		if err := e.group(g); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, "]}"...)
	return e.flush()
}

// encoder writes JSON in large pieces.
type encoder struct {
	w   io.Writer
	buf []byte
}

// flushAt is the number of bytes that an encoder collects before it writes them.
const flushAt = 64 << 10

func (e *encoder) flush() error {
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

// Keys of a group's object that are not families. As in upstream, a family of the same
// name replaces them.
const (
	labelsKey  = "labels"
	successKey = "last_push_successful"
)

func (e *encoder) group(g *store.Group) error {
	e.buf = append(e.buf, '{')
	if g.Family(labelsKey) == nil {
		e.buf = append(e.buf, `"`+labelsKey+`":`...)
		e.buf = appendLabels(e.buf, g.Key.Labels())
		e.buf = append(e.buf, ',')
	}
	if g.Family(successKey) == nil {
		e.buf = append(e.buf, `"`+successKey+`":`...)
		e.buf = strconv.AppendBool(e.buf, !g.Failed.After(g.Pushed))
		e.buf = append(e.buf, ',')
	}
	// Every group has a family: that of the push time.
	if err := e.families(g); err != nil {
		return err
	}
	e.buf = append(e.buf, '}')
	return nil
}

// families appends all families of the group as members of an object.
func (e *encoder) families(g *store.Group) error {
	for i, f := range g.Families {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		if err := e.family(f); err != nil {
			return fmt.Errorf("metric family %q of group %s: %w", f.Name(), g.Key, err)
		}
	}
	return nil
}

func (e *encoder) family(f *store.EncodedFamily) error {
	metrics := f.Metrics()
	e.buf = appendString(e.buf, f.Name())
	e.buf = append(e.buf, `:{"time_stamp":"`...)
	e.buf = f.Time().UTC().AppendFormat(e.buf, time.RFC3339Nano)
	e.buf = append(e.buf, `","type":"`...)
	e.buf = append(e.buf, typeNames[f.Type()]...)
	e.buf = append(e.buf, '"')
	if help := f.Help(); help != "" {
		e.buf = append(e.buf, `,"help":`...)
		e.buf = appendString(e.buf, help)
	}
	e.buf = append(e.buf, `,"metrics":[`...)
	for i := range metrics {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		e.buf = appendMetric(e.buf, f.Type(), &metrics[i])
		if len(e.buf) >= flushAt {
			if err := e.flush(); err != nil {
				return err
			}
		}
	}
	e.buf = append(e.buf, "]}"...)
	return nil
}

// typeNames are those of io.prometheus.client.MetricType.
var typeNames = [...]string{
	metric.Counter:        "COUNTER",
	metric.Gauge:          "GAUGE",
	metric.Summary:        "SUMMARY",
	metric.Untyped:        "UNTYPED",
	metric.Histogram:      "HISTOGRAM",
	metric.GaugeHistogram: "GAUGE_HISTOGRAM",
}

func appendMetric(dst []byte, typ metric.Type, m *metric.Metric) []byte {
	dst = append(dst, `{"labels":`...)
	dst = appendLabels(dst, m.Labels)
	switch typ {
	case metric.Summary:
		dst = append(dst, `,"quantiles":`...)
		dst = appendQuantiles(dst, m.Summary.Quantiles)
		dst = append(dst, `,"count":`...)
		dst = appendUint(dst, m.Summary.Count)
		dst = append(dst, `,"sum":`...)
		dst = appendFloat(dst, m.Summary.Sum)
	case metric.Histogram, metric.GaugeHistogram:
		dst = append(dst, `,"buckets":`...)
		dst = appendBuckets(dst, m.Histogram)
		dst = append(dst, `,"count":`...)
		dst = appendCount(dst, m.Histogram.Count, m.Histogram.CountFloat)
		dst = append(dst, `,"sum":`...)
		dst = appendFloat(dst, m.Histogram.Sum)
	default:
		dst = append(dst, `,"value":`...)
		dst = appendFloat(dst, m.Value)
	}
	return append(dst, '}')
}

func appendLabels(dst []byte, labels []metric.Label) []byte {
	dst = append(dst, '{')
	for i, l := range labels {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendString(dst, l.Name)
		dst = append(dst, ':')
		dst = appendString(dst, l.Value)
	}
	return append(dst, '}')
}

func appendQuantiles(dst []byte, quantiles []metric.Quantile) []byte {
	dst = append(dst, '{')
	for i, q := range quantiles {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendFloat(dst, q.Quantile)
		dst = append(dst, ':')
		dst = appendFloat(dst, q.Value)
	}
	return append(dst, '}')
}
