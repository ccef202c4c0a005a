package web

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/api"
)

// Storage is where the store's groups are kept, as far as requests are concerned.
type Storage interface {
	// Ready returns nil where changes are taken, otherwise why not.
	Ready() error
	// Loading reports whether the groups that were kept are still being loaded.
	// Until then nothing is exposed, since a part of it would look like the whole.
	Loading() bool
	Status() api.Storage
	// Backup passes a consistent copy of the file to send. The error is
	// errors.ErrUnsupported where there is no file.
	Backup(send func(size int64, content io.WriterTo) error) error
	// Collectors returns own metrics, always the same.
	Collectors() []prometheus.Collector
}

// whenLoaded answers 503 until the groups that were kept are loaded.
func (s *Server) whenLoaded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Storage.Loading() {
			answerError(w, s.Storage.Ready())
			return
		}
		h.ServeHTTP(w, r)
	})
}

// Loaded tells the server that the groups that were kept are in the store. Of those
// that cannot be exposed beside its own metrics it warns.
func (s *Server) Loaded() {
	if hidden := s.Store.HiddenFamilies(); len(hidden) > 0 {
		s.Logger.Warn("metrics that were kept are not exposed: the gateway's own have the same names, but other types; delete or replace what holds them, or give its own a path with --web.own-metrics-path",
			"families", strings.Join(hidden, " "))
	}
}

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	if err := s.Storage.Ready(); err != nil {
		answerError(w, err)
		return
	}
	answerOK(w, r)
}

// backup answers with a copy of the file, which a gateway can start from.
func (s *Server) backup(w http.ResponseWriter, r *http.Request) {
	sent := false
	err := s.Storage.Backup(func(size int64, content io.WriterTo) error {
		sent = true
		w.Header().Set("Content-Type", "application/octet-stream")
		w.Header().Set("Content-Disposition", `attachment; filename="pushgateway.db"`)
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
		_, err := content.WriteTo(w)
		return err
	})
	if err == nil {
		return
	}
	s.Logger.Error("backup failed", "source", r.RemoteAddr, "err", err)
	if sent {
		panic(http.ErrAbortHandler) // so that nobody takes a part for the whole
	}
	answerError(w, fmt.Errorf("backup: %w", err))
}
