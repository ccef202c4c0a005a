package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/conntest"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/pushoptions"
)

// server answers each request with the next of the answers, and the later ones with the last.
type server struct {
	listener *conntest.Listener
	answers  []http.HandlerFunc

	mu       sync.Mutex // guards requests
	requests []*http.Request
	bodies   []string
}

func serve(t *testing.T, answers ...http.HandlerFunc) *server {
	t.Helper()
	s := &server{listener: conntest.InMemory(), answers: answers}
	conntest.Serve(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		n := len(s.requests)
		s.requests, s.bodies = append(s.requests, r), append(s.bodies, string(body))
		s.mu.Unlock()
		s.answers[min(n, len(s.answers)-1)](w, r)
	})}, s.listener)
	return s
}

// address is the server's URL.
const address = "http://gateway"

// client returns a client of the server.
func (s *server) client(t *testing.T, config Config) *Client {
	t.Helper()
	config.URL = address + config.URL
	c, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	transport := c.http.Transport.(*http.Transport)
	transport.DialContext, transport.Proxy = s.listener.DialContext, nil
	return c
}

func status(code int, text string, headers ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(code)
		fmt.Fprint(w, text)
	}
}

func hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func hangUp(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }

var ok = status(200, "")

// inBubble runs a subtest in a bubble of synctest, in which clients wait without taking time.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

var group = metrictest.Key

// TestPushRequest: what a push sends.
func TestPushRequest(t *testing.T) {
	ttl := metric.Options{Expiry: metric.Expiry{Set: true, TTL: time.Hour}, Merge: metric.MergeSum}
	ours := status(200, "OK", pushoptions.ListHeader, "ttl,merge")
	for _, c := range []struct {
		name    string
		config  Config
		answers []http.HandlerFunc
		push    Push
		want    string // method and URL of the last request
		header  [2]string
	}{
		{"post", Config{}, nil, Push{Group: group("job", "a")}, "POST /metrics/job/a", [2]string{"Authorization", ""}},
		{"put", Config{}, nil, Push{Group: group("job", "a/b", "x", ""), Replace: true}, "PUT /metrics/job@base64/YS9i/x@base64/=",
			[2]string{"Content-Type", ""}},
		{"prefix", Config{URL: "/pg/"}, nil, Push{Group: group("job", "a"), ContentType: "text/plain"}, "POST /pg/metrics/job/a",
			[2]string{"Content-Type", "text/plain"}},
		{"options", Config{}, []http.HandlerFunc{ours, ok}, Push{Group: group("job", "a"), Options: ttl},
			"POST /metrics/job/a?ttl=1h&merge=sum", [2]string{}},
		{"options in the URL", Config{URL: "/pg/with/ttl=1h"}, []http.HandlerFunc{ours, ok}, Push{Group: group("job", "a")},
			"POST /pg/with/ttl=1h/metrics/job/a", [2]string{}},
		{"basic", Config{Username: "u", Password: "p"}, nil, Push{Group: group("job", "a")}, "POST /metrics/job/a",
			[2]string{"Authorization", "Basic dTpw"}},
		{"bearer", Config{BearerToken: "t", UserAgent: "test"}, nil, Push{Group: group("job", "a")}, "POST /metrics/job/a",
			[2]string{"Authorization", "Bearer t"}},
		{"key", Config{UserAgent: "test/1"}, nil, Push{Group: group("job", "a"), IdempotencyKey: "k"}, "POST /metrics/job/a",
			[2]string{"Idempotency-Key", "k"}},
		{"agent", Config{UserAgent: "test/1"}, nil, Push{Group: group("job", "a")}, "POST /metrics/job/a", [2]string{"User-Agent", "test/1"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.answers == nil {
				c.answers = []http.HandlerFunc{ok}
			}
			s := serve(t, c.answers...)
			c.push.Body = []byte("m 1\n")
			if _, err := s.client(t, c.config).Push(t.Context(), c.push); err != nil {
				t.Fatal(err)
			}
			r := s.requests[len(s.requests)-1]
			if got := r.Method + " " + r.RequestURI; got != c.want {
				t.Errorf("sent %s, want %s", got, c.want)
			}
			if got := r.Header.Get(c.header[0]); got != c.header[1] {
				t.Errorf("%s: %q, want %q", c.header[0], got, c.header[1])
			}
			if got := s.bodies[len(s.bodies)-1]; got != "m 1\n" {
				t.Errorf("body %q", got)
			}
		})
	}
}

