package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// bodies are the usual pushes: the same 29 samples with different values. They
// are few enough to stay in the processor's cache, so that the load takes
// little time from the servers on the same processors.
var bodies = func() [][]byte {
	rng := rand.New(rand.NewPCG(20240229, 1))
	all := make([][]byte, 128)
	for i := range all {
		all[i] = usualBody(rng)
	}
	return all
}()

const pushedSamples = 5 + 2*5 + 11 + 3

var gauges = []string{"job_last_success_timestamp_seconds", "job_duration_seconds", "job_size_bytes", "job_files", "job_free_bytes"}

// usualBody returns 5 gauges, 2 counters of 5 series and a histogram of 11
// buckets, about 1.7 KB in the text format.
func usualBody(rng *rand.Rand) []byte {
	var b bytes.Buffer
	header := func(name, kind string) {
		fmt.Fprintf(&b, "# HELP %s Last run.\n# TYPE %s %s\n", name, name, kind)
	}
	for _, name := range gauges {
		header(name, "gauge")
		fmt.Fprintf(&b, "%s %v\n", name, float64(rng.Int64N(1e12))/1e3)
	}
	for _, name := range []string{"job_read_bytes_total", "job_retries_total"} {
		header(name, "counter")
		for _, stage := range []string{"scan", "dump", "pack", "seal", "send"} {
			fmt.Fprintf(&b, "%s{stage=%q} %d\n", name, stage, rng.IntN(1e9))
		}
	}
	header("job_step_seconds", "histogram")
	count := 0
	for _, le := range []string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"} {
		count += rng.IntN(50)
		fmt.Fprintf(&b, "job_step_seconds_bucket{le=%q} %d\n", le, count)
	}
	fmt.Fprintf(&b, "job_step_seconds_sum %v\njob_step_seconds_count %d\n", float64(count)*rng.Float64(), count)
	return b.Bytes()
}

// groupLabels returns the labels of a group.
func groupLabels(group int) (job, instance string) {
	return fmt.Sprintf("etl-%d", group%10), fmt.Sprintf("db-%d", 1_000_000+group)
}

// A pusher pushes over one connection, through net/http's client as
// client_golang/push uses it.
type pusher struct {
	pool   *http.Transport
	client *http.Client
	base   string
	rng    *rand.Rand
	next   int // index of the next body
}

// pusher returns the pusher of a connection, which is made when first used.
func (i *instance) pusher(connection int) *pusher {
	for n := len(i.pushers); n <= connection; n++ {
		pool := &http.Transport{MaxConnsPerHost: 1, DisableCompression: true}
		client := &http.Client{Transport: pool, Timeout: time.Minute}
		addr := i.addr
		if len(i.replicas) > 0 {
			addr = i.replicas[n%len(i.replicas)].addr
		}
		i.pushers = append(i.pushers, &pusher{pool, client, "http://" + addr + "/metrics", rand.New(rand.NewPCG(1, uint64(n))), n * 17})
	}
	return i.pushers[connection]
}

// push replaces one group by the next body.
func (p *pusher) push(group int) error {
	p.next++
	return p.put(group, bodies[p.next%len(bodies)])
}

func (p *pusher) put(group int, body []byte) error {
	job, instance := groupLabels(group)
	return p.send(http.MethodPut, p.base+"/job/"+job+"/instance/"+instance, "text/plain; version=0.0.4", body)
}

