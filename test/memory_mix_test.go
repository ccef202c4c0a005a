package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// TestMemoryOfManyPushes pushes a random mix to a gateway whose memory limit is, as by default,
// 90 % of its container's memory. The rest is for what Go does not count, such as the program's
// own pages.
func TestMemoryOfManyPushes(t *testing.T) {
	t.Parallel()
	const container = 440 << 20
	p := pushMix(t, container*9/10)
	if peak := p.memoryOf(t, "VmHWM"); peak > container {
		t.Errorf("the peak is %d MiB, the container has %d MiB", peak>>20, container>>20)
	}
}

// TestMemoryBoundByBudget pushes such a mix to a gateway whose memory limit is far away. The peak is no more than the
// budget of pushes, what is stored, and what the program itself takes, as docs/OPERATING.md says.
func TestMemoryBoundByBudget(t *testing.T) {
	t.Parallel()
	// What the program itself takes includes garbage: more if the collector gets few processors.
	const budget, itself = 100 << 20, 96 << 20
	p := pushMix(t, 16<<30, "--push.max-inflight-bytes=100MiB")
	limit := budget + itself + int(p.value(t, "pushgateway_stored_bytes"))
	if peak := int(p.memoryOf(t, "VmHWM")); peak > limit {
		t.Errorf("the peak is %d MiB, want at most %d MiB", peak>>20, limit>>20)
	} else {
		t.Logf("the peak is %d MiB of %d MiB", peak>>20, limit>>20)
	}
}

// TestMemoryOfShortLines pushes bodies that are as short as they can be for what they contain, many at a
// time. They take many times their size, which the budget counts.
func TestMemoryOfShortLines(t *testing.T) {
	t.Parallel()
	const limit, itself = 256 << 20, 32 << 20
	lines := func(n int, format string) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, strings.ReplaceAll(format, "N", "%[1]x"), i)
		}
		return b.String()
	}
	p := startLimited(t, limit)
	for _, c := range []struct{ name, path, body string }{
		{"families", "/metrics/job/families", lines(40_000, "aN 1\n")},
		{"histograms", "/metrics/job/histograms", lines(40_000, "# TYPE hN histogram\nhN_sum 1\n")},
		{"groups", "/api/v1/push?group_by=job", lines(15_000, "m{job=\"N\"} 1\n")},
	} {
		var clients sync.WaitGroup
		for range 24 {
			clients.Go(func() {
				for range 2 {
					if a := p.do(t, http.MethodPost, c.path, c.body); a.status != http.StatusOK && a.status != http.StatusServiceUnavailable {
						t.Errorf("%s: %d %.200s", c.name, a.status, a.body)
					}
				}
			})
		}
		clients.Wait()
		peak := p.memoryOf(t, "VmHWM")
		t.Logf("%s: the peak is %d MiB", c.name, peak>>20)
		if peak > limit+itself {
			t.Errorf("%s: the peak is %d MiB, the limit %d MiB", c.name, peak>>20, limit>>20)
		}
	}
}

// pushMix starts a gateway with a memory limit, and pushes a random mix of sizes, formats,
// compressions and bulk pushes over 24 connections, which together need several times the
// memory that pushes may use. Every push is accepted or told to come again.
func pushMix(t *testing.T, limit int, flags ...string) *program {
	t.Helper()
	p := startLimited(t, limit, flags...)

	type kind struct {
		name, path      string
		body            []byte
		headers         []string
		accepted, later int
	}
	lines := func(n int) []byte {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, "mix_bytes{path=\"/api/v1/item/%07d\"} %d\n", i, i)
		}
		return []byte(b.String())
	}
	protobuf := func(n int) []byte {
		var b strings.Builder
		family := &dto.MetricFamily{Name: new("mix_bytes"), Type: dto.MetricType_UNTYPED.Enum()}
		for i := range n {
			family.Metric = append(family.Metric, &dto.Metric{
				Label:   []*dto.LabelPair{{Name: new("path"), Value: new(fmt.Sprintf("/api/v1/item/%07d", i))}},
				Untyped: &dto.Untyped{Value: new(float64(i))},
			})
		}
		if err := expfmt.NewEncoder(&b, expfmt.NewFormat(expfmt.TypeProtoDelim)).Encode(family); err != nil {
			t.Fatal(err)
		}
		return []byte(b.String())
	}
	bulk := func(groups, n int) []byte {
		var b strings.Builder
		for g := range groups {
			for i := range n {
				fmt.Fprintf(&b, "mix_bytes{job=\"bulk\",shard=\"%d\",path=\"/api/v1/item/%07d\"} %d\n", g, i, i)
			}
		}
		return []byte(b.String())
	}
	const openMetrics = "application/openmetrics-text; version=1.0.0"
	delimited := expfmt.NewFormat(expfmt.TypeProtoDelim)
	kinds := []*kind{
		{name: "small", path: "/metrics/job/small", body: lines(20)},
		{name: "text", path: "/metrics/job/text", body: lines(60_000)},
		{name: "gzip", path: "/metrics/job/gzip", body: compress(t, "gzip", lines(40_000)), headers: []string{"Content-Encoding", "gzip"}},
		{name: "zstd", path: "/metrics/job/zstd", body: compress(t, "zstd", lines(80_000)), headers: []string{"Content-Encoding", "zstd"}},
		{name: "OpenMetrics", path: "/metrics/job/om", body: append(lines(30_000), "# EOF\n"...),
			headers: []string{"Content-Type", openMetrics}},
		{name: "protobuf", path: "/metrics/job/pb", body: protobuf(50_000), headers: []string{"Content-Type", string(delimited)}},
		{name: "bulk", path: "/api/v1/push?group_by=job,shard", body: bulk(50, 400)},
	}
	var mu sync.Mutex
	var clients sync.WaitGroup
	for i := range 24 {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(i)))
			for range 8 {
				k := kinds[random.IntN(len(kinds))]
				a := p.do(t, http.MethodPost, k.path, string(k.body), k.headers...)
				mu.Lock()
				switch a.status {
				case http.StatusOK:
					k.accepted++
				case http.StatusServiceUnavailable:
					k.later++
				default:
					t.Errorf("%s: %d %s", k.name, a.status, a.body)
				}
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	for _, k := range kinds {
		t.Logf("%s (%d kB): %d accepted, %d later", k.name, len(k.body)>>10, k.accepted, k.later)
		if k.accepted == 0 {
			t.Errorf("%s: none accepted", k.name)
		}
	}
	until(t, "all memory is given back", func() bool { return p.value(t, "pushgateway_push_memory_bytes") == 0 })
	return p
}
