package web

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/api"
	"pushgateway/internal/rules"
)

// Storage is what requests need of the place where the store's groups are persisted.
type Storage interface {
	// Ready returns nil if changes are accepted, and otherwise the reason.
	Ready() error
	// Loading reports whether the persisted groups are still being loaded. Until they
	// are, nothing is exposed, since a part of them would look like all.
	Loading() bool
	Status() api.Storage
	// Backup passes a consistent copy of the file to send. The error is
	// errors.ErrUnsupported if there is no file.
	Backup(send func(size int64, content io.WriterTo) error) error
	// Collectors returns the storage's own metrics, which are the same at each call.
	Collectors() []prometheus.Collector
}

const plainText = "text/plain; charset=utf-8"

// processHandler answers requests about the process: its health, its life and its
// profiles.
type processHandler struct {
	storage     Storage
	rules       *rules.Manager
	quitProcess func()
	routePrefix string
	logger      *slog.Logger
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
	if err := h.storage.Ready(); err != nil {
		return err
	}
	return answerOK(w, r)
}

// quit answers PUT and POST /-/quit.
func (h *processHandler) quit(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", plainText)
	_, err := io.WriteString(w, "Requesting termination... Goodbye!")
	h.quitProcess()
	return err
}

// reload answers PUT and POST /-/reload.
func (h *processHandler) reload(http.ResponseWriter, *request) error {
	if !h.rules.Configured() {
		return notFound("there is nothing to reload: start the gateway with --config.file")
	}
	if err := h.rules.Reload(); err != nil {
		return fmt.Errorf("rules not reloaded, the previous rules stay in use: %w", err)
	}
	return nil
}

// backup answers GET /api/v1/admin/backup with a copy of the persistence file, which a
// gateway can start from.
func (h *processHandler) backup(w http.ResponseWriter, r *request) error {
	err := h.storage.Backup(func(size int64, content io.WriterTo) error {
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="pushgateway.db"`)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		w.WriteHeader(http.StatusOK)
		_, err := content.WriteTo(w)
		return err
	})
	if err != nil {
		h.logger.Error("backup failed", "source", r.RemoteAddr, "err", err)
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
