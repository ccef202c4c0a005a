package web

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/httpserver"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// newHistory returns an empty history of the pushes to the store.
func newHistory(s *store.Store) *history.Log {
	return history.New(func(keys []metric.GroupingKey) []bool {
		snapshot := s.Snapshot()
		stored := make([]bool, len(keys))
		for i, key := range keys {
			stored[i] = snapshot.Group(key) != nil
		}
		return stored
	})
}

// recorder records the outcome of pushes in the history, the metrics and the log.
type recorder struct {
	history *history.Log
	metrics *metrics
	logger  *slog.Logger
	now     func() time.Time
	// discreet leaves names of other groups out of the history, since not every reader of
	// a group may read the others.
	discreet bool
	// overload logs what may happen to many pushes at the same time.
	overload *httpserver.LimitedLogger
}

// outcome is the outcome of a push to one group.
type outcome struct {
	key      metric.GroupingKey // the zero value if the request names no group
	size     int64              // of the body in bytes; -1 if unknown
	replayed bool               // the same push was applied before
	err      error              // nil if the push was accepted
}

// record remembers an outcome, and counts and logs it if the push was rejected.
func (rec *recorder) record(r *request, o outcome) {
	rec.remember(r, o)
	if o.err != nil {
		rec.reject(r, o)
	}
}

// remember adds an outcome to the history.
func (rec *recorder) remember(r *request, o outcome) {
	e := history.Event{
		At: rec.now(), Method: r.Method, Size: o.size, Source: sourceOf(r.Request), Client: r.UserAgent(),
		Key: o.key, Replayed: o.replayed,
	}
	if o.key.ID() == "" {
		e.Path = r.path
	}
	if o.err != nil {
		e.Reason, e.Message = reasonOf(o.err), o.err.Error()
		if rejection, ok := errors.AsType[*metric.RejectionError](o.err); ok && rec.discreet {
			e.Message = rejection.Discreet()
		}
	}
	rec.history.Record(e)
}

// reject counts and logs a rejected push.
func (rec *recorder) reject(r *request, o outcome) {
	group := r.path
	if o.key.ID() != "" {
		group = o.key.String()
	}
	rec.metrics.countRejection(o.err)
	if _, ok := errors.AsType[*limits.TemporaryRejection](o.err); ok {
		rec.overload.Log(slog.LevelWarn, "push rejected for the moment", "remote_addr", r.RemoteAddr, "group", metric.Shorten(group),
			"reason", string(reasonOf(o.err)), "err", o.err)
		return
	}
	rec.logger.Warn("push rejected", "method", r.Method, "remote_addr", r.RemoteAddr, "group", metric.Shorten(group),
		"reason", string(reasonOf(o.err)), "err", o.err)
}

// sourceOf returns the address that a request came from. Behind a proxy that is both the
// address that the proxy names and its own.
func sourceOf(r *http.Request) string {
	forwarded := r.Header.Get("X-Forwarded-For")
	if forwarded == "" {
		return r.RemoteAddr
	}
	return strings.ToValidUTF8(forwarded, "?") + " by " + r.RemoteAddr
}

// measureBody returns a function that returns the size of the request's body, once it has
// been read.
func measureBody(r *http.Request) (size func() int64) {
	if r.ContentLength >= 0 {
		return func() int64 { return r.ContentLength }
	}
	counted := &countingBody{ReadCloser: r.Body}
	r.Body = counted
	return func() int64 { return counted.size }
}

// countingBody counts the bytes read.
type countingBody struct {
	io.ReadCloser
	size int64
}

func (b *countingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.size += int64(n)
	return n, err
}

// Expired counts and logs groups that have expired, and forgets their pushes.
func (s *Server) Expired(groups []store.ExpiredGroup) {
	s.metrics.expired.Add(float64(len(groups)))
	for _, g := range groups {
		if !g.KeptPushTimes {
			s.history.Forget(g.Key)
		}
		s.config.Logger.Debug("group expired", "group", g.Key.String(), "last_push", g.Pushed, "push_times_kept", g.KeptPushTimes)
	}
}
