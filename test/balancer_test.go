package test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A balancer sends requests to gateways in turn. If one cannot be reached, or answers with
// 502 or 503, it tries the next ones, as HAProxy with "retry-on all-retryable-errors" and
// nginx with "proxy_next_upstream error http_502 http_503" do: only requests that may be
// repeated.
type balancer struct {
	URL       string
	transport *http.Transport

	mu       sync.Mutex // guards backends, next
	backends []string   // URLs
	next     int
}

func startBalancer(t *testing.T) *balancer {
	b := &balancer{transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 64}}
	server := httptest.NewServer(b)
	t.Cleanup(func() {
		server.Close()
		b.transport.CloseIdleConnections()
	})
	b.URL = server.URL
	return b
}

// set makes url the i-th backend.
func (b *balancer) set(i int, url string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for len(b.backends) <= i {
		b.backends = append(b.backends, url)
	}
	b.backends[i] = url
}

// pick returns all backends, first the one whose turn it is.
func (b *balancer) pick() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.next++
	first := b.next % len(b.backends)
	return slices.Concat(b.backends[first:], b.backends[:first])
}

func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	backends := b.pick()
	if r.Method == http.MethodPost && r.Header.Get("Idempotency-Key") == "" {
		backends = backends[:1]
	}
	for i, backend := range backends {
		resp, text, err := b.forward(r, backend, body)
		if i < len(backends)-1 && (err != nil || retryable(resp.StatusCode)) {
			continue
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		for name, values := range resp.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(resp.StatusCode)
		_, _ = w.Write(text) // fails if the client has gone
		return
	}
}

// forward returns the whole answer of a backend, which may be killed while it sends it.
func (b *balancer) forward(r *http.Request, backend string, body []byte) (answer *http.Response, text []byte, err error) {
	out, err := http.NewRequestWithContext(r.Context(), r.Method, backend+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	out.Header = r.Header.Clone()
	answer, err = b.transport.RoundTrip(out)
	if err != nil {
		return nil, nil, err
	}
	defer answer.Body.Close()
	text, err = io.ReadAll(answer.Body)
	return answer, text, err
}

func retryable(status int) bool {
	return status == http.StatusBadGateway || status == http.StatusServiceUnavailable
}

// A patientTransport repeats requests that fail, or are answered with 502 or 503, as a
// careful client does, until ctx ends.
type patientTransport struct {
	ctx     context.Context
	base    http.RoundTripper
	retries atomic.Int64
	last    atomic.Int64 // Unix time in ns of the last success of a request that changes something
}

func (p *patientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	for {
		resp, err := p.base.RoundTrip(r)
		if err == nil && !retryable(resp.StatusCode) {
			if r.Method != http.MethodGet {
				p.last.Store(time.Now().UnixNano())
			}
			return resp, nil
		}
		if p.ctx.Err() != nil {
			return resp, err
		}
		if err == nil {
			_ = resp.Body.Close() // the request is repeated
		}
		p.retries.Add(1)
		select {
		case <-p.ctx.Done():
			return nil, p.ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
		if r.GetBody != nil {
			if r.Body, err = r.GetBody(); err != nil {
				return nil, err
			}
		}
	}
}
