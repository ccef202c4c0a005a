package main

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"net/http"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// The body is what the goals are stated for: 5 gauges, 2 counters of 5 series
// and one 11-bucket histogram, with HELP and TYPE, about 1.7 KB.
func TestBody(t *testing.T) {
	for i, body := range makeBodies(bodyCount) {
		if len(body) < 1500 || len(body) > 1900 {
			t.Errorf("body %d: %d bytes, want 1500 to 1900", i, len(body))
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(bytes.NewReader(body))
		if err != nil {
			t.Fatalf("body %d: %v\n%s", i, err, body)
		}
		kinds := map[string]int{}
		for name, f := range families {
			kinds[fmt.Sprintf("%s of %d", f.GetType(), len(f.Metric))]++
			if f.GetHelp() == "" {
				t.Errorf("body %d: %s has no help", i, name)
			}
			if !strings.HasPrefix(name, pushedPrefix) {
				t.Errorf("body %d: %s does not begin with %s", i, name, pushedPrefix)
			}
			if f.GetType() == dto.MetricType_HISTOGRAM {
				checkHistogram(t, f.Metric[0].Histogram)
			}
		}
		if want := (map[string]int{"GAUGE of 1": 5, "COUNTER of 5": 2, "HISTOGRAM of 1": 1}); fmt.Sprint(kinds) != fmt.Sprint(want) {
			t.Errorf("body %d: %v, want %v", i, kinds, want)
		}
		samples := 0
		for line := range bytes.Lines(body) {
			if line[0] != '#' {
				samples++
			}
		}
		if samples != pushedSamples {
			t.Errorf("body %d: %d samples, want %d", i, samples, pushedSamples)
		}
	}
}

// checkHistogram wants 11 bounds and +Inf, cumulative up to the count.
func checkHistogram(t *testing.T, h *dto.Histogram) {
	t.Helper()
	if len(h.Bucket) != 12 || !math.IsInf(h.Bucket[11].GetUpperBound(), 1) {
		t.Fatalf("%d buckets, want 11 and +Inf", len(h.Bucket))
	}
	last := uint64(0)
	for _, b := range h.Bucket {
		if b.GetCumulativeCount() < last {
			t.Errorf("bucket %v holds less than the one before", b.GetUpperBound())
		}
		last = b.GetCumulativeCount()
	}
	if last != h.GetSampleCount() {
		t.Errorf("+Inf holds %d, count is %d", last, h.GetSampleCount())
	}
}

func TestBodiesDiffer(t *testing.T) {
	seen := map[string]bool{}
	for _, body := range makeBodies(bodyCount) {
		seen[string(body)] = true
	}
	if len(seen) != bodyCount {
		t.Errorf("%d different bodies of %d", len(seen), bodyCount)
	}
}

func TestPushIsARequest(t *testing.T) {
	body := makeBodies(1)[0]
	r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(appendPush(nil, 12345, body))))
	if err != nil {
		t.Fatal(err)
	}
	if want := "/metrics/job/etl-5/instance/db-1012345"; r.Method != "PUT" || r.URL.Path != want {
		t.Errorf("%s %s, want PUT %s", r.Method, r.URL.Path, want)
	}
	var got bytes.Buffer
	if _, err := got.ReadFrom(r.Body); err != nil || !bytes.Equal(got.Bytes(), body) {
		t.Errorf("body: %v, %d bytes, want %d", err, got.Len(), len(body))
	}
}

func TestReadAnswer(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, c := range []struct{ response, want string }{
		{ok + "Content-Length: 0\r\n\r\n", `200 "" gzip=false`},
		{ok + "content-length: 3\r\nContent-Encoding: gzip\r\n\r\nabc", `200 "abc" gzip=true`},
		{ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\na\r\n0123456789\r\n0\r\n\r\n", `200 "abc0123456789" gzip=false`},
		{"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno", `400 "no" gzip=false`},
		{ok + "Content-Length: 3\r\n\r\nab", "read body: EOF"},
		{ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", `read body: bytes after a chunk: "d"`},
		{ok + "\r\n", "read body: neither Content-Length nor chunks"},
		{ok + "Connection: close\r\n\r\n", "status 200, and the server ends the connection"},
		{"SSH-2.0-OpenSSH_9.2p1\r\n", `not a status line: "SSH-2.0-OpenSSH_9.2p1"`},
	} {
		for _, sink := range []*bytes.Buffer{new(bytes.Buffer), nil} {
			in := bufio.NewReader(strings.NewReader(c.response))
			var a answer
			var err error
			if sink == nil {
				a, err = readAnswer(in, nil)
			} else {
				a, err = readAnswer(in, sink)
			}
			got := ""
			switch {
			case err != nil:
				got = err.Error()
			case sink != nil:
				got = fmt.Sprintf("%d %q gzip=%v", a.status, sink, a.gzip)
			case strings.Contains(c.want, fmt.Sprintf("%d ", a.status)):
				got = c.want // the body went nowhere
			}
			if got != c.want {
				t.Errorf("%q: %s, want %s", c.response, got, c.want)
			}
			if err == nil && sink != nil && a.size != int64(sink.Len()) {
				t.Errorf("%q: size %d of %d bytes", c.response, a.size, sink.Len())
			}
			if err == nil && in.Buffered() > 0 {
				t.Errorf("%q: %d bytes left", c.response, in.Buffered())
			}
		}
	}
}

func TestTallyFindsWhatIsMissing(t *testing.T) {
	sample := pushedPrefix + "files 1\n"
	whole := "# TYPE x gauge\n" + strings.Repeat(sample, pushedSamples) + "push_time_seconds{job=\"a\"} 1\n"
	for _, c := range []struct {
		text string
		want bool
	}{
		{whole, true},
		{whole + whole, false},
		{strings.Replace(whole, sample, "", 1), false},
		{whole[:len(whole)-1], false},
	} {
		for _, step := range []int{1, 7, len(c.text)} {
			var got tally
			for rest := []byte(c.text); len(rest) > 0; rest = rest[min(step, len(rest)):] {
				got.Write(rest[:min(step, len(rest))])
			}
			if err := got.holds(1); (err == nil) != c.want {
				t.Errorf("in steps of %d, %q: %v", step, c.text, err)
			}
		}
	}
}

func TestFigures(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{atMost(1.6).String(), "≤ 1.60"},
		{atLeast(0.6).String(), "≥ 0.60"},
		{atLeast(0.6).format(0.25), "0.25"},
		{atMost(1.0 / 3).String(), "≤ 1/3"},
		{atMost(1.0 / 3).format(0.4), "1/2.5"},
		{atMost(1.0 / 40).String(), "≤ 1/40"},
		{duration(61e-6), "61 µs"},
		{duration(0.0013), "1.30 ms"},
		{duration(0.3), "300 ms"},
		{atMost(1.6).verdict(1.6), "ok"},
		{atMost(1.6).verdict(1.61), "short"},
		{atLeast(0.6).verdict(0.59), "short"},
		{atLeast(0.6).verdict(0.9), "ok"},
		{fmt.Sprint(median([]float64{3, 1, 2})), "2"},
		{fmt.Sprint(median([]float64{4, 1, 2, 3})), "2.5"},
		{fmt.Sprint(quantile([]float64{1, 2, 3, 4, 5}, 0.99)), "4.96"},
	} {
		if c.got != c.want {
			t.Errorf("got %s, want %s", c.got, c.want)
		}
	}
}
