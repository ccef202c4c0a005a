package web

import (
	"io"
	"net/http"
	"strings"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// newHistory returns the memory of what came of the last pushes to the store.
func newHistory(s *store.Store) *history.Log {
	return history.New(func(keys []metric.GroupingKey) []bool {
		view := s.Snapshot()
		held := make([]bool, len(keys))
		for i, key := range keys {
			held[i] = view.Group(key) != nil
		}
		return held
	})
}

// remember records what came of a push. path is what the request named, key the
// group; it is the zero value where the path names none. repeated tells that the push
// had been applied before.
func (s *Server) remember(r *http.Request, path string, key metric.GroupingKey, size int64, repeated bool, err error) {
	e := history.Event{
		At: s.Now(), Method: r.Method, Size: size, Source: sourceOf(r), Client: r.UserAgent(), Key: key, Replayed: repeated,
	}
	if key.ID() == "" {
		e.Path = path
	}
	if err != nil {
		e.Reason, e.Message = reasonOf(err), err.Error()
	}
	s.history.Record(e)
}

// sourceOf returns where a request came from; behind a proxy also where that says
// it came from.
func sourceOf(r *http.Request) string {
	forwarded := r.Header.Get("X-Forwarded-For")
	if forwarded == "" {
		return r.RemoteAddr
	}
	return strings.ToValidUTF8(forwarded, "?") + " by " + r.RemoteAddr
}

// measureBody returns how many bytes the request's body has once it has been
// read; without a declared length they are counted.
func measureBody(r *http.Request) (size func() int64) {
	if r.ContentLength >= 0 {
		return func() int64 { return r.ContentLength }
	}
	counted := &countedBody{ReadCloser: r.Body}
	r.Body = counted
	return func() int64 { return counted.size }
}

type countedBody struct {
	io.ReadCloser
	size int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	return n, err
}
