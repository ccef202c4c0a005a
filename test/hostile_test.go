package test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
)

// value returns the value of one of the gateway's own metrics without labels.
func (p *program) value(t *testing.T, name string) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindStringSubmatch(p.get(t, "/metrics"))
	if found == nil {
		t.Fatalf("no metric %s", name)
	}
	v, err := strconv.ParseFloat(found[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func compressed(t *testing.T, encoding string, size int) []byte {
	t.Helper()
	return compress(t, encoding, []byte(strings.Repeat("x 1\n", size/4)))
}

// compress returns a body compressed with gzip, snappy or zstd.
func compress(t *testing.T, encoding string, body []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	var w io.WriteCloser
	switch encoding {
	case "gzip":
		w = gzip.NewWriter(&b)
	case "snappy":
		w = snappy.NewBufferedWriter(&b)
	case "zstd":
		z, err := zstd.NewWriter(&b)
		if err != nil {
			t.Fatal(err)
		}
		w = z
	}
	if _, err := w.Write(body); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestBombs pushes bodies that are small on the wire and large decompressed, many at a
// time, to a gateway with little memory. It stays within it, and goes on serving.
func TestBombs(t *testing.T) {
	t.Parallel()
	const container = 440 << 20
	p := startLimited(t, container*9/10)
	for _, encoding := range []string{"gzip", "snappy", "zstd"} {
		t.Run(encoding, func(t *testing.T) {
			for _, size := range []int{4 << 20, 60 << 20, 200 << 20} {
				bomb := compressed(t, encoding, size)
				var done sync.WaitGroup
				for i := range 6 {
					done.Go(func() {
						a := p.do(t, "PUT", fmt.Sprintf("/metrics/job/bomb/i/%d", i), string(bomb), "Content-Encoding", encoding)
						if a.status != 413 && a.status != 503 && a.status != 400 {
							t.Errorf("%d bytes that are %d: %d", len(bomb), size, a.status)
						}
					})
				}
				p.push(t, "PUT", "/metrics/job/other", "m 1\n")
				done.Wait()
			}
			if peak := p.memoryOf(t, "VmHWM"); peak > container {
				t.Errorf("the peak is %d MiB, the container has %d MiB", peak>>20, container>>20)
			}
		})
	}
	until(t, "all memory is given back", func() bool { return p.value(t, "pushgateway_push_memory_bytes") == 0 })
}

// TestSlowConnections holds 5,000 connections that send nothing, a part of a header, or a
// part of a body. Others are served as if there were none.
func TestSlowConnections(t *testing.T) {
	t.Parallel()
	p := start(t)
	before, baseMemory := p.value(t, "go_goroutines"), p.memoryOf(t, "VmRSS")
	const connections = 5000
	var held []net.Conn
	defer func() {
		for _, conn := range held {
			_ = conn.Close()
		}
	}()
	for i := range connections {
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		held = append(held, conn)
		begin := []string{
			"", "PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\nX-Long: ",
			"PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\nContent-Length: 60000000\r\n\r\nm",
			"PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Encoding: gzip\r\n\r\n1\r\n\x1f\r\n",
			"PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\nContent-Encoding: snappy\r\n\r\nm",
		}[i%5]
		if _, err := io.WriteString(conn, begin); err != nil {
			t.Fatal(err)
		}
	}
	p.push(t, "PUT", "/metrics/job/b", "m 1\n")
	p.push(t, "PUT", "/metrics/job/b", strings.Repeat("m 1 \n", 1)+"# "+strings.Repeat("x", 1<<20)+"\n")
	p.get(t, "/-/healthy")
	if open := p.value(t, "process_open_fds"); open < connections*3/5 {
		t.Errorf("only %v descriptors are open", open)
	}
	if used := p.memoryOf(t, "VmRSS") - baseMemory; used > connections*40<<10 {
		t.Errorf("%d connections take %d MiB", connections, used>>20)
	}
	for _, conn := range held {
		_ = conn.Close()
	}
	held = nil
	until(t, "no goroutine is left", func() bool { return p.value(t, "go_goroutines") <= before+10 })
	until(t, "no descriptor is left", func() bool { return p.value(t, "process_open_fds") < 50 })
	until(t, "no memory is reserved", func() bool { return p.value(t, "pushgateway_push_memory_bytes") == 0 })
}

// TestStormOfAbandonedPushes has clients go away at any moment. Nothing of theirs is left,
// and what was accepted is there.
func TestStormOfAbandonedPushes(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.max-concurrency=4")
	before, descriptors := p.value(t, "go_goroutines"), p.value(t, "process_open_fds")
	body := seriesText(3000)
	var done sync.WaitGroup
	for i := range 48 {
		done.Go(func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for n := range 30 {
				ctx, cancel := context.WithTimeout(t.Context(), time.Duration((i*7+n*13)%40)*time.Millisecond)
				r, err := http.NewRequestWithContext(ctx, "PUT", fmt.Sprintf("%s/metrics/job/storm/i/%d", p.URL, i), strings.NewReader(body))
				if err != nil {
					t.Error(err)
				}
				if n%2 == 0 {
					r.ContentLength = -1
				}
				if answer, err := client.Do(r); err == nil {
					_, _ = io.Copy(io.Discard, answer.Body)
					_ = answer.Body.Close()
					if answer.StatusCode != 200 && answer.StatusCode != 503 {
						t.Errorf("status %d", answer.StatusCode)
					}
				}
				cancel()
			}
		})
	}
	done.Wait()
	p.push(t, "PUT", "/metrics/job/after", body)
	wantText(t, p.get(t, "/metrics"), `m{instance="",job="after",n="2999"} 1`)
	until(t, "no goroutine is left", func() bool { return p.value(t, "go_goroutines") <= before+10 })
	until(t, "no descriptor is left", func() bool { return p.value(t, "process_open_fds") <= descriptors })
	for _, name := range []string{"pushgateway_push_memory_bytes", "pushgateway_pushes_running", "pushgateway_pushes_waiting"} {
		until(t, name+" is 0", func() bool { return p.value(t, name) == 0 })
	}
}

// TestOverload has ten times more pushes than may be applied: each is answered 200 or 503
// with Retry-After, all that were answered 200 are there, and scrapes and probes go on.
func TestOverload(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.max-concurrency=1")
	body := seriesText(2000)
	stop := make(chan struct{})
	accepted := make([]bool, 40)
	var rejected sync.Map
	var done sync.WaitGroup
	for i := range accepted {
		done.Go(func() {
			client := newClient(t)
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := http.NewRequest("PUT", fmt.Sprintf("%s/metrics/job/over/i/%d", p.URL, i), strings.NewReader(body))
				if err != nil {
					t.Error(err)
					return
				}
				answer, err := client.Do(r)
				if err != nil {
					t.Errorf("a push was not answered: %v", err)
					return
				}
				text, _ := io.ReadAll(answer.Body)
				_ = answer.Body.Close()
				switch {
				case answer.StatusCode == 200:
					accepted[i] = true
				case answer.StatusCode == 503 && answer.Header.Get("Retry-After") == "1":
					rejected.Store(string(text), true)
				default:
					t.Errorf("%d %s", answer.StatusCode, text)
				}
			}
		})
	}
	until(t, "pushes are rejected", func() bool {
		p.get(t, "/-/healthy")
		p.get(t, "/metrics")
		found := false
		rejected.Range(func(_, _ any) bool { found = true; return false })
		return found
	})
	close(stop)
	done.Wait()
	metrics := p.get(t, "/metrics")
	for i, ok := range accepted {
		if there := strings.Contains(metrics, fmt.Sprintf(`m{i="%d",instance="",job="over",n="1999"} 1`, i)); there != ok {
			t.Errorf("push %d: accepted %v, there %v", i, ok, there)
		}
	}
	p.push(t, "PUT", "/metrics/job/after", body) // it recovers at once
}

// TestLargeNamesAndNumbers pushes a million tiny families and labels of 10 MB, with limits.
func TestLargeNamesAndNumbers(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.max-series=100000", "--push.max-label-name-length=100", "--push.max-label-value-length=1000")
	var families strings.Builder
	for i := range 1_000_000 {
		fmt.Fprintf(&families, "m%d 1\n", i)
	}
	long := strings.Repeat("x", 10<<20)
	for name, body := range map[string]string{
		"families": families.String(), "value": "m{l=\"" + long + "\"} 1\n", "name": "m{" + long + "=\"v\"} 1\n", "metric": long + " 1\n",
	} {
		a := p.do(t, "PUT", "/metrics/job/a", body)
		if a.status != 400 || len(a.body) > 4096 {
			t.Errorf("%s: %d, an answer of %d bytes", name, a.status, len(a.body))
		}
	}
	if n := p.value(t, "pushgateway_series"); n > 2 {
		t.Errorf("%v series are stored", n)
	}
	if size := len(p.log.String()); size > 64<<10 {
		t.Errorf("the log has %d bytes", size)
	}
}

// TestMalformedHTTP sends what is no HTTP request. It is answered with an error or not at
// all, and changes nothing.
func TestMalformedHTTP(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "auth.yml")
	token, hash := newToken(t)
	writeFile(t, file, []byte("users: [{name: a, bearer_token_sha256: "+hash+", allow: [push, scrape]}]"))
	p := start(t, "--auth.file="+file)
	const put = "PUT /metrics/job/a HTTP/1.1\r\nHost: x\r\n"
	for _, request := range []string{
		"\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "PUT /metrics/job/a\r\n\r\n",
		"PUT /metrics/job/a HTTP/9.9\r\nHost: x\r\n\r\n", "PUT /metrics/job/a HTTP/1.1\r\n\r\n",
		put + "Content-Length: -1\r\n\r\n", put + "Content-Length: 1\r\nContent-Length: 2\r\n\r\nm",
		put + "Content-Length: 99999999999999999999\r\n\r\n",
		put + "Transfer-Encoding: chunked\r\n\r\nzz\r\nm 1\n\r\n0\r\n\r\n", put + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
		put + "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n4\r\nm 1\n\r\n0\r\n\r\n",
		put + "Authorization: Bearer\x00" + token + "\r\nContent-Length: 4\r\n\r\nm 1\n",
		put + "Authorization : Bearer " + token + "\r\nContent-Length: 4\r\n\r\nm 1\n",
		put + " Authorization: Bearer " + token + "\r\nContent-Length: 4\r\n\r\nm 1\n",
		put + "Authorization: Bearer x\r\nAuthorization: Bearer " + token + "\r\nContent-Length: 4\r\n\r\nm 1\n",
		put + "Cookie: pushgateway_session=\x01\r\nContent-Length: 4\r\n\r\nm 1\n",
		put + strings.Repeat("X: y\r\n", 1<<18) + "\r\n",
		"PUT /metrics/job/%zz HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
		"PUT /" + strings.Repeat("a", 2<<20) + " HTTP/1.1\r\nHost: x\r\n\r\n",
		"PUT http:// HTTP/1.1\r\nHost: x\r\n\r\n", "CONNECT a:1 HTTP/1.1\r\nHost: x\r\n\r\n", "* * HTTP/1.1\r\n\r\n",
	} {
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(patience))
		_, _ = io.WriteString(conn, request) // it may be cut off
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		answer, err := io.ReadAll(conn)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%.60q: no end", request)
		}
		if len(answer) > 0 && !regexp.MustCompile(`^HTTP/1\.[01] [45]\d\d `).Match(answer) {
			t.Errorf("%.60q is answered %.60q", request, answer)
		}
		_ = conn.Close()
	}
	metrics := p.get(t, "/metrics", "Authorization", "Bearer "+token)
	wantText(t, metrics, "\npushgateway_groups 0\n")
}
