package web

import "log/slog"

// auditor logs who did, or was not allowed to do, what others may want to know of.
type auditor struct {
	logger *slog.Logger
	names  bool // there is an auth file, so senders have names
}

// log writes one line about an event. attrs are pairs of a key and a value.
func (a *auditor) log(r *request, event string, attrs ...any) {
	all := []any{"event", event, "client", sourceOf(r.Request)}
	if a.names {
		all = append(all, "user", r.principal.Name())
	}
	a.logger.Info("audit", append(all, attrs...)...)
}
