package web

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

// TestStatusOfRejections: what a client should send again later, and what is too much, have
// statuses of their own.
func TestStatusOfRejections(t *testing.T) {
	for reason, want := range map[metric.Reason]int{
		metric.TooLarge: 413, metric.RateLimited: 429, metric.Overloaded: 503, metric.QuotaExceeded: 429, metric.WrongProtocol: 415,
		metric.Malformed: 400, metric.BadEncoding: 400,
	} {
		if got := statusOf(metric.Reject(reason, "wrong")); got != want {
			t.Errorf("%s: %d, want %d", reason, got, want)
		}
	}
	temporary := &limits.TemporaryRejection{RejectionError: metric.Reject(metric.Overloaded, "wrong"), RetryAfter: time.Second}
	header := http.Header{}
	if setRetryAfter(header, temporary); statusOf(temporary) != 503 || header.Get("Retry-After") != "1" {
		t.Errorf("%d, %v", statusOf(temporary), header)
	}
}

// TestExplain goes through what a fix says to a client that reaches the gateway at
// http://gw:9091.
func TestExplain(t *testing.T) {
	key := metric.NewGroupingKey([]metric.Label{{Name: "job", Value: "it's"}})
	for _, c := range []struct {
		name string
		fix  metric.Fix
		want string
	}{
		{"none", metric.NoFix, "wrong"},
		{"delete", metric.DeleteGroup,
			`wrong; to start over, delete the group, with all that it holds, and push again: curl -X DELETE 'http://gw:9091/metrics/job/it%27s'`},
		{"sum", metric.SumOrReplace, `wrong: add merge=sum to this push (with curl: 'http://gw:9091/metrics/job/it%27s?merge=sum'), ` +
			`or replace all that the group holds with PUT and merge=group`},
		{"names", metric.AllowUTF8, "wrong, or start the gateway with --push.enable-utf8-names, which allows any UTF-8"},
		{"quoted names", metric.AllowQuotedUTF8,
			"wrong, or start the gateway with --push.enable-utf8-names, which allows any UTF-8 in quoted names: " +
				`{"a.metric","a.label"="x"} 1`},
		{"URL or names", metric.UseURLOrAllowUTF8, "wrong; use the URL 'http://gw:9091/metrics/job/it%27s', or start the gateway " +
			"with --push.enable-utf8-names, which allows any UTF-8"},
		{"timestamps", metric.DropTimestamps, "wrong, or push with timestamps=drop in the query of the URL"},
		{"labels", metric.SplitByLabels,
			"wrong; to let the labels of the metrics name their groups, push to 'http://gw:9091/api/v1/push?group_by=job,x' " +
				"(each metric needs the label job)"},
	} {
		t.Run(c.name, func(t *testing.T) {
			rejection := &metric.RejectionError{Reason: metric.BadMerge, Message: "wrong", Fix: c.fix, Group: key, Labels: []string{"job", "x"}}
			err := explain(fmt.Errorf("%w", rejection.Noting(" (noted)")), "http://gw:9091")
			if again := explain(err, "http://elsewhere"); err.Error() != c.want+" (noted)" || again != err || reasonOf(err) != metric.BadMerge {
				t.Errorf("got %v, then %v, want %s", err, again, c.want)
			}
		})
	}
}

// TestTwoJobsInOneBody pushes what a URL with a single job makes one series, and then
// does what the answer says.
func TestTwoJobsInOneBody(t *testing.T) {
	s, _ := newTestServer(t, nil)
	const body = "x{job=\"a\"} 1\nx{job=\"b\"} 2\n"
	w := do(s, "POST", "/metrics/job/c", body)
	_, url, found := strings.Cut(w.Body.String(), "push to 'http://example.com")
	if w.Code != 400 || !found || !strings.Contains(w.Body.String(), `job="a"`) && !strings.Contains(w.Body.String(), `job="b"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	url, _, _ = strings.Cut(url, "'")
	if w := do(s, "POST", url, body); w.Code != 200 {
		t.Errorf("%s: %d %s", url, w.Code, w.Body)
	}
	if n := s.config.Store.Totals().Groups; n != 3 { // with the one that has a failed push only
		t.Errorf("%d groups, want 3", n)
	}
}
