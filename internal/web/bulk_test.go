package web

import (
	"bytes"
	"errors"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// TestParametersOfBulkPushes: unknown parameters are rejected. Unlike those of a push to one
// group, they cannot be meant for another gateway.
func TestParametersOfBulkPushes(t *testing.T) {
	for _, c := range []struct {
		query string
		want  int
	}{
		{"group_by=job", 200},
		{"group_by=job,n&ttl=1h", 200},
		{"group_by=job&group_by=n", 200},
		{"group_by=job&tll=1h", 400},
		{"group_by=job&ttl=%zz", 400},
		{"group_by=job;ttl=1h", 400},
		{"", 400},
		{"group_by=n", 400},
		{"group_by=job,__x", 400},
	} {
		t.Run(c.query, func(t *testing.T) {
			s, _ := newTestServer(t, nil)
			if w := do(s, "POST", "/api/v1/push?"+c.query, "m{job=\"a\",n=\"1\"} 1\n"); w.Code != c.want {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		})
	}
}

// failingFor is a journal that cannot persist changes of one group.
type failingFor struct {
	store.Memory
	group string
}

func (f failingFor) Commit(c store.Changes) error {
	for _, g := range c.Groups {
		if g.ID == f.group {
			return &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: 2 * time.Second}
		}
	}
	return nil
}

// TestStatusOfBulkPushes: if one group was rejected and another could not be persisted, the
// client is to try again.
func TestStatusOfBulkPushes(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) { c.Store = withJournal(t, failingFor{group: "b"}) })
	for _, c := range []struct {
		name, body string
		want       int
		retry      bool
	}{
		{"rejected, then failed", "m{job=\"a\"} 1 5\nm{job=\"b\"} 1\n", 503, true},
		{"failed, then rejected", "m{job=\"b\"} 1\nm{job=\"a\"} 1 5\n", 503, true},
		{"rejected", "m{job=\"a\"} 1 5\n", 400, false},
		{"applied", "m{job=\"c\"} 1\nm{job=\"d\"} 1\n", 200, false},
		{"applied and rejected", "m{job=\"d\"} 1\nm{job=\"a\"} 1 5\nm{job=\"c\"} 1 5\n", 207, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := do(s, "POST", "/api/v1/push?group_by=job", c.body)
			if retry := w.Header().Get("Retry-After") != ""; w.Code != c.want || retry != c.retry {
				t.Errorf("%d, want %d; Retry-After: %v: %s", w.Code, c.want, retry, w.Body)
			}
		})
	}
}

// TestPartialBulkPush answers 207 if some groups were applied, and says when to retry if
// one of the others failed for now.
func TestPartialBulkPush(t *testing.T) {
	failed := &store.UnavailableError{Reason: errors.New("disk full"), RetryAfter: 2 * time.Second}
	rejected := metric.Reject(metric.BadTimestamp, "has a timestamp")
	w := httptest.NewRecorder()
	if err := answerBulk(w, []api.Pushed{{Err: rejected}, {Err: failed}, {}}); err != nil {
		t.Fatal(err)
	}
	if w.Code != 207 || w.Header().Get("Retry-After") != "2" {
		t.Errorf("%d, Retry-After %q", w.Code, w.Header().Get("Retry-After"))
	}
}

// TestGroupingLabelsNotUTF8: a grouping label that is not UTF-8 leaves no group behind.
func TestGroupingLabelsNotUTF8(t *testing.T) {
	s, _ := newTestServer(t, nil)
	job := "a__"
	family := &dto.MetricFamily{Name: proto.String("m"), Type: dto.MetricType_GAUGE.Enum(), Metric: []*dto.Metric{{
		Label: []*dto.LabelPair{{Name: proto.String("job"), Value: &job}}, Gauge: &dto.Gauge{Value: proto.Float64(1)},
	}}}
	message, err := proto.Marshal(family)
	if err != nil {
		t.Fatal(err)
	}
	// The encoder of protobuf does not write this.
	message = bytes.Replace(message, []byte("a__"), []byte("a\xff\xfe"), 1)
	body := string(protowire.AppendVarint(nil, uint64(len(message)))) + string(message)
	const protobuf = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	w := do(s, "POST", "/api/v1/push?group_by=job", body, "Content-Type", protobuf)
	if w.Code != 400 || !strings.Contains(w.Body.String(), "UTF-8") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 0 {
		t.Errorf("%d groups are left behind", n)
	}
}
