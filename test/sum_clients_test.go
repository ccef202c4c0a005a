package test

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/push"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// scrapeProtobuf scrapes protobuf and returns the families by name.
func (p *program) scrapeProtobuf(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	decoder := expfmt.NewDecoder(strings.NewReader(p.get(t, "/metrics", "Accept", string(format))), format)
	families := map[string]*dto.MetricFamily{}
	for {
		var f dto.MetricFamily
		if err := decoder.Decode(&f); errors.Is(err, io.EOF) {
			return families
		} else if err != nil {
			t.Fatal(err)
		}
		families[f.GetName()] = &f
	}
}

// histogramText formats what a histogram has counted, independent of its layout.
func histogramText(t *testing.T, h *dto.Histogram) string {
	t.Helper()
	if h == nil {
		t.Fatal("there is no histogram")
	}
	text := fmt.Sprintf("count=%v sum=%v", float64(h.GetSampleCount())+h.GetSampleCountFloat(), h.GetSampleSum())
	for _, b := range h.GetBucket() {
		text += fmt.Sprintf(" le%v=%v", b.GetUpperBound(), float64(b.GetCumulativeCount())+b.GetCumulativeCountFloat())
	}
	text += fmt.Sprintf(" schema=%d zero(%v)=%v", h.GetSchema(), h.GetZeroThreshold(), float64(h.GetZeroCount())+h.GetZeroCountFloat())
	for _, side := range []struct {
		name   string
		spans  []*dto.BucketSpan
		deltas []int64
		counts []float64
	}{
		{"-", h.GetNegativeSpan(), h.GetNegativeDelta(), h.GetNegativeCount()},
		{"+", h.GetPositiveSpan(), h.GetPositiveDelta(), h.GetPositiveCount()},
	} {
		index, at, count := int32(0), 0, 0.0
		for _, span := range side.spans {
			index += span.GetOffset()
			for range span.GetLength() {
				if len(side.counts) > 0 {
					count = side.counts[at]
				} else {
					count += float64(side.deltas[at])
				}
				if count != 0 {
					text += fmt.Sprintf(" %s%d=%v", side.name, index, count)
				}
				index++
				at++
			}
		}
	}
	return text
}

// TestSumOfClients sums pushes of several processes with an official client library, and
// compares the sums with one process that observed everything.
func TestSumOfClients(t *testing.T) {
	t.Parallel()
	p := start(t)
	native := func(name string, factor float64, classic ...float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Name: name, Help: "Help.", NativeHistogramBucketFactor: factor, Buckets: classic})
	}
	histograms := func(factor float64) []prometheus.Histogram {
		return []prometheus.Histogram{
			native("native", factor),
			native("both", factor, 1, 4, 16),
			prometheus.NewHistogram(prometheus.HistogramOpts{Name: "classic", Help: "Help.", Buckets: []float64{-1, 0, 8, 64}}),
		}
	}
	newCounter := func() prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "c_total", Help: "Help."})
	}
	newSummary := func() prometheus.Summary {
		return prometheus.NewSummary(prometheus.SummaryOpts{Name: "s", Help: "Help.", Objectives: map[float64]float64{0.5: 0.1}})
	}
	whole := histograms(2)

	var firstCreated, lastExemplar time.Time
	for process, factor := range []float64{1.1, 2, 1.01, 1.5} {
		some := histograms(factor)
		counter, summary := newCounter(), newSummary()
		for i := range 40 {
			v := float64((i*7919+process*31)%113 - 37)
			for k := range some {
				some[k].Observe(v)
				whole[k].Observe(v)
			}
			summary.Observe(v)
		}
		counter.(prometheus.ExemplarAdder).AddWithExemplar(float64(process+1), prometheus.Labels{"process": strconv.Itoa(process)})
		pusher := push.New(p.URL+"/with/merge=sum", "clients").Collector(counter).Collector(summary)
		for _, h := range some {
			pusher.Collector(h)
		}
		if err := pusher.Add(); err != nil {
			t.Fatal(err)
		}
		written := &dto.Metric{}
		if err := counter.Write(written); err != nil {
			t.Fatal(err)
		}
		if process == 0 {
			firstCreated = written.GetCounter().GetCreatedTimestamp().AsTime()
		}
		lastExemplar = written.GetCounter().GetExemplar().GetTimestamp().AsTime()
	}

	got := p.scrapeProtobuf(t)
	one := func(name string) *dto.Metric {
		t.Helper()
		if metrics := got[name].GetMetric(); len(metrics) == 1 {
			return metrics[0]
		}
		t.Fatalf("%s is %v, want one metric", name, got[name])
		return nil
	}
	for i, name := range []string{"native", "both", "classic"} {
		want := &dto.Metric{}
		if err := whole[i].Write(want); err != nil {
			t.Fatal(err)
		}
		wantText := histogramText(t, want.GetHistogram())
		is := histogramText(t, one(name).GetHistogram())
		// A client library leaves the +Inf bucket out of protobuf.
		is = strings.Replace(is, " le+Inf=160", "", 1)
		if is != wantText {
			t.Errorf("%s: the sum is\n%s\nbut all observations are\n%s", name, is, wantText)
		}
	}
	counter := one("c_total").GetCounter()
	if counter.GetValue() != 1+2+3+4 {
		t.Errorf("the counter is %v, want 10", counter.GetValue())
	}
	exemplar := counter.GetExemplar()
	if len(exemplar.GetLabel()) != 1 || exemplar.GetLabel()[0].GetValue() != "3" {
		t.Errorf("the exemplar has the labels %v, want those of the last push", exemplar.GetLabel())
	}
	if got := exemplar.GetTimestamp().AsTime(); !got.Equal(lastExemplar) {
		t.Errorf("the exemplar is of %v, want %v", got, lastExemplar)
	}
	if created := counter.GetCreatedTimestamp().AsTime(); !created.Equal(firstCreated) {
		t.Errorf("created at %v, want the earliest time, %v", created, firstCreated)
	}
	summary := one("s").GetSummary()
	if summary.GetSampleCount() != 160 || len(summary.GetQuantile()) != 0 {
		t.Errorf("the summary is %v, want 160 observations and no quantiles", summary)
	}
	if !p.info(t, "/metrics/job/clients").Summed {
		t.Error("the group is not summed")
	}

	// Classic and native histograms do not mix.
	only := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native", Help: "Help.", Buckets: []float64{1}})
	only.Observe(1)
	err := push.New(p.URL+"/with/merge=sum", "clients").Collector(only).Add()
	if err == nil || !strings.Contains(err.Error(), "400") || !strings.Contains(err.Error(), "classic") {
		t.Errorf("a classic histogram added to a native one: %v", err)
	}
}
