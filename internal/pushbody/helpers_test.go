package pushbody

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// readRequest receives and reads the body of a push.
func readRequest(b *Budget, reader *Reader, r *http.Request, families *wire.Families) error {
	body, err := b.Receive(r, InBatches, 0, func() {})
	if err != nil {
		return err
	}
	defer body.Release()
	return reader.Read(body, metric.LegacyValidation, families)
}

// read reads a body with headers, which are names and values by turns.
func read(body string, headers ...string) ([]metric.Family, error) {
	r := httptest.NewRequest(http.MethodPut, "/", strings.NewReader(body))
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	var families wire.Families
	err := readRequest(NewBudget(0), new(Reader), r, &families)
	return families.All, err
}

// newHandler returns a handler that reads the bodies of pushes, and answers with 400 if it
// cannot.
func newHandler() http.Handler {
	budget := NewBudget(0)
	readers := sync.Pool{New: func() any { return new(Reader) }}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reader := readers.Get().(*Reader)
		var families wire.Families
		if err := readRequest(budget, reader, r, &families); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
		}
		if reader.Reusable() {
			readers.Put(reader)
		}
	})
}

// reasonOf returns the reason of a rejection, or "" if err is not a rejection.
func reasonOf(err error) metric.Reason {
	if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
		return rejection.Reason
	}
	return ""
}

func compressed(t *testing.T, to func(io.Writer) io.WriteCloser, text string) string {
	t.Helper()
	var out bytes.Buffer
	w := to(&out)
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func asGzip(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) }, text)
}

func asSnappy(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser { return snappy.NewBufferedWriter(w) }, text)
}

func asZstd(t *testing.T, text string) string {
	return compressed(t, func(w io.Writer) io.WriteCloser {
		z, err := zstd.NewWriter(w)
		if err != nil {
			t.Fatal(err)
		}
		return z
	}, text)
}
