package web

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"sync/atomic"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/store"
)

const (
	// maxConcurrentGroups is how many groups of a bulk push are applied at a time, so
	// that they share the commits of a file.
	maxConcurrentGroups = 256
	// maxLoggedRejections is the maximum number of log lines about one bulk push.
	maxLoggedRejections = 10
)

// bulk answers POST /api/v1/push: it pushes each metric to the group that the metric's own
// labels name. Each group is applied as a whole or not at all, independently of the
// others.
func (h *pushHandler) bulk(w http.ResponseWriter, r *request) error {
	if err := h.store.Ready(); err != nil {
		return err
	}
	var pushed []api.Pushed
	err := h.withBody(r, pushbody.AtOnce, h.limits.Max(limits.BodySize), func(body *pushbody.Body) error {
		buffers := h.borrow()
		defer h.giveBack(buffers)
		sink, err := h.readBulk(r, body, &buffers.reader)
		if err == nil {
			pushed = h.applyAll(sink, r.principal)
		}
		return err
	})
	if err != nil {
		err = explain(err, h.pages.Address(r.Request))
		h.recorder.record(r, outcome{size: r.ContentLength, err: err})
		return err
	}
	h.recordAll(r, pushed, -1)
	return answerBulk(w, pushed)
}

// recordAll records the outcomes of a request for many groups. size is that of each push, -1 if
// that is not known. It leaves the errors in pushed as their sender may see them.
func (h *pushHandler) recordAll(r *request, pushed []api.Pushed, size int64) {
	address := h.pages.Address(r.Request)
	h.denied(r, pushed)
	logged := 0
	for i := range pushed {
		p := &pushed[i]
		if isDenied(p.Err) {
			continue // no matter of the group's
		}
		p.Err = explain(p.Err, address)
		o := outcome{p.Key, size, p.Replayed, p.Err}
		h.recorder.remember(r, o)
		switch {
		case p.Err == nil:
		case logged == maxLoggedRejections:
			h.metrics.countRejection(p.Err)
		default:
			logged++
			h.recorder.reject(r, o)
		}
		p.Err = discreet(p.Err, r.principal)
	}
}

// denied counts and logs the groups that the sender may not push to, in one line.
func (h *pushHandler) denied(r *request, pushed []api.Pushed) {
	count := 0
	var first metric.GroupingKey
	for i := range pushed {
		if isDenied(pushed[i].Err) {
			if count++; count == 1 {
				first = pushed[i].Key
			}
			h.metrics.countDenied(access.Push)
		}
	}
	if count > 0 {
		h.audit.log(r, "denied", "right", access.Push.String(), "method", r.Method, "path", metric.Shorten(r.path),
			"groups", count, "first", metric.Shorten(first.String()))
	}
}

func isDenied(err error) bool {
	_, ok := errors.AsType[*access.DeniedError](err)
	return ok
}

// isTemporary reports whether the same push may succeed later.
func isTemporary(err error) bool { return reasonOf(err) == "" && !isDenied(err) }

// readBulk reads a bulk push and splits it by group.
func (h *pushHandler) readBulk(r *request, body *pushbody.Body, reader *pushbody.Reader) (*bulkSink, error) {
	asked, err := parseRequestOptions(r)
	if err != nil {
		return nil, err
	}
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return nil, metric.Reject(metric.BadOption, "the query cannot be parsed: %v", err)
	}
	names, err := groupBy(query, asked.options.GroupBy, h.validation)
	if err != nil {
		return nil, err
	}
	sink := &bulkSink{handler: h, asked: asked, names: names, reserve: body.ReserveMore}
	sink.Reset()
	err = reader.Read(body, h.validation, sink)
	if err != nil && err != sink.duplicate {
		return nil, err
	}
	return sink, nil
}

// groupBy returns the names of the labels by which a bulk push is split into groups.
func groupBy(query url.Values, given metric.LabelNames, allowed metric.ValidationScheme) ([]string, error) {
	if err := rejectUnknown(query); err != nil {
		return nil, err
	}
	names := given.All()
	for _, name := range names {
		if !allowed.ValidLabel(name) || metric.Reserved(name) {
			return nil, metric.Reject(metric.BadOption, "group_by=%s: %q cannot be a grouping label's name", given, name)
		}
	}
	if !slices.Contains(names, metric.JobLabel) {
		return nil, metric.Reject(metric.BadOption,
			"say in the query which labels of the metrics name their group, with job among them, as in %s?group_by=job,instance", apiPushPath)
	}
	return names, nil
}

// rejectUnknown rejects parameters that are no options: clients of other Pushgateways send no
// requests for many groups.
func rejectUnknown(query url.Values) error {
	for name := range query {
		if !pushoptions.Known(name) {
			return metric.Reject(metric.BadOption, "%.40q in the query is no option; the options are %s", name, pushoptions.List())
		}
	}
	return nil
}

// applyAll applies those of the groups that the sender may push to, and returns the
// outcome of each.
func (h *pushHandler) applyAll(sink *bulkSink, sender *access.Principal) []api.Pushed {
	groups := sink.splitter.Groups()
	pushed := make([]api.Pushed, len(groups))
	concurrently(len(groups), func(encoder *store.Encoder, i int) {
		p := &pushed[i]
		p.Key = groups[i].Key
		if p.Err = sender.CheckGroup(access.Push, p.Key); p.Err != nil {
			return
		}
		if p.Err = sink.resume(encoder, i); p.Err == nil {
			p.Replayed, p.Err = h.apply(encoder, p.Key, sink.asked)
		}
	})
	return pushed
}

// concurrently calls push for each of n groups, several at a time, and returns once all calls
// have returned.
func concurrently(n int, push func(encoder *store.Encoder, i int)) {
	var next atomic.Int64
	var workers sync.WaitGroup
	for range min(maxConcurrentGroups, n) {
		workers.Go(func() {
			var encoder store.Encoder
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				push(&encoder, i)
			}
		})
	}
	workers.Wait()
}

// answerBulk answers a bulk push with the outcome of each group: with 200 if all were
// applied, with 207 if some were, and otherwise with the status of the first error.
// Temporary failures come before rejections, so that clients try again: a client that
// sends again whatever was not answered with 2xx adds nothing twice.
func answerBulk(w http.ResponseWriter, pushed []api.Pushed) error {
	applied, status := 0, http.StatusOK
	var worst error
	for i := range pushed {
		err := pushed[i].Err
		switch {
		case err == nil:
			applied++
		case worst == nil, isTemporary(err) && !isTemporary(worst):
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
	setRetryAfter(w.Header(), worst)
	w.WriteHeader(status)
	return api.WritePushed(w, pushed, kindOf(worst))
}
