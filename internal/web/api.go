package web

import (
	"net/http"
	"strconv"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/groupview"
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
	status     api.Status // without its Storage
	validation metric.ValidationScheme
	views      *groupview.Source
}

// allMetrics answers GET /api/v1/metrics.
func (h *apiHandler) allMetrics(w http.ResponseWriter, r *request) error {
	w.Header().Set("Content-Type", jsonType)
	return api.WriteMetrics(w, func(yield func(*store.Group) bool) {
		for g := range h.store.Snapshot().Groups() {
			if r.principal.May(access.Read, g.Key) && !yield(g) {
				return
			}
		}
	})
}

// gatewayStatus answers GET /api/v1/status.
func (h *apiHandler) gatewayStatus(w http.ResponseWriter, r *request) error {
	w.Header().Set("Content-Type", jsonType)
	status := h.status
	status.Storage, status.Replicas = storageFor(r, h.store), replicasOf(h.store)
	return api.WriteStatus(w, status)
}

// storageFor returns the status of the storage, without what it says of groups that the
// sender of the request may not read.
func storageFor(r *request, s *store.Store) api.Storage {
	status := storageOf(s.Status())
	if r.principal.Limited() {
		status.SizeBytes, status.Pending = 0, 0
	}
	return status
}

// storageOf returns the status of the journal as the API describes it.
func storageOf(j store.JournalStatus) api.Storage {
	out := api.Storage{
		Durable: j.Durable, File: j.File, Database: j.Database, Sync: j.Sync, SizeBytes: j.SizeBytes, LastCommit: j.LastCommit,
		Pending: j.PendingGroups, Warning: j.Warning,
	}
	if j.Err != nil {
		out.Error = j.Err.Error()
	}
	return out
}

// replicasOf returns the replicas of the store as the API describes them, nil if there are
// none.
func replicasOf(s *store.Store) *api.Replicas {
	seen, shared := s.Replicas()
	if !shared {
		return nil
	}
	out := &api.Replicas{
		Name: seen.Name, Sequence: seen.Sequence, LastContact: seen.Contact, ClockSkew: seen.ClockSkew.Seconds(), All: []api.Replica{},
	}
	for _, r := range seen.All {
		out.All = append(out.All, api.Replica(r))
	}
	return out
}

// viewFor returns the view of the groups that the sender of the request may read.
func viewFor(r *request, views *groupview.Source) *groupview.View {
	view := views.View()
	if r.principal.Has(access.Read) && !r.principal.Limited() {
		return view
	}
	return view.Only(func(key metric.GroupingKey) bool { return r.principal.May(access.Read, key) })
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
	limit, err := wholeNumber(values.Get("limit"), "limit", defaultGroups, maxGroups)
	if err != nil {
		return err
	}
	offset, err := wholeNumber(values.Get("offset"), "offset", 0, 1<<31-1)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	return api.WriteGroups(w, viewFor(r, h.views).Find(query), offset, limit)
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

// group answers GET /api/v1/groups/… with the group that the path names.
func (h *apiHandler) group(w http.ResponseWriter, r *request) error {
	key, err := r.groupKey(apiGroupsPath, h.validation)
	if err != nil {
		return err
	}
	g, known := viewFor(r, h.views).Group(key, search.DefaultAge)
	if !known {
		return notFound("no group has exactly the labels %s: it may have been deleted or have expired", key)
	}
	w.Header().Set("Content-Type", jsonType)
	return api.WriteGroup(w, g)
}