// TestRetries: which failures are retried, and with the same key.
func TestRetries(t *testing.T) {
	for _, c := range []struct {
		name     string
		first    http.HandlerFunc
		attempts int
	}{
		{"503", status(503, "loading"), 2},
		{"500", status(500, ""), 2},
		{"502", status(502, ""), 2},
		{"rate", status(429, "", "Retry-After", "1"), 2},
		{"connection lost", hangUp, 2},
		{"no response", hang, 2},
		{"rejected", status(400, "no"), 1},
		{"quota", status(429, "full"), 1},
		{"unauthorized", status(401, ""), 1},
		{"too large", status(413, ""), 1},
		{"redirect", status(301, "", "Location", "/elsewhere"), 1},
	} {
		inBubble(t, c.name, func(t *testing.T) {
			s := serve(t, c.first, ok)
			result, err := s.client(t, Config{Timeout: 3 * time.Second}).Push(t.Context(), Push{Group: group("job", "a"), Body: []byte("m 1\n")})
			if (err == nil) != (c.attempts > 1) {
				t.Errorf("error %v", err)
			}
			if result.Attempts != c.attempts || len(s.requests) != c.attempts {
				t.Errorf("%d attempts, %d requests, want %d", result.Attempts, len(s.requests), c.attempts)
			}
			keys := map[string]bool{}
			for i, r := range s.requests {
				keys[r.Header.Get("Idempotency-Key")] = true
				if s.bodies[i] != "m 1\n" {
					t.Errorf("attempt %d has the body %q", i+1, s.bodies[i])
				}
			}
			if len(keys) != 1 || keys[""] {
				t.Errorf("the keys are %v", keys)
			}
		})
	}
}

// TestGivesUp: a call takes no longer than its timeout, whatever the server does.
func TestGivesUp(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"hangs": hang, "hangs up": hangUp, "unavailable": status(503, "later"), "asks to wait": status(503, "later", "Retry-After", "3600"),
		"date": status(503, "later", "Retry-After", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)),
	} {
		inBubble(t, name, func(t *testing.T) {
			const timeout = time.Second
			waits, began := 0, time.Now()
			c := serve(t, handler).client(t, Config{Timeout: timeout, OnRetry: func(error, time.Duration) { waits++ }})
			_, err := c.Push(t.Context(), Push{Group: group("job", "a")})
			if err == nil || !Temporary(err) {
				t.Errorf("error %v is not temporary", err)
			}
			if took := time.Since(began); took > timeout {
				t.Errorf("the call took %v", took)
			}
			if waiting := name == "asks to wait" || name == "date"; waiting != (waits == 0) {
				t.Errorf("waited %d times", waits)
			}
		})
	}
}

// TestDeadline: the caller's deadline ends a call with the same words as the client's own timeout.
func TestDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		_, err := serve(t, hang).client(t, Config{Timeout: time.Hour}).Server(ctx)
		if err == nil || !strings.Contains(err.Error(), "no response in time") || !Temporary(err) {
			t.Errorf("got %v, which is temporary: %v", err, Temporary(err))
		}
	})
}

// TestErrors: an error carries what the server says.
func TestErrors(t *testing.T) {
	s := serve(t, status(400, "line 3: no\n", reasonHeader, "malformed"))
	_, err := s.client(t, Config{}).Push(t.Context(), Push{Group: group("job", "a")})
	e, ok := errors.AsType[*Error](err)
	if !ok || e.Status != 400 || e.Reason != "malformed" || e.Message != "line 3: no" || Temporary(err) {
		t.Errorf("%#v", err)
	}
	if want := "POST " + address + "/metrics/job/a: 400: line 3: no"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	s = serve(t, status(404, `{"status":"error","errorType":"not_found","error":"no group"}`))
	err = s.client(t, Config{}).Call(t.Context(), "GET", "/api/v1/groups/job/a", nil, nil)
	if e, ok := errors.AsType[*Error](err); !ok || e.Reason != "not_found" || e.Message != "no group" {
		t.Errorf("%#v", err)
	}
}

// TestCall decodes the data of a response.
func TestCall(t *testing.T) {
	s := serve(t, status(200, `{"status":"success","data":{"total":3}}`), status(200, "OK"))
	c := s.client(t, Config{})
	var got struct{ Total int }
	if err := c.Call(t.Context(), "GET", "/api/v1/groups", map[string][]string{"match[]": {"{a=\"b\"}"}}, &got); err != nil || got.Total != 3 {
		t.Errorf("%v, %v", got, err)
	}
	if uri := s.requests[0].RequestURI; uri != "/api/v1/groups?match%5B%5D=%7Ba%3D%22b%22%7D" {
		t.Error(uri)
	}
	if err := c.Call(t.Context(), "GET", "/", nil, &got); err == nil {
		t.Error("OK was decoded")
	}
	var file bytes.Buffer
	if n, err := c.Download(t.Context(), "/api/v1/admin/backup", nil, &file); n != 2 || err != nil || file.String() != "OK" {
		t.Errorf("%d, %v, %q", n, err, file.String())
	}
}

