package client

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/rand"
	"net/http"
	"strings"

	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// Push is what to push to a group.
type Push struct {
	Group metric.GroupingKey
	// Replace replaces the whole group. Otherwise the push replaces metrics of the same names,
	// or does what Options say.
	Replace     bool
	Options     metric.Options // such as an expiry
	Body        []byte         // uncompressed
	ContentType string         // of the body; empty for the text format
	// IdempotencyKey identifies the push, so that it is applied once however often it is
	// sent. Empty means a random one, which is right unless the push outlives the call.
	IdempotencyKey string
}

// Result says what became of a push that was accepted.
type Result struct {
	Replayed bool // it was applied before, by its idempotency key
	Attempts int  // how often it was sent
}

// minCompressed is the size from which bodies are compressed.
const minCompressed = 16 << 10

// Push sends a push, several times if need be: as long as the gateway cannot be reached,
// does not respond, or answers that it cannot accept the push now. It waits longer and longer
// in between, or as long as the gateway says. All attempts have the same idempotency key.
//
// The error is an *Error if the gateway responded, and an *UnsupportedError if the server that
// answers does not know an option; then nothing was pushed.
func (c *Client) Push(ctx context.Context, p Push) (Result, error) {
	options := pushoptions.Format(p.Options)
	if len(options) > 0 || c.pushPrefix != "" {
		if err := c.Require(ctx, options...); err != nil {
			return Result{}, err
		}
	}
	r := request{method: http.MethodPost, path: c.pushPrefix + p.Group.Path(), header: http.Header{}, body: p.Body}
	if p.Replace {
		r.method = http.MethodPut
	}
	if len(options) > 0 {
		r.path += "?" + strings.Join(options, "&")
	}
	if p.ContentType != "" {
		r.header.Set("Content-Type", p.ContentType)
	}
	if p.IdempotencyKey == "" {
		p.IdempotencyKey = NewIdempotencyKey()
	}
	r.header.Set("Idempotency-Key", p.IdempotencyKey)
	if len(r.body) >= minCompressed {
		r.body = c.compress(r.body, r.header)
	}
	a, err := c.do(ctx, r)
	return Result{Replayed: a.header.Get("Idempotency-Replayed") == "true", Attempts: a.attempts}, err
}

// Delete deletes a group. It is no error if there is none. It retries as Push does.
func (c *Client) Delete(ctx context.Context, group metric.GroupingKey) error {
	_, err := c.do(ctx, request{method: http.MethodDelete, path: group.Path()})
	return err
}

// NewIdempotencyKey returns a random key for a push.
func NewIdempotencyKey() string { return rand.Text() }

// compress compresses a body and says so in the header. All servers understand gzip.
func (c *Client) compress(body []byte, h http.Header) []byte {
	if server := c.knownServer(); server != nil && server.Product == Pushgateway {
		h.Set("Content-Encoding", "zstd")
		return zstdEncoder.EncodeAll(body, nil)
	}
	h.Set("Content-Encoding", "gzip")
	var buf bytes.Buffer
	w := gzip.NewWriter(&buf)
	_, _ = w.Write(body) // a bytes.Buffer does not fail
	_ = w.Close()
	return buf.Bytes()
}

// zstdEncoder is safe for concurrent use of EncodeAll.
var zstdEncoder, _ = zstd.NewWriter(nil) // fails only with wrong options
