package web

import (
	"net/http"

	"pushgateway/internal/webui"
)

func (s *Server) groupsPage(w http.ResponseWriter, r *http.Request) {
	s.answerPageError(w, r, s.Pages.Groups(w, r, s.Store.View()))
}

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request) {
	s.answerPageError(w, r, s.Pages.Status(w, r, webui.Status{Status: s.Status, Totals: s.Store.Totals()}))
}

// answerPageError deals with a page that could not be rendered. Where it could,
// but not be sent, the status is out and what is written here goes nowhere.
func (s *Server) answerPageError(w http.ResponseWriter, r *http.Request, err error) {
	if err != nil {
		s.Logger.Error("page not shown", "path", r.URL.Path, "source", r.RemoteAddr, "err", err)
		answerError(w, err)
	}
}
