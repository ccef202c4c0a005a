package web

import (
	"errors"
	"log/slog"
	"strings"

	"pushgateway/internal/access"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// auditor logs who changed something that affects others, or was not allowed to. Each event is one
// line.
type auditor struct {
	logger *slog.Logger
	guard  *access.Guard // nil if there is no auth file, so that senders have no names

	metrics *metrics
}

// denied counts and logs a request that was rejected because the sender lacks a right.
func (a *auditor) denied(r *request, err error) {
	if denied, ok := errors.AsType[*access.DeniedError](err); ok {
		a.metrics.countDenied(denied.Right)
		a.log(r, "denied", "right", denied.Right.String(), "method", r.Method, "path", metric.Shorten(r.path))
	}
}

// failed counts and logs a credential that is not accepted. login is the user name that came with it,
// if any: it is logged only if a user has it, since others may be passwords in the wrong field.
func (a *auditor) failed(r *request, event string, err error, login string, attrs ...any) {
	a.metrics.countAuthFailure(err)
	all := []any{"reason", err.Error()}
	if user := a.guard.UserOf(login); user != "" {
		all = append(all, "tried", user)
	}
	a.log(r, event, append(all, attrs...)...)
}

// log writes the line about an event. attrs are pairs of a key and a value.
func (a *auditor) log(r *request, event string, attrs ...any) {
	all := []any{"event", event, "client", sourceOf(r.Request)}
	if a.guard != nil {
		all = append(all, "user", r.principal.Name())
	}
	a.logger.Info("audit", append(all, attrs...)...)
}

// logSignal writes the line about an event that a signal to the process has caused.
func (a *auditor) logSignal(signal, event string, attrs ...any) {
	a.logger.Info("audit", append([]any{"event", event, "signal", signal}, attrs...)...)
}

// maxNamesLogged is the maximum number of groups that a line names.
const maxNamesLogged = 20

// namesOf returns the labels of groups for a line about all of them, not of more than fit there.
func namesOf(groups []*store.Group) string {
	var names []string
	for _, g := range groups[:min(len(groups), maxNamesLogged)] {
		names = append(names, metric.Shorten(g.Key.String()))
	}
	return metric.Shorten(strings.Join(names, " "))
}