func (p *pusher) send(method, url, contentType string, body []byte) error {
	r, err := http.NewRequest(method, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", contentType)
	resp, err := p.client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode/100 != 2 {
		err = fmt.Errorf("push: %s: %s", resp.Status, text)
	}
	return err
}

// pushRandom pushes to a random group of the instance over its first connection.
func (i *instance) pushRandom() error {
	p := i.pusher(0)
	return p.push(p.rng.IntN(i.groups))
}

// timed calls f again and again for d, after a warm-up of a fifth of d, and
// returns how long each call took in seconds.
func timed(d time.Duration, f func() error) (took []float64, err error) {
	for end := time.Now().Add(d / 5); time.Now().Before(end); {
		if err := f(); err != nil {
			return nil, err
		}
	}
	for end := time.Now().Add(d); len(took) == 0 || time.Now().Before(end); {
		start := time.Now()
		if err := f(); err != nil {
			return nil, err
		}
		took = append(took, time.Since(start).Seconds())
	}
	return took, nil
}

// parallel runs f once per connection at the same time and joins the errors.
func (i *instance) parallel(connections int, f func(n int, p *pusher) error) error {
	errs := make([]error, connections)
	var wg sync.WaitGroup
	i.pusher(connections - 1)
	for n, p := range i.pushers[:connections] {
		wg.Go(func() { errs[n] = f(n, p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

func fillNone(*instance) error { return nil }

// fillBodies pushes the usual body to each group.
func fillBodies(i *instance) error {
	const connections = 8
	return i.parallel(connections, func(n int, p *pusher) error {
		for group := n; group < i.groups; group += connections {
			if err := p.push(group); err != nil {
				return err
			}
		}
		return nil
	})
}

// fillGauges pushes three gauges to each group, 10,000 groups in a request.
func fillGauges(i *instance) error {
	for first := 0; first < i.groups; first += someGroups {
		if err := i.pushBulk(bulkBody(first, someGroups, gauges[:3])); err != nil {
			return err
		}
	}
	return nil
}

// bulkBody returns a push of the gauges to n groups.
func bulkBody(first, n int, gauges []string) []byte {
	var b bytes.Buffer
	for _, name := range gauges {
		fmt.Fprintf(&b, "# TYPE %s gauge\n", name)
		for group := first; group < first+n; group++ {
			job, instance := groupLabels(group)
			fmt.Fprintf(&b, "%s{job=%q,instance=%q} %d\n", name, job, instance, group)
		}
	}
	return b.Bytes()
}

func (i *instance) pushBulk(body []byte) error {
	status, text, err := i.request(http.MethodPost, "/api/v1/push?group_by=job,instance", bytes.NewReader(body))
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("bulk push: status %d: %.300s", status, text)
	}
	return err
}

// fillBesideLarge pushes the usual body to each group, and 400,000 series to a
// group of their own.
func fillBesideLarge(i *instance) error {
	if err := fillBodies(i); err != nil {
		return err
	}
	return i.pusher(0).put(i.groups, largePush(asText)().content)
}

// An upload is a large push.
type upload struct {
	content []byte
	size    int // decompressed
	headers []string
}

const (
	asText        = expfmt.Format("text/plain; version=0.0.4; charset=utf-8")
	asOpenMetrics = expfmt.Format("application/openmetrics-text; version=1.0.0; charset=utf-8")
	asProtobuf    = expfmt.Format("application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited")
)

// largePush makes a push of 400,000 series, 32 MB in the text format.
func largePush(format expfmt.Format) func() upload {
	return func() upload {
		name, kind := "warehouse_rows", dto.MetricType_GAUGE
		family := &dto.MetricFamily{Name: &name, Help: &name, Type: &kind}
		for n := range 400_000 {
			database, table, value := fmt.Sprintf("customers_%03d", n%100), fmt.Sprintf("orders_by_day_%06d", n), float64(n)
			label := func(name, value string) *dto.LabelPair { return &dto.LabelPair{Name: &name, Value: &value} }
			labels := []*dto.LabelPair{label("database", database), label("table", table)}
			family.Metric = append(family.Metric, &dto.Metric{Label: labels, Gauge: &dto.Gauge{Value: &value}})
		}
		var b bytes.Buffer
		encoder := expfmt.NewEncoder(&b, format)
		encoder.Encode(family) // a bytes.Buffer takes all
		if closer, ok := encoder.(expfmt.Closer); ok {
			closer.Close()
		}
		return upload{b.Bytes(), b.Len(), []string{"Content-Type", string(format)}}
	}
}

// manyFamilies makes a push of 1,000,000 metric families, 10 MB in the text format.
func manyFamilies() []byte {
	var b bytes.Buffer
	for n := range 1_000_000 {
		fmt.Fprintf(&b, "m%d 1\n", n)
	}
	return b.Bytes()
}

// shortLines makes a push of 32 MB of the shortest lines, compressed.
func shortLines() upload {
	const line, lines = "x 1\n", 8 << 20
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	io.WriteString(w, strings.Repeat(line, lines)) // a bytes.Buffer takes all
	w.Close()
	return upload{b.Bytes(), lines * len(line), []string{"Content-Encoding", "gzip"}}
}

// scraper is the client of all scrapes.
var scraper = &http.Client{Transport: &http.Transport{DisableCompression: true, ReadBufferSize: 256 << 10}, Timeout: 10 * time.Minute}

const (
	plain   = "identity"
	gzipped = "gzip"
)

// scrape writes the whole exposition to w as it is sent.
func scrape(w io.Writer, addr, encoding string, format expfmt.Format) error {
	r, err := http.NewRequest(http.MethodGet, "http://"+addr+"/metrics", nil)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", string(format))
	r.Header.Set("Accept-Encoding", encoding)
	resp, err := scraper.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	isGzip := resp.Header.Get("Content-Encoding") == "gzip"
	kind, _, _ := strings.Cut(string(format), ";")
	if resp.StatusCode != http.StatusOK || isGzip != (encoding == gzipped) || !strings.HasPrefix(resp.Header.Get("Content-Type"), kind) {
		return fmt.Errorf("scrape: %s with %v", resp.Status, resp.Header)
	}
	_, err = io.Copy(w, resp.Body)
	return err
}

// verify scrapes the instance and checks that every group is there. It tries
// again for a while, as an unchecked push of upstream waits in a queue.
func (i *instance) verify(encoding string, format expfmt.Format) error {
	groups := 0
	for range 10 {
		var sent bytes.Buffer
		if err := scrape(&sent, i.addr, encoding, format); err != nil {
			return err
		}
		exposition := sent.Bytes()
		if encoding == gzipped {
			r, err := gzip.NewReader(&sent)
			if err != nil {
				return err
			}
			if exposition, err = io.ReadAll(r); err != nil {
				return err
			}
		}
		if groups = bytes.Count(exposition, []byte("\npush_time_seconds{")); groups == i.groups {
			return nil
		}
	}
	return fmt.Errorf("a scrape has %d groups, want %d", groups, i.groups)
}
