package web

import (
	"errors"
	"fmt"
	"net/http"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/store"
)

// Headers of pushes that may be sent again.
const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed" // of an answer: the push was applied before
)

// maxKeyLength bounds idempotency keys, in bytes.
const maxKeyLength = 128

// wanted is what a request says of how its push is to be taken.
type wanted struct {
	options        metric.Options
	replace        bool // PUT rather than POST
	idempotencyKey string
}

// wantedBy returns what the request wants, of whose path the prefix gives options.
func wantedBy(r *http.Request, prefix []string) (wanted, error) {
	w := wanted{replace: r.Method == http.MethodPut}
	var err error
	if w.idempotencyKey, err = idempotencyKey(r.Header[idempotencyHeader]); err != nil {
		return w, err
	}
	if w.options, err = pushoptions.FromRequest(r.URL.RawQuery, r.Header, prefix); err != nil {
		return w, err
	}
	if merge := w.options.Merge; w.replace && merge != metric.MergeDefault && merge != metric.MergeGroup {
		return w, metric.Reject(metric.BadOption,
			"merge=%s does not fit PUT, which replaces the whole group: send it with POST (client libraries call that add, or pushadd)", merge)
	}
	return w, nil
}

// idempotencyKey returns the value of the header; empty where there is none.
func idempotencyKey(given []string) (string, error) {
	switch {
	case len(given) == 0:
		return "", nil
	case len(given) > 1:
		return "", metric.Reject(metric.BadOption, "the header %s is given %d times: send one for each push", idempotencyHeader, len(given))
	case given[0] == "", len(given[0]) > maxKeyLength:
		return "", metric.Reject(metric.BadOption, "the header %s has %d bytes, but must have 1 to %d: send a random identifier, such as a UUID",
			idempotencyHeader, len(given[0]), maxKeyLength)
	}
	return given[0], nil
}

// manner returns how a push to the group called key is taken: as it wants itself,
// then as the rules say, then as the flags and the method do.
func (s *Server) manner(key metric.GroupingKey, w wanted) (store.PushOptions, error) {
	o := w.options.Or(s.rules.Load().For(key)).Or(s.Defaults)
	m := store.PushOptions{
		Validation: s.Names, Merge: o.Merge, Gauges: o.Gauges,
		// Only a rule has PUT add up. Then it is what begins a sum anew.
		Reset:          w.replace,
		Expiry:         w.options.Expiry,
		DropTimestamps: o.Timestamps == metric.TimestampsDrop,
		IdempotencyKey: w.idempotencyKey,
	}
	if m.Merge == metric.MergeDefault {
		m.Merge = metric.MergeFamily
		if w.replace {
			m.Merge = metric.MergeGroup
		}
	}
	if w.options.Gauges != metric.GaugeDefault && m.Merge != metric.MergeSum {
		return m, metric.Reject(metric.BadOption, "gauges says how gauges are added up, but this push is not added to its group: push with merge=sum, too")
	}
	return m, nil
}

// mergedByRule adds to a rejection, for those who asked for nothing, that a rule has the
// push added up, where that may be behind it.
func (s *Server) mergedByRule(key metric.GroupingKey, w wanted, err error) error {
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok || w.options.Merge != metric.MergeDefault {
		return err
	}
	merge := s.rules.Load().For(key).Merge
	switch rejection.Reason {
	case metric.BadMerge, metric.BadValue, metric.TypeConflict:
		if merge == metric.MergeSum || merge == metric.MergeSeries {
			ruled := *rejection
			ruled.Message = fmt.Sprintf("%s; the gateway's rules file says merge: %s for this group, for PUT as well: only merge=group replaces it",
				rejection.Message, merge)
			return &ruled
		}
	}
	return err
}

// rejectOptions rejects options in the query of a DELETE, where they can only be a
// mistake. In headers and in the path they stand for all requests of a client, and
// mean nothing here.
func rejectOptions(r *http.Request) error {
	options, err := pushoptions.FromRequest(r.URL.RawQuery, nil, nil)
	if err == nil && options != (metric.Options{}) {
		err = metric.Reject(metric.BadOption, "DELETE takes no options such as ttl or merge: it deletes the group at once; to have it go later, push with ttl")
	}
	return err
}
