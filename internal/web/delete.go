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

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

// maxDeletedListed is the maximum number of deleted groups that an answer lists.
const maxDeletedListed = 100

// deleteHandler handles deletions.
type deleteHandler struct {
	store      *store.Store
	validation metric.ValidationScheme
	audit      *auditor
	history    *history.Log
	views      *groupview.Source
}

// group answers DELETE for the group that the path names.
func (h *deleteHandler) group(w http.ResponseWriter, r *request) error {
	key, err := r.groupKey("/metrics/", h.validation)
	if err == nil {
		err = rejectOptions(r)
	}
	if err != nil {
		return err
	}
	found, err := h.store.Delete(key)
	if err != nil {
		return err
	}
	h.history.Forget(key)
	w.Header().Set("Content-Type", plainText)
	w.WriteHeader(http.StatusAccepted)
	if h.audit.guard != nil {
		count := 0
		if found {
			count = 1
		}
		h.audit.log(r, "delete", "groups", count, "names", metric.Shorten(key.String()))
	}
	if found {
		fmt.Fprintf(w, "1 group deleted: %s\n", key)
		return nil
	}
	fmt.Fprintf(w, "0 groups deleted: no group has exactly the labels %s. DELETE needs the group's full set of labels; "+
		"to delete by selector use DELETE /api/v1/groups (with --web.enable-admin-api)\n", key)
	return nil
}

// wipe answers PUT /api/v1/admin/wipe.
func (h *deleteHandler) wipe(w http.ResponseWriter, r *request) error {
	count, err := h.deleteAll()
	if err != nil {
		return err
	}
	h.audit.log(r, "wipe", "groups", count)
	w.WriteHeader(http.StatusAccepted)
	return nil
}

// selection is what DELETE /api/v1/groups is to delete.
type selection struct {
	query     search.Query
	olderThan time.Duration // since the last successful push; 0 for any age
	dryRun    bool
}

// parseSelection parses the query of DELETE /api/v1/groups. Anything that it does not
// understand is an error: it might be a restriction.
func parseSelection(query string) (selection, error) {
	var s selection
	values, err := url.ParseQuery(query)
	if err != nil {
		return s, fmt.Errorf("the query cannot be parsed, so nothing was deleted: %w", err)
	}
	for name, given := range values {
		switch {
		case !slices.Contains([]string{"match[]", "older_than", "dry_run"}, name):
			return s, fmt.Errorf("unknown parameter %.40q: use match[], older_than or dry_run; nothing was deleted", name)
		case name != "match[]" && len(given) > 1:
			return s, fmt.Errorf("%s is given %d times: nothing was deleted", name, len(given))
		}
	}
	if len(values["match[]"]) == 0 {
		return s, fmt.Errorf(`say which groups to delete, as in match[]={job="x"}; to delete all groups, PUT /api/v1/admin/wipe`)
	}
	if s.query, err = search.NewQuery(search.Params{Match: values["match[]"]}); err != nil {
		return s, err
	}
	if all := s.query.Unbounded(); all != "" {
		return s, fmt.Errorf(`match[]=%s only says which labels a group must not have: it must also require a label, as {job="x"} does; `+
			`{job=~".+"} matches all groups`, all)
	}
	if values.Has("older_than") {
		text := values.Get("older_than")
		age, err := model.ParseDuration(text)
		if err != nil || age <= 0 {
			return s, fmt.Errorf("older_than: %.40q is not a duration such as 90m, 24h or 7d: nothing was deleted", text)
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

// bySelector answers DELETE /api/v1/groups.
func (h *deleteHandler) bySelector(w http.ResponseWriter, r *request) error {
	selected, err := parseSelection(r.URL.RawQuery)
	if n, _ := r.Body.Read(make([]byte, 1)); n > 0 {
		err = errors.New("the request has a body, but parameters go in the query (with curl: --get): nothing was deleted")
	}
	if err != nil {
		return badRequest("%v", err)
	}
	if !selected.dryRun {
		// What clients were told is stored must not be missed, whichever replica told them.
		if err := h.store.CatchUp(); err != nil {
			return err
		}
	}
	view := h.views.View()
	old := func(g *store.Group) bool {
		return selected.olderThan == 0 || view.Now.Sub(g.TTLStart()) > selected.olderThan
	}
	var groups []*store.Group
	for _, row := range view.Find(selected.query).Rows {
		if row.Stored && old(row.Group) && r.principal.May(access.Delete, row.Group.Key) {
			groups = append(groups, row.Group)
		}
	}
	if !selected.dryRun {
		if groups, err = h.delete(groups, old); err != nil {
			return err
		}
		h.audit.log(r, "delete", "groups", len(groups), "names", namesOf(groups),
			"match", metric.Shorten(strings.Join(r.URL.Query()["match[]"], " ")))
	}
	answer := api.Deleted{Count: len(groups), DryRun: selected.dryRun, Groups: groups[:min(len(groups), maxDeletedListed)]}
	if r.principal.Limited() {
		answer.LimitedTo = r.principal.Match()
	}
	w.Header().Set("Content-Type", jsonType)
	return api.WriteDeleted(w, answer)
}

// delete deletes, in one step, those of the groups that are still stored and still match
// the condition, which may be nil. It returns them.
func (h *deleteHandler) delete(groups []*store.Group, condition func(*store.Group) bool) ([]*store.Group, error) {
	keys := make([]metric.GroupingKey, len(groups))
	for i, g := range groups {
		keys[i] = g.Key
	}
	deleted, err := h.store.DeleteAll(keys, condition)
	h.forget(deleted)
	return deleted, err
}

// forget removes groups from the history.
func (h *deleteHandler) forget(groups []*store.Group) {
	for _, g := range groups {
		h.history.Forget(g.Key)
	}
}

// deleteAll deletes all groups and returns their number.
func (h *deleteHandler) deleteAll() (int, error) {
	count, err := h.store.Wipe()
	if err == nil {
		h.history.ForgetAll()
	}
	return count, err
}
