package web

import (
	"errors"
	"net/http"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

// Headers of pushes that are safe to retry.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed" // in an answer: the push was applied before
)

// maxIdempotencyKey is the maximum length of an idempotency key in bytes.
const maxIdempotencyKey = 128

// requestOptions are the options that a request gives for its push.
type requestOptions struct {
	options        metric.Options
	replace        bool         // PUT rather than POST
	merge          metric.Merge // unless the request or a rule says otherwise
	idempotencyKey string       // empty if there is none
}

// parseRequestOptions parses the options of a push.
func parseRequestOptions(r *request) (requestOptions, error) {
	asked := requestOptions{merge: metric.MergeFamily}
	if r.Method == http.MethodPut {
		asked.replace, asked.merge = true, metric.MergeGroup
	}
	var err error
	if asked.idempotencyKey, err = idempotencyKey(r.Header[idempotencyHeader]); err != nil {
		return asked, err
	}
	if asked.options, err = pushoptions.FromRequest(r.URL.RawQuery, r.Header, r.options); err != nil {
		return asked, err
	}
	if merge := asked.options.Merge; asked.replace && merge != metric.MergeDefault && merge != metric.MergeGroup {
		return asked, metric.Reject(metric.BadOption,
			"merge=%s does not fit PUT, which replaces the whole group: send it with POST (client libraries call that add, or pushadd)", merge)
	}
	return asked, nil
}

// idempotencyKey returns the value of the header Idempotency-Key, or "" if there is none.
func idempotencyKey(given []string) (string, error) {
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1:
		return "", metric.Reject(metric.BadOption, "the header %s is given %d times: send one for each push", idempotencyHeader, len(given))
	case given[0] == "", len(given[0]) > maxIdempotencyKey:
		return "", metric.Reject(metric.BadOption, "the header %s has %d bytes, but must have 1 to %d: send a random identifier, such as a UUID",
			idempotencyHeader, len(given[0]), maxIdempotencyKey)
	}
	return given[0], nil
}

// pushOptions resolves the options of a push: the request's own come first, then the first
// matching rule, then the flags, and last the method.
func (h *pushHandler) pushOptions(key metric.GroupingKey, asked requestOptions) (store.PushOptions, error) {
	var rule rules.Rule // sets nothing unless one matches
	inUse := h.rules.Rules()
	if i := inUse.Find(key); i >= 0 {
		rule = inUse.All()[i]
	}
	o := asked.options.Or(rule.Options()).Or(h.defaults)
	resolved := store.PushOptions{
		Limits: rule.Limits().Or(h.limits),
		Merge:  o.Merge, Gauges: o.Gauges,
		// Only a rule makes PUT add up. Then PUT is what resets a sum.
		Reset:          asked.replace,
		Expiry:         asked.options.Expiry,
		DropTimestamps: o.Timestamps == metric.TimestampsDrop,
		DropLabels:     o.DropLabels.All(),
		IdempotencyKey: asked.idempotencyKey,
	}
	if resolved.Merge == metric.MergeDefault {
		resolved.Merge = asked.merge
	}
	if asked.options.Gauges != metric.GaugeDefault && resolved.Merge != metric.MergeSum {
		return resolved, metric.Reject(metric.BadOption, "gauges says how gauges are merged in a sum, but this push is not summed: add merge=sum")
	}
	for _, name := range asked.options.DropLabels.All() {
		if _, ok := key.Value(name); ok {
			return resolved, metric.Reject(metric.BadOption, "drop_labels cannot drop %q, which is a label of the group %s: "+
				"labels of the group are not dropped, so leave it out", name, key)
		}
	}
	return resolved, nil
}

// mentionRule adds to a rejection that a rule merges pushes to the group, if the request
// did not ask for that and it may be the cause.
func (h *pushHandler) mentionRule(key metric.GroupingKey, asked requestOptions, err error) error {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok || asked.options.Merge != metric.MergeDefault {
		return err
	}
	merge := h.rules.For(key).Merge
	switch rejection.Reason {
	case metric.BadMerge, metric.BadValue, metric.TypeConflict:
		if merge == metric.MergeSum || merge == metric.MergeSeries {
			ruled := *rejection
			return ruled.Noting("%s; the gateway's rules file says merge: %s for this group, for PUT as well: only merge=group replaces it",
				rejection.Note, merge)
		}
	}
	return err
}

// rejectOptions rejects options in the query of a DELETE, where they can only be a
// mistake. In headers and in the path they are for all requests of a client and do not
// matter here.
func rejectOptions(r *request) error {
	options, err := pushoptions.FromRequest(r.URL.RawQuery, nil, nil)
	if err == nil && options != (metric.Options{}) {
		err = metric.Reject(metric.BadOption,
			"DELETE has no options such as ttl or merge: it deletes the group at once; to delete it later, push with ttl")
	}
	return err
}