// TestServers: which server answers, and what it is not asked to do.
func TestServers(t *testing.T) {
	upstream := status(200, `{"status":"success","data":{"build_information":{"version":"1.11.3"}}}`)
	for _, c := range []struct {
		name    string
		answers []http.HandlerFunc
		want    Product
	}{
		{"ours", []http.HandlerFunc{status(200, "OK", pushoptions.ListHeader, "ttl,merge")}, Pushgateway},
		{"upstream", []http.HandlerFunc{status(200, "OK"), upstream}, Upstream},
		{"VictoriaMetrics", []http.HandlerFunc{status(400, "unsupported path", "X-Server-Hostname", "vm")}, VictoriaMetrics},
		{"VictoriaMetrics that imports the request", []http.HandlerFunc{status(200, "", "X-Server-Hostname", "vm")}, VictoriaMetrics},
		{"another", []http.HandlerFunc{status(404, "")}, Other},
		{"a page", []http.HandlerFunc{status(200, "<html>")}, Other},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.answers...)
			client := s.client(t, Config{})
			server, err := client.Server(t.Context())
			if err != nil || server.Product != c.want {
				t.Errorf("%v, %v, want %v", server, err, c.want)
			}
			asked := len(s.requests)
			_, err = client.Push(t.Context(), Push{Group: group("job", "a"), Options: metric.Options{Merge: metric.MergeSum}})
			if _, unsupported := errors.AsType[*UnsupportedError](err); unsupported != (c.want != Pushgateway) {
				t.Errorf("a sum: %v", err)
			} else if unsupported && len(s.requests) != asked {
				t.Error("the push was sent")
			}
		})
	}
	if _, err := serve(t, status(503, "")).client(t, Config{Timeout: time.Millisecond}).Server(t.Context()); !Temporary(err) {
		t.Errorf("a server that is loading: %v", err)
	}
	if _, err := serve(t, status(401, "")).client(t, Config{}).Server(t.Context()); err == nil {
		t.Error("a server that wants a password is known")
	}
}

// TestCompression: large bodies are compressed, with zstd where that is known to be read.
func TestCompression(t *testing.T) {
	body := strings.Repeat("a_metric 1\n", 10_000)
	ours := status(200, "OK", pushoptions.ListHeader, "ttl")
	for _, c := range []struct {
		name   string
		first  http.HandlerFunc
		probe  bool
		expand func(io.Reader) (io.Reader, error)
	}{
		{"gzip", ok, false, func(r io.Reader) (io.Reader, error) { return gzip.NewReader(r) }},
		{"zstd", ours, true, func(r io.Reader) (io.Reader, error) { return zstd.NewReader(r) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := serve(t, c.first, ok)
			client := s.client(t, Config{})
			if c.probe {
				if _, err := client.Server(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := client.Push(t.Context(), Push{Group: group("job", "a"), Body: []byte(body)}); err != nil {
				t.Fatal(err)
			}
			last := len(s.requests) - 1
			if got := s.requests[last].Header.Get("Content-Encoding"); got != c.name {
				t.Errorf("Content-Encoding: %s", got)
			}
			r, err := c.expand(strings.NewReader(s.bodies[last]))
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); string(got) != body || err != nil {
				t.Errorf("%d bytes arrived: %v", len(got), err)
			}
		})
	}
}

// TestURLs: which URLs a client accepts. No message shows a password.
func TestURLs(t *testing.T) {
	for url, want := range map[string]string{
		"localhost:9091":                   "http://localhost:9091",
		"https://u:secret@h/pg/":           "https://h/pg",
		"http://h/pg/with/ttl=1h/merge=su": "http://h/pg",
		"ftp://u:secret@h":                 "",
		"http://":                          "",
		"http://u:secret@h/?a=b":           "",
		"http://u:secret@h:port":           "",
		"":                                 "",
	} {
		c, err := New(Config{URL: url})
		switch {
		case (err == nil) != (want != ""):
			t.Errorf("%q: %v", url, err)
		case err != nil && strings.Contains(err.Error(), "secret"):
			t.Errorf("%q: %v", url, err)
		case err == nil && c.URL() != want:
			t.Errorf("%q: %s, want %s", url, c.URL(), want)
		}
	}
}
