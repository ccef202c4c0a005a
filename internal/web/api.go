package web

import (
	"net/http"

	"pushgateway/internal/api"
)

const jsonType = "application/json"

// withCORS lets pages of other origins read the answer.
func withCORS(h http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Access-Control-Allow-Headers", "Accept, Authorization, Content-Type, Origin")
		header.Set("Access-Control-Allow-Methods", "GET, POST, DELETE, OPTIONS")
		header.Set("Access-Control-Allow-Origin", "*")
		header.Set("Access-Control-Expose-Headers", "Date")
		header.Set("Cache-Control", "no-cache, no-store, must-revalidate")
		h(w, r)
	})
}

func (s *Server) apiMetrics(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", jsonType)
	if err := api.WriteMetrics(w, s.Store.Snapshot()); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) apiStatus(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", jsonType)
	status := s.Status
	status.Storage = s.Storage.Status()
	if err := api.WriteStatus(w, status); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
	}
}
