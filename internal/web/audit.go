package web

import (
	"errors"
	"log/slog"

	"pushgateway/internal/access"
	"pushgateway/internal/metric"
)

// auditor logs who changed something that affects others, or was not allowed to.
type auditor struct {
	logger *slog.Logger
	names  bool // there is an auth file, so senders have names

	metrics *metrics
}

// denied counts and logs a request that was rejected because the sender lacks a right.
func (a *auditor) denied(r *request, err error) {
	if denied, ok := errors.AsType[*access.DeniedError](err); ok {
		a.metrics.countDenied(denied.Right)
		a.log(r, "denied", "right", denied.Right.String(), "method", r.Method, "path", metric.Shorten(r.path))
	}
}

// log writes one line about an event. attrs are pairs of a key and a value.
func (a *auditor) log(r *request, event string, attrs ...any) {
	all := []any{"event", event, "client", sourceOf(r.Request)}
	if a.names {
		all = append(all, "user", r.principal.Name())
	}
	a.logger.Info("audit", append(all, attrs...)...)
}
