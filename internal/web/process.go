package web

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"

	"pushgateway/internal/access"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

const plainText = "text/plain; charset=utf-8"

// processHandler answers requests about the process: its health, its life and its
// profiles.
type processHandler struct {
	store       *store.Store
	rules       *rules.Manager
	guard       *access.Guard
	quitProcess func()
	routePrefix string
	logger      *slog.Logger
	audit       *auditor
	// readOnlyReady makes /-/ready succeed while changes are not accepted, too.
	readOnlyReady bool
}

// healthy answers GET /-/healthy. It also lists the push options, so that clients know which they
// can use, and that this is not the Prometheus Pushgateway.
func healthy(w http.ResponseWriter, r *request) error {
	w.Header().Set(pushoptions.ListHeader, strings.Join(pushoptions.Names(), ","))
	return answerOK(w, r)
}

func answerOK(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", plainText)
	_, err := io.WriteString(w, "OK")
	return err
}

func answerNothing(http.ResponseWriter, *request) error { return nil }

func onlyPostOrPut(http.ResponseWriter, *request) error { return errOnlyPostOrPut }

// ready answers GET /-/ready.
func (h *processHandler) ready(w http.ResponseWriter, r *request) error {
	ready := h.store.Ready
	if h.readOnlyReady {
		ready = h.store.Loaded
	}
	if err := ready(); err != nil {
		return err
	}
	return answerOK(w, r)
}

// quit answers PUT and POST /-/quit.
func (h *processHandler) quit(w http.ResponseWriter, r *request) error {
	h.audit.log(r, "quit")
	w.Header().Set("Content-Type", plainText)
	_, err := io.WriteString(w, "Requesting termination... Goodbye!")
	h.quitProcess()
	return err
}

// reload answers PUT and POST /-/reload.
func (h *processHandler) reload(_ http.ResponseWriter, r *request) error {
	if !h.rules.Configured() && h.guard == nil {
		return notFound("there is nothing to reload: start the gateway with --config.file or --auth.file")
	}
	err := reloadFiles(h.rules, h.guard)
	h.audit.log(r, "reload", "succeeded", err == nil)
	return err
}

// ReloadAtSignal does what PUT /-/reload does, for a signal with the given name. The errors are in
// the log.
func (s *Server) ReloadAtSignal(name string) {
	err := reloadFiles(s.config.Rules, s.config.Guard)
	s.audit.logSignal(name, "reload", "succeeded", err == nil)
}

// reloadFiles reloads the rules file and the auth file, if there are any. If one of them fails, the
// other is reloaded all the same. Both log their outcome.
func reloadFiles(manager *rules.Manager, guard *access.Guard) error {
	var failed []error
	if manager.Configured() {
		if err := manager.Reload(); err != nil {
			failed = append(failed, fmt.Errorf("rules not reloaded, the previous rules stay in use: %w", err))
		}
	}
	if guard != nil {
		if err := guard.Reload(); err != nil {
			failed = append(failed, fmt.Errorf("auth file not reloaded, the previous one stays in use: %w", err))
		}
	}
	return errors.Join(failed...)
}

// backup answers GET /api/v1/admin/backup with a copy of the persistence file, which a
// gateway can start from.
func (h *processHandler) backup(w http.ResponseWriter, r *request) error {
	h.audit.log(r, "backup")
	err := h.store.Backup(r.Context(), func(size int64, content io.Reader) error {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="pushgateway.db"`)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.WriteHeader(http.StatusOK)
		_, err := io.Copy(w, content)
		return err
	})
	if err != nil {
		h.logger.Error("backup failed", "remote_addr", r.RemoteAddr, "err", err)
		return fmt.Errorf("backup: %w", err)
	}
	return nil
}

// redirectToProfiles answers GET /debug/pprof.
func (h *processHandler) redirectToProfiles(w http.ResponseWriter, r *request) error {
	http.Redirect(w, r.Request, h.routePrefix+"/debug/pprof/", http.StatusMovedPermanently)
	return nil
}

// profile answers GET /debug/pprof/… with a runtime profile.
func (h *processHandler) profile(w http.ResponseWriter, r *request) error {
	switch strings.TrimPrefix(r.path, "/debug/pprof/") {
	case "cmdline":
		pprof.Cmdline(w, r.Request)
	case "profile":
		pprof.Profile(w, r.Request)
	case "symbol":
		pprof.Symbol(w, r.Request)
	case "trace":
		pprof.Trace(w, r.Request)
	default:
		// Index finds the profile's name in a path without route prefix.
		relative := r.Clone(r.Context())
		relative.URL.Path = r.path
		pprof.Index(w, relative)
	}
	return nil
}
