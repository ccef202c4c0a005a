package web

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// benchBody is a push of 5 gauges, 2 counters of 5 series and a histogram of 11
// buckets.
func benchBody() string {
	var b strings.Builder
	for i := range 5 {
		fmt.Fprintf(&b, "# HELP job_gauge_%d A gauge of the job.\n# TYPE job_gauge_%d gauge\njob_gauge_%d %v\n", i, i, i, 1.5e9+float64(i)/7)
	}
	for i := range 2 {
		fmt.Fprintf(&b, "# HELP job_counter_%d_total A counter of the job.\n# TYPE job_counter_%d_total counter\n", i, i)
		for j := range 5 {
			fmt.Fprintf(&b, "job_counter_%d_total{result=\"value-%d\"} %d\n", i, j, i*1000+j)
		}
	}
	b.WriteString("# HELP job_seconds A histogram of the job.\n# TYPE job_seconds histogram\n")
	for i := range 10 {
		fmt.Fprintf(&b, "job_seconds_bucket{le=\"%v\"} %d\n", 0.01*float64(i+1), i*3)
	}
	b.WriteString("job_seconds_bucket{le=\"+Inf\"} 40\njob_seconds_sum 3.25\njob_seconds_count 40\n")
	return b.String()
}

// silent is a response that nobody reads.
type silent struct{ header http.Header }

func (s silent) Header() http.Header         { return s.header }
func (s silent) Write(p []byte) (int, error) { return len(p), nil }
func (s silent) WriteHeader(int)             {}

func BenchmarkPush(b *testing.B) {
	for _, groups := range []int{100, 10_000, 100_000} {
		b.Run(fmt.Sprint("groups=", groups), func(b *testing.B) {
			s, _ := newTestServer(b, nil)
			body := []byte(benchBody())
			push := func(i int) {
				r, err := http.NewRequest("PUT", fmt.Sprintf("/metrics/job/bench/instance/host-%06d", i%groups), bytes.NewReader(body))
				if err != nil {
					b.Fatal(err)
				}
				s.ServeHTTP(silent{http.Header{}}, r)
			}
			for i := range groups {
				push(i)
			}
			if n := s.config.Store.Totals().Groups; n != groups {
				b.Fatalf("%d groups", n)
			}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				push(i * 7919)
				i++
			}
		})
	}
}

// BenchmarkPushBesideOtherKeys pushes series each of which could be in another group by its
// labels, but is not.
func BenchmarkPushBesideOtherKeys(b *testing.B) {
	for _, series := range []int{100, 1000, 10_000} {
		b.Run(fmt.Sprint("series=", series), func(b *testing.B) {
			s, _ := newTestServer(b, nil)
			var stored, pushed strings.Builder
			for i := range series {
				fmt.Fprintf(&stored, "x{i=\"%d\"} 1\n", i)
				fmt.Fprintf(&pushed, "x{b=\"c\",i=\"%d\",z=\"1\"} 1\n", i)
			}
			do(s, "PUT", "/metrics/job/a/b/c", stored.String())
			for b.Loop() {
				if w := do(s, "PUT", "/metrics/job/a", pushed.String()); w.Code != 200 {
					b.Fatal(w.Code, w.Body)
				}
			}
		})
	}
}
