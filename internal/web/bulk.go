package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/store"
)

// apiPushPath is where many groups are pushed to at once.
const apiPushPath = "/api/v1/push"

// atOnce is how many groups of one request are applied at the same time, so that
// they share the commits of a file.
const atOnce = 256

// maxGroupingLabels bounds the labels that name the groups of one request.
const maxGroupingLabels = 32

// maxLogged bounds the log lines about rejected groups of one request.
const maxLogged = 10

// many answers POST /api/v1/push: it pushes each metric to the group that the
// metric's own labels name. Every group is applied as a whole or not at all, and
// whatever becomes of the others.
func (p *pusher) many(w http.ResponseWriter, r *http.Request) {
	if err := p.Storage.Ready(); err != nil {
		p.apiRejection(w, r, err)
		return
	}
	prefix, path := p.target(r)
	buffers := p.borrow()
	defer p.giveBack(buffers)
	parts, want, err := p.parts(r, prefix, &buffers.reader)
	if err != nil {
		err = p.explained(r, err)
		p.remember(r, path, metric.GroupingKey{}, r.ContentLength, false, err)
		p.rejected(r, path, metric.GroupingKey{}, err)
		p.apiRejection(w, r, err)
		return
	}
	outcomes := p.applyAll(parts, want)
	logged := 0
	for i := range outcomes {
		o := &outcomes[i]
		o.Err = p.explained(r, o.Err)
		p.remember(r, path, o.Key, -1, o.Replayed, o.Err)
		switch {
		case o.Err == nil:
		case logged == maxLogged:
			p.metrics.countRejection(o.Err)
		default:
			logged++
			p.rejected(r, path, o.Key, o.Err)
		}
	}
	p.answerMany(w, r, outcomes)
}

// parts reads the body of a push to many groups.
func (p *pusher) parts(r *http.Request, prefix []string, reader *bodyReader) ([]metric.GroupFamilies, wanted, error) {
	want, err := wantedBy(r, prefix)
	if err != nil {
		return nil, want, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, want, metric.Reject(metric.BadOption, "the query cannot be read: %v", err)
	}
	names, err := groupBy(query, p.Names)
	if err != nil {
		return nil, want, err
	}
	families, err := reader.read(r, p.Names)
	if err != nil {
		return nil, want, err
	}
	parts, err := metric.SplitByGroup(families, names)
	return parts, want, err
}

// groupBy returns the names of the labels that divide a push among groups. Of the
// query it takes nothing unknown: no client of another gateway sends things here.
func groupBy(query url.Values, allowed metric.ValidationScheme) ([]string, error) {
	var names []string
	for name := range query {
		if name != "group_by" && !pushoptions.Known(name) {
			return nil, metric.Reject(metric.BadOption, "%.40q in the query is neither group_by nor an option; these are %s", name, pushoptions.List())
		}
	}
	for _, list := range query["group_by"] {
		for name := range strings.SplitSeq(list, ",") {
			name = strings.TrimSpace(name)
			switch {
			case !allowed.ValidLabel(name) || metric.Reserved(name):
				return nil, metric.Reject(metric.BadOption, "group_by=%s in the query: %q cannot be a grouping label's name", list, name)
			case !slices.Contains(names, name):
				names = append(names, name)
			}
			if len(names) > maxGroupingLabels {
				return nil, metric.Reject(metric.BadOption, "group_by names more than %d labels", maxGroupingLabels)
			}
		}
	}
	if !slices.Contains(names, metric.JobLabel) {
		return nil, metric.Reject(metric.BadOption,
			"say in the query which labels of the metrics name their group, with job among them, as in %s?group_by=job,instance", apiPushPath)
	}
	return names, nil
}

// applyAll applies the parts and returns what became of each.
func (p *pusher) applyAll(parts []metric.GroupFamilies, want wanted) []api.Pushed {
	outcomes := make([]api.Pushed, len(parts))
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(atOnce, len(parts)) {
		workers.Go(func() {
			var encoder store.Encoder
			for i := int(next.Add(1)) - 1; i < len(parts); i = int(next.Add(1)) - 1 {
				o := &outcomes[i]
				o.Key = parts[i].Key
				o.Replayed, o.Err = p.apply(&encoder, o.Key, parts[i].Families, want)
			}
		})
	}
	workers.Wait()
	return outcomes
}

// answerMany answers with what became of each group: 200 where all were applied, 207
// where some were, and otherwise as the first would be answered by itself; but a
// failure that may pass stands before rejections, so that clients try again. One that
// sends again whatever was not answered 2xx adds nothing twice.
func (p *pusher) answerMany(w http.ResponseWriter, r *http.Request, outcomes []api.Pushed) {
	applied, status := 0, http.StatusOK
	var worst error
	for i := range outcomes {
		err := outcomes[i].Err
		switch {
		case err == nil:
			applied++
		case worst == nil, reasonOf(worst) != "" && reasonOf(err) == "":
			worst = err
		}
	}
	switch {
	case worst == nil:
	case applied > 0:
		status = http.StatusMultiStatus
	default:
		status = statusOf(worst)
	}
	w.Header().Set("Content-Type", jsonType)
	giveRetryAfter(w, worst)
	w.WriteHeader(status)
	if err := api.WritePushed(w, outcomes, kindOf(worst)); err != nil {
		p.Logger.Error("API answer cut short", "source", r.RemoteAddr, "err", err)
	}
}

// apiRejection answers a request of the API that was rejected.
func (s *Server) apiRejection(w http.ResponseWriter, r *http.Request, err error) {
	giveRetryAfter(w, err)
	s.apiError(w, r, statusOf(err), kindOf(err), err.Error())
}

// kindOf returns the kind that an error has in the API.
func kindOf(err error) string {
	if reasonOf(err) == "" {
		return api.Unavailable
	}
	return api.BadData
}
