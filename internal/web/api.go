package web

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"pushgateway/internal/api"
	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
	"pushgateway/internal/store"
)

const jsonType = "application/json"

// Limits of the groups that one answer lists.
const (
	defaultGroups = 100
	maxGroups     = 10_000
)

// apiHandler answers the read requests of the API.
type apiHandler struct {
	store      *store.Store
	storage    Storage
	status     api.Status // without its Storage
	validation metric.ValidationScheme
	now        func() time.Time
	history    *history.Log
	index      *search.Index
}

// allMetrics answers GET /api/v1/metrics.
func (h *apiHandler) allMetrics(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", jsonType)
	return api.WriteMetrics(w, h.store.Snapshot())
}

// gatewayStatus answers GET /api/v1/status.
func (h *apiHandler) gatewayStatus(w http.ResponseWriter, _ *request) error {
	w.Header().Set("Content-Type", jsonType)
	status := h.status
	status.Storage = h.storage.Status()
	return api.WriteStatus(w, status)
}

// groups answers GET /api/v1/groups.
func (h *apiHandler) groups(w http.ResponseWriter, r *request) error {
	values := r.URL.Query()
	query, err := search.NewQuery(search.Params{
		Match: values["match[]"], Search: values.Get("search"), State: values.Get("state"),
		Age: values.Get("age"), Sort: values.Get("sort"),
	})
	if err != nil {
		return badRequest("%v", err)
	}
	list := api.Groups{}
	if list.Limit, err = wholeNumber(values.Get("limit"), "limit", defaultGroups, maxGroups); err != nil {
		return err
	}
	if list.Offset, err = wholeNumber(values.Get("offset"), "offset", 0, 1<<31-1); err != nil {
		return err
	}
	now := h.now()
	rejected := search.Rejected(h.history.Rejected())
	found := h.index.Of(h.store.Snapshot()).Find(query, rejected, now)
	list.Total = len(found.Rows)
	list.States = map[string]int{}
	for state, count := range found.Counts {
		list.States[string(state)] = count
	}
	first := min(list.Offset, list.Total)
	for _, row := range found.Rows[first:min(first+list.Limit, list.Total)] {
		list.Groups = append(list.Groups, h.groupOf(row, &query, rejected, now))
	}
	w.Header().Set("Content-Type", jsonType)
	return api.WriteGroups(w, list)
}

// wholeNumber parses a parameter that is a whole number from 0 to max.
func wholeNumber(text, name string, byDefault, max int) (int, error) {
	if text == "" {
		return byDefault, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > max {
		return 0, badRequest("%s: %.20q is not a whole number from 0 to %d", name, text, max)
	}
	return n, nil
}

func (h *apiHandler) groupOf(row *search.Row, query *search.Query, rejected search.Rejected, now time.Time) api.Group {
	g := row.Group
	expires, _ := h.store.ExpiresAt(g)
	return api.Group{
		Key: g.Key, Summed: g.Summed, Expired: g.Expired, Expires: expires, State: string(query.StateOf(g, rejected, now)),
		Pushed: g.Pushed, Failed: rejected.FailedAt(g), LastRejected: h.history.LastRejected(g.Key),
		Families: len(g.Families), Series: row.Series, Bytes: row.Bytes,
	}
}

// group answers GET /api/v1/groups/… with the group that the path names.
func (h *apiHandler) group(w http.ResponseWriter, r *request) error {
	path := "/metrics/" + strings.TrimPrefix(r.path, apiGroupsPath)
	if !isGroupPath(path) {
		return badRequest("the path must be %sjob/<job>{/<label>/<value>}", apiGroupsPath)
	}
	key, err := parseGroupPath(path, h.validation)
	if err != nil {
		return err
	}
	g := h.store.Snapshot().Group(key)
	if g == nil {
		return notFound("no group has exactly the labels %s: it may have been deleted or have expired", key)
	}
	pushes, last := h.history.Group(key)
	rejected := search.Rejected{}
	if last != nil {
		rejected[key.ID()] = last.At
	}
	row := search.RowOf(g)
	query := search.Query{Age: search.DefaultAge}
	w.Header().Set("Content-Type", jsonType)
	return api.WriteGroup(w, h.groupOf(&row, &query, rejected, h.now()), pushes, g)
}
