package web

import (
	"mime"
	"net/http"
	"net/url"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/otlp"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/store"
)

// encodingOf returns the encoding of OTLP that a request has, and whether it has one.
func encodingOf(r *request) (otlp.Encoding, bool) {
	mediaType, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return 0, false
	}
	return otlp.EncodingOf(mediaType)
}

// answerOTLPError answers a request with an error as OTLP says, in the encoding of the request.
func answerOTLPError(w http.ResponseWriter, r *request, err error) {
	encoding, ok := encodingOf(r)
	if !ok {
		encoding = otlp.JSON
	}
	status := statusOf(err)
	w.Header().Set("Content-Type", encoding.MediaType())
	w.WriteHeader(status)
	_, _ = w.Write(otlp.AppendStatus(nil, encoding, status, err.Error())) // fails only if the client has gone
}

// export is what became of one group of an export.
type export struct {
	api.Pushed
	points   int // data points that were accepted
	rejected otlp.Rejected
}

// otlp answers an export of metrics by the OpenTelemetry protocol: it pushes each resource to
// the group that its attributes name. Each group is applied as a whole or not at all,
// independently of the others.
func (h *pushHandler) otlp(w http.ResponseWriter, r *request) error {
	encoding, ok := encodingOf(r)
	if !ok {
		return &statusError{http.StatusUnsupportedMediaType, "", metric.Reject(metric.WrongProtocol,
			"send OTLP with the Content-Type %s or %s", otlp.Protobuf.MediaType(), otlp.JSON.MediaType())}
	}
	if err := h.store.Ready(); err != nil {
		return err
	}
	var exports []export
	var rejected otlp.Rejected // what belongs to no group
	err := h.withBody(r, pushbody.Translated, h.limits.Max(limits.BodySize), func(body *pushbody.Body) error {
		buffers := h.borrow()
		defer h.giveBack(buffers)
		asked, err := parseExportOptions(r)
		if err != nil {
			return err
		}
		message, err := buffers.reader.Decompress(body)
		if err != nil {
			return err
		}
		request, err := h.translator.Decode(message, encoding, h.attributesOf(asked), body.Reserve)
		if err != nil {
			return err
		}
		exports, rejected = h.exportAll(request, asked, r.principal), request.Rejected
		return nil
	})
	if err != nil {
		err = explain(err, h.pages.Address(r.Request))
		h.recorder.record(r, outcome{size: r.ContentLength, err: err})
		return err
	}
	return h.answerExport(w, r, encoding, exports, rejected)
}

// parseExportOptions parses the options of an export.
func parseExportOptions(r *request) (requestOptions, error) {
	asked, err := parseRequestOptions(r)
	if err != nil {
		return asked, err
	}
	asked.merge = metric.MergeEach
	query, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		return asked, metric.Reject(metric.BadOption, "the query cannot be parsed: %v", err)
	}
	return asked, rejectUnknown(query)
}

// attributesOf returns a function from a job to the attributes by which its resources are grouped: those
// that the request names, else those of the first rule that matches the job, else those of the flag.
func (h *pushHandler) attributesOf(asked requestOptions) otlp.GroupBy {
	return func(job metric.GroupingKey) []string {
		return asked.options.Or(h.rules.For(job)).Or(h.defaults).GroupBy.All()
	}
}

// exportAll applies what a request has for the groups that the sender may push to, and returns
// the outcome of each.
func (h *pushHandler) exportAll(request *otlp.Request, asked requestOptions, sender *access.Principal) []export {
	exports := make([]export, len(request.Groups))
	concurrently(len(exports), func(encoder *store.Encoder, i int) {
		g, e := request.Groups[i], &exports[i]
		e.Key = g.Key
		if e.Err = sender.CheckGroup(access.Push, g.Key); e.Err == nil {
			e.Replayed, e.Err = h.export(encoder, g, asked)
		}
		e.rejected = g.Rejected
		if e.Err == nil {
			e.points = g.Points
		} else {
			e.rejected.Points += g.Points
		}
	})
	return exports
}

// export applies what an export has for one group.
func (h *pushHandler) export(encoder *store.Encoder, g *otlp.Group, asked requestOptions) (replayed bool, err error) {
	options, err := h.pushOptions(g.Key, asked)
	if err != nil {
		return false, err
	}
	options.Merge, options.Gauges = g.Fit(options.Merge, options.Gauges)
	if g.Points == 0 {
		if err := h.store.Fail(g.Key, h.now()); err != nil {
			return false, err
		}
		return false, h.mentionRule(g.Key, asked, g.Rejected.First)
	}
	options.DropTimestamps = true // each data point has one
	if options.Merge == metric.MergeEach && options.IdempotencyKey == "" {
		options.IdempotencyKey = g.DeltaKey
	}
	encoder.Begin(g.Key, options)
	_ = encoder.Done(g.Families) // apply looks at Rejected
	return h.apply(encoder, g.Key, asked)
}

// answerExport records the outcome of an export and answers it. If a group could not be applied
// for the moment, the client is to send all of it again: nothing is added twice. Otherwise the
// answer is 200 with the number of rejected data points, or the first error if none was accepted.
func (h *pushHandler) answerExport(w http.ResponseWriter, r *request, encoding otlp.Encoding,
	exports []export, rejected otlp.Rejected,
) error {
	pushed := make([]api.Pushed, len(exports))
	for i := range exports {
		pushed[i] = exports[i].Pushed
	}
	size := int64(-1)
	if len(pushed) == 1 {
		size = r.ContentLength
	}
	h.recordAll(r, pushed, size)

	var first error // the one to answer with
	accepted, lost := 0, rejected.Points
	if rejected.First != nil {
		first = rejected.First
		h.recorder.record(r, outcome{size: size, err: first})
	}
	logged := 0
	for i := range exports {
		e, err := &exports[i], pushed[i].Err
		if err == nil && e.rejected.First != nil {
			err = explain(e.rejected.First, h.pages.Address(r.Request))
			switch {
			case e.rejected.Points == 0: // only target_info is missing
			case logged == maxLoggedRejections:
				h.metrics.countRejection(err)
			default:
				logged++
				h.recorder.reject(r, outcome{key: e.Key, err: err})
			}
		}
		if err != nil && (first == nil || isTemporary(err) && !isTemporary(first)) {
			first = err
		}
		accepted += e.points
		lost += e.rejected.Points
	}
	if first != nil && (isTemporary(first) || accepted == 0) {
		return first
	}
	message := ""
	if first != nil {
		message = first.Error()
	}
	w.Header().Set("Content-Type", encoding.MediaType())
	_, err := w.Write(otlp.AppendResponse(nil, encoding, lost, message))
	return err
}
