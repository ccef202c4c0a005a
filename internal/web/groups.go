package web

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/search"
)

// How many groups one answer of the API lists.
const (
	defaultGroups = 100
	maxGroups     = 10_000
)

// apiGroups answers GET /api/v1/groups.
func (s *Server) apiGroups(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	query, err := search.NewQuery(search.Params{
		Match: values["match[]"], Search: values.Get("search"), State: values.Get("state"),
		Age: values.Get("age"), Sort: values.Get("sort"),
	})
	list := api.Groups{}
	if err == nil {
		list.Limit, err = number(values.Get("limit"), "limit", defaultGroups, maxGroups)
	}
	if err == nil {
		list.Offset, err = number(values.Get("offset"), "offset", 0, 1<<31-1)
	}
	if err != nil {
		s.apiError(w, r, http.StatusBadRequest, api.BadData, err.Error())
		return
	}
	now := s.Now()
	rejected := search.Rejected(s.history.Rejected())
	found := s.index.Of(s.Store.Snapshot()).Find(query, rejected, now)
	list.Total = len(found.Rows)
	list.States = map[string]int{}
	for state, count := range found.Counts {
		list.States[string(state)] = count
	}
	first := min(list.Offset, list.Total)
	for _, row := range found.Rows[first:min(first+list.Limit, list.Total)] {
		list.Groups = append(list.Groups, s.apiGroupOf(row, &query, rejected, now))
	}
	w.Header().Set("Content-Type", jsonType)
	if err := api.WriteGroups(w, list); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
	}
}

// number reads a parameter that is a whole number from 0 to most.
func number(text, name string, usual, most int) (int, error) {
	if text == "" {
		return usual, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > most {
		return 0, fmt.Errorf("%s: %.20q is no whole number from 0 to %d", name, text, most)
	}
	return n, nil
}

func (s *Server) apiGroupOf(row *search.Row, query *search.Query, rejected search.Rejected, now time.Time) api.Group {
	g := row.Group
	expires, _ := s.Store.ExpiresAt(g)
	return api.Group{
		Key: g.Key, Summed: g.Summed, Expired: g.Expired, Expires: expires, State: string(query.StateOf(g, rejected, now)), Pushed: g.Pushed, Failed: rejected.FailedAt(g),
		LastRejected: s.history.LastRejected(g.Key), Families: len(g.Families), Series: row.Series, Bytes: row.Bytes,
	}
}

// apiOneGroup answers GET /api/v1/groups/… with the group of the path.
func (s *Server) apiOneGroup(w http.ResponseWriter, r *http.Request) {
	path := "/metrics/" + strings.TrimPrefix(s.relativePath(r), apiGroupsPrefix)
	if !isGroupPath(path) {
		s.apiError(w, r, http.StatusBadRequest, api.BadData, "the path must be "+apiGroupsPrefix+"job/<job>{/<label>/<value>}")
		return
	}
	key, err := parseGroupPath(path, s.Names)
	if err != nil {
		s.apiError(w, r, http.StatusBadRequest, api.BadData, err.Error())
		return
	}
	g := s.Store.Snapshot().Group(key)
	if g == nil {
		s.apiError(w, r, http.StatusNotFound, api.NotFound, fmt.Sprintf("there is no group with exactly the labels %s: it may have been deleted or have expired", key))
		return
	}
	pushes, last := s.history.Group(key)
	rejected := search.Rejected{}
	if last != nil {
		rejected[key.ID()] = last.At
	}
	row := search.RowOf(g)
	query := search.Query{Age: search.DefaultAge}
	w.Header().Set("Content-Type", jsonType)
	if err := api.WriteGroup(w, s.apiGroupOf(&row, &query, rejected, s.Now()), pushes, g); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
		panic(http.ErrAbortHandler)
	}
}

func (s *Server) apiError(w http.ResponseWriter, r *http.Request, status int, kind, message string) {
	w.Header().Set("Content-Type", jsonType)
	w.WriteHeader(status)
	if err := api.WriteError(w, kind, message); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
	}
}
