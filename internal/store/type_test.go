package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// exposed returns the family m in protobuf, as its type and the types and values of its
// metrics; empty if there is none.
func exposedTypes(t *testing.T, s *store.Store) string {
	t.Helper()
	writer, err := exposition.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	format := expfmt.NewFormat(expfmt.TypeProtoDelim)
	if _, err := writer.Write(&out, s.Snapshot(), nil, format, exposition.Identity); err != nil {
		t.Fatal(err)
	}
	for decoder := expfmt.NewDecoder(&out, format); ; {
		f := &dto.MetricFamily{}
		if err := decoder.Decode(f); errors.Is(err, io.EOF) {
			return ""
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetName() != "m" {
			continue
		}
		text := strings.ToLower(f.GetType().String()) + ":"
		for _, m := range f.Metric {
			switch {
			case m.Counter != nil:
				text += fmt.Sprintf(" counter %v", m.Counter.GetValue())
			case m.Gauge != nil:
				text += fmt.Sprintf(" gauge %v", m.Gauge.GetValue())
			case m.Untyped != nil:
				text += fmt.Sprintf(" untyped %v", m.Untyped.GetValue())
			default:
				text += " other"
			}
		}
		return text
	}
}

// TestUntypedGivesWay: groups change from untyped to a type one after the other, and back;
// at each moment the family has one type. A restart in between changes nothing.
func TestUntypedGivesWay(t *testing.T) {
	const (
		untyped = "m %d\n"
		counter = "# TYPE m counter\nm %d\n"
		gauge   = "# TYPE m gauge\nm %d\n"
		summary = "# TYPE m summary\nm_sum %d\nm_count 1\n"
	)
	s := store.InMemory()
	at := time.Unix(1_700_000_000, 0)
	for i, c := range []struct {
		job, body string // an empty body deletes the group
		want      string
		rejected  bool
	}{
		{job: "a", body: untyped, want: "untyped: untyped 0"},
		{job: "b", body: untyped, want: "untyped: untyped 0 untyped 1"},
		{job: "b", body: counter, want: "counter: counter 0 counter 2"},
		{job: "c", body: untyped, want: "counter: counter 0 counter 2 counter 3"},
		{job: "c", body: gauge, want: "counter: counter 0 counter 2 counter 3", rejected: true},
		{job: "a", body: summary, want: "counter: counter 0 counter 2 counter 3", rejected: true},
		{job: "a", body: counter, want: "counter: counter 6 counter 2 counter 3"},
		{job: "c", body: counter, want: "counter: counter 6 counter 2 counter 7"},
		{job: "b", body: untyped, want: "counter: counter 6 counter 8 counter 7"},
		{job: "a", want: "counter: counter 8 counter 7"},
		{job: "c", want: "untyped: untyped 8"},
		{job: "c", body: summary, want: "untyped: untyped 8", rejected: true},
		{job: "c", body: gauge, want: "gauge: gauge 8 gauge 12"},
		{job: "b", want: "gauge: gauge 12"},
		{job: "c", want: ""},
		{job: "a", body: summary, want: "summary: other"},
		{job: "b", body: untyped, want: "summary: other", rejected: true},
		{job: "a", body: untyped, want: "untyped: untyped 17"},
	} {
		at = at.Add(time.Second)
		var err error
		if c.body == "" {
			_, err = s.Delete(jobKey(c.job))
		} else {
			err = pushText(s, jobKey(c.job), []string{fmt.Sprintf(c.body, i)}, true, at)
		}
		var rejection *metric.RejectionError
		if rejected := errors.As(err, &rejection) && rejection.Reason == metric.TypeConflict; rejected != c.rejected || err != nil && !rejected {
			t.Errorf("step %d: error %v, want a type conflict: %v", i, err, c.rejected)
		}
		if got := exposedTypes(t, s); got != c.want {
			t.Errorf("step %d: exposed %q, want %q", i, got, c.want)
		}
		var loaded []*store.Group
		for g := range s.Groups() {
			copied, err := store.DecodeRecord(store.AppendRecord(nil, g))
			if err != nil {
				t.Fatal(err)
			}
			loaded = append(loaded, copied)
		}
		if got := exposedTypes(t, store.InMemory(loaded...)); got != c.want {
			t.Errorf("step %d, restarted: exposed %q, want %q", i, got, c.want)
		}
	}
}

// TestUntypedMergedSeries: in one group, merged series get the type that either has.
func TestUntypedMergedSeries(t *testing.T) {
	bodies := []string{"m{n=\"1\"} 1\n", "# TYPE m counter\nm{n=\"2\"} 2\n"}
	for range 2 {
		s := store.InMemory()
		for i, body := range bodies {
			p := newPush(t, jobKey("a"), body, time.Unix(int64(i), 0), store.PushOptions{Merge: metric.MergeSeries})
			if _, err := s.Apply(p); err != nil {
				t.Fatal(err)
			}
		}
		if got, want := exposedTypes(t, s), "counter: counter 1 counter 2"; got != want {
			t.Errorf("exposed %q, want %q", got, want)
		}
		slices.Reverse(bodies)
	}
}
