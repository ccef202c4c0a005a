package test

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// memoryOf returns a field of the process' status, such as VmRSS or VmHWM, in bytes.
func (p *program) memoryOf(t *testing.T, field string) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == field+":" {
			kilobytes, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kilobytes << 10
		}
	}
	t.Fatalf("no %s in %s", field, status)
	return 0
}

// TestMemoryOfOnePush pushes large bodies to a gateway of its own each. Beyond what it then
// stores, a push takes at most 10 times its decompressed body, and gives it back: 6 times as the
// budget counts, and garbage, which is 40 % of the heap, or more if the collector gets few processors.
func TestMemoryOfOnePush(t *testing.T) {
	t.Parallel()
	const size, factor = 24 << 20, 10
	const givenBackAfter = 6 * time.Second // the gateway does it after 5
	filled := func(begin, end string, line func(i int) string) []byte {
		var b bytes.Buffer
		b.WriteString(begin)
		for i := 0; b.Len() < size; i++ {
			b.WriteString(line(i))
		}
		b.WriteString(end)
		return b.Bytes()
	}
	request := func(i int) string {
		return fmt.Sprintf("http_requests_total{path=\"/api/v1/item/%07d\",code=\"200\",method=\"get\"} %d\n", i, i)
	}
	short := func(i int) string { return fmt.Sprintf("a{b=\"%x\"} 1\n", i) }
	shuffled := func(i int) string { return short(int(uint32(i * 2654435761))) }
	compressed := func(body []byte) []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		if _, err := z.Write(body); err != nil {
			t.Fatal(err)
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	protobuf := func() []byte {
		message := append(protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "a"), 0x18, 1)
		for i := 0; len(message) < size; i++ {
			label := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "b")
			label = protowire.AppendString(protowire.AppendTag(label, 2, protowire.BytesType), fmt.Sprintf("%x", i))
			metric := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), label)
			metric = append(metric, 0x12, 9, 9, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f)
			message = protowire.AppendBytes(protowire.AppendTag(message, 4, protowire.BytesType), metric)
		}
		return protowire.AppendBytes(nil, message)
	}
	const (
		openMetrics   = "application/openmetrics-text; version=1.0.0; charset=utf-8"
		protobufMedia = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	)
	for _, c := range []struct {
		name              string
		body              []byte
		contentType, gzip string
		status            int
	}{
		{"text", filled("# TYPE http_requests_total counter\n", "", request), "text/plain", "", http.StatusOK},
		{"short lines", filled("", "", short), "text/plain", "", http.StatusOK},
		{"short lines, shuffled", filled("", "", shuffled), "text/plain", "", http.StatusOK},
		{"short lines, gzip", compressed(filled("", "", short)), "text/plain", "gzip", http.StatusOK},
		{"the same line", compressed(filled("", "", func(int) string { return "x 1\n" })), "text/plain", "gzip", http.StatusBadRequest},
		{"summaries of a line", filled("# TYPE s summary\n", "", func(i int) string { return fmt.Sprintf("s_sum{a=\"%x\"} 1\n", i) }),
			"text/plain", "", http.StatusOK},
		{"OpenMetrics", filled("# TYPE http_requests counter\n", "# EOF\n", request), openMetrics, "", http.StatusOK},
		{"OpenMetrics, short lines", filled("", "# EOF\n", short), openMetrics, "", http.StatusOK},
		{"protobuf", protobuf(), protobufMedia, "", http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			r, err := http.NewRequest(http.MethodPut, p.URL+"/metrics/job/large", bytes.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("Content-Type", c.contentType)
			r.Header.Set("Content-Encoding", c.gzip)
			answer, err := p.client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			answer.Body.Close()
			if answer.StatusCode != c.status {
				t.Fatalf("%d, want %d", answer.StatusCode, c.status)
			}
			peak := p.memoryOf(t, "VmHWM")
			// Nothing is asked of the gateway meanwhile: that would make new garbage.
			answered, settled := time.Now(), 0
			until(t, "the memory is given back", func() bool {
				before := settled
				settled = p.memoryOf(t, "VmRSS")
				return time.Since(answered) > givenBackAfter && settled == before
			})
			if taken := peak - settled; taken > factor*size {
				t.Errorf("%d MiB, %d of them given back: more than %d times the body of %d MiB", peak>>20, taken>>20, factor, size>>20)
			} else {
				t.Logf("%d MiB at most, %d once settled: %.1f times the body", peak>>20, settled>>20, float64(taken)/size)
			}
		})
	}
}
