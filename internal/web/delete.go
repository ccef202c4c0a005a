package web

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// maxDeletedListed is how many of the groups that were deleted an answer lists.
const maxDeletedListed = 100

// selection is what DELETE /api/v1/groups asks for.
type selection struct {
	query     search.Query
	olderThan time.Duration // since the last successful push; 0 for any
	dryRun    bool
}

// selected reads the query of DELETE /api/v1/groups. It rejects whatever it does not
// understand: that might be a bound.
func selected(query string) (selection, error) {
	var s selection
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, fmt.Errorf("the query cannot be read, so nothing was deleted: %w", err)
	}
	for name, given := range values {
		switch {
		case !slices.Contains([]string{"match[]", "older_than", "dry_run"}, name):
			return s, fmt.Errorf("%.40q is none of match[], older_than, dry_run: nothing was deleted", name)
		case name != "match[]" && len(given) > 1:
			return s, fmt.Errorf("%s is given %d times: nothing was deleted", name, len(given))
		}
	}
	if len(values["match[]"]) == 0 {
		return s, fmt.Errorf(`say which groups to delete, as in match[]={job="x"}; to delete all there are, PUT /api/v1/admin/wipe`)
	}
	if s.query, err = search.NewQuery(search.Params{Match: values["match[]"]}); err != nil {
		return s, err
	}
	if all := s.query.Unbounded(); all != "" {
		return s, fmt.Errorf(`match[]=%s only says what a group must not have: it must also demand something, as {job="x"} does; {job=~".+"} fits all`, all)
	}
	if values.Has("older_than") {
		text := values.Get("older_than")
		age, err := model.ParseDuration(text)
		if err != nil || age <= 0 {
			return s, fmt.Errorf("older_than: %.40q is no duration such as 90m, 24h or 7d: nothing was deleted", text)
		}
		s.olderThan = time.Duration(age)
	}
	s.dryRun = values.Has("dry_run")
	if text := values.Get("dry_run"); text != "" {
		if s.dryRun, err = strconv.ParseBool(text); err != nil {
			return s, fmt.Errorf("dry_run: %.40q is neither true nor false", text)
		}
	}
	return s, nil
}

// apiDeleteGroups answers DELETE /api/v1/groups.
func (s *Server) apiDeleteGroups(w http.ResponseWriter, r *http.Request) {
	if !s.AdminAPI {
		s.apiError(w, r, http.StatusNotFound, api.NotFound, "to delete groups by a selector, start the gateway with --web.enable-admin-api")
		return
	}
	if fromOtherSite(r) || r.Header.Get("Origin") == "null" { // there is no token, as pages have
		s.apiError(w, r, http.StatusForbidden, api.BadData, "this request comes from the page of another site, which must not delete anything here")
		return
	}
	wanted, err := selected(r.URL.RawQuery)
	if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
		err = errors.New("the request has a body, but parameters go in the query (with curl: --get): nothing was deleted")
	}
	if err != nil {
		s.apiError(w, r, http.StatusBadRequest, api.BadData, err.Error())
		return
	}
	now := s.Now()
	old := func(g *store.Group) bool {
		return wanted.olderThan == 0 || now.Sub(g.TTLStart()) > wanted.olderThan
	}
	var groups []*store.Group
	for _, row := range s.index.Of(s.Store.Snapshot()).Find(wanted.query, nil, now).Rows {
		if old(row.Group) {
			groups = append(groups, row.Group)
		}
	}
	if !wanted.dryRun {
		if groups, err = s.deleteAll(groups, old); err != nil {
			s.apiRejection(w, r, err)
			return
		}
		s.Logger.Warn("groups deleted through the admin API", "groups", len(groups), "source", r.RemoteAddr, "match", metric.Shorten(strings.Join(r.URL.Query()["match[]"], " ")))
	}
	answer := api.Deleted{Count: len(groups), DryRun: wanted.dryRun}
	for _, g := range groups[:min(len(groups), maxDeletedListed)] {
		answer.Groups = append(answer.Groups, api.Group{Key: g.Key, Pushed: g.Pushed})
	}
	w.Header().Set("Content-Type", jsonType)
	if err := api.WriteDeleted(w, answer); err != nil {
		s.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
	}
}
