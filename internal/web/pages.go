package web

import (
	"net/http"

	"pushgateway/internal/webui"
)

func (s *Server) groupsPage(w http.ResponseWriter, r *http.Request) {
	s.logPageError(r, s.Pages.Groups(w, r, s.Store.View()))
}

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	s.logPageError(r, s.Pages.Status(w, r, webui.Status{Status: s.Status, Totals: s.Store.Totals()}))
}

func (s *Server) logPageError(r *http.Request, err error) {
	if err != nil {
		s.Logger.Error("page not shown", "path", r.URL.Path, "source", r.RemoteAddr, "err", err)
	}
}
