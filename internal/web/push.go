package web

import (
	"fmt"
	"net/http"
	"sync"
	"time"

	"pushgateway/internal/access"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/otlp"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// pushHandler handles pushes.
type pushHandler struct {
	store      *store.Store
	translator *otlp.Translator
	rules      *rules.Manager
	defaults   metric.Options
	validation metric.ValidationScheme
	now        func() time.Time
	pages      *webui.Pages // knows the gateway's address
	accepted   int          // the status of accepted pushes
	recorder   recorder
	metrics    *metrics
	guard      *access.Guard
	limits     limits.Limits // of pushes whose rule does not set them
	admission  *limits.Admission
	bodies     *pushbody.Budget // the memory of pushes that are being read
	audit      *auditor

	buffers sync.Pool // of *pushBuffers
}

// pushBuffers is the memory that a push needs. It is reused by later pushes.
type pushBuffers struct {
	reader  pushbody.Reader
	encoder store.Encoder
}

func newPushHandler(s *Server) *pushHandler {
	c := s.config
	h := &pushHandler{
		store: c.Store, translator: otlp.New(c.OTLP), rules: c.Rules, defaults: c.Defaults, validation: c.Validation, now: c.Clock.Now, pages: c.Pages,
		accepted: http.StatusOK,
		recorder: s.recorder,
		metrics:  s.metrics,
		guard:    c.Guard, limits: c.Limits,
		admission: s.admission,
		bodies:    s.bodies,
		audit:     s.audit,
		buffers:   sync.Pool{New: func() any { return new(pushBuffers) }},
	}
	if c.Unchecked {
		h.accepted = http.StatusAccepted
	}
	return h
}

// borrow returns buffers, to be given back with giveBack.
func (h *pushHandler) borrow() *pushBuffers { return h.buffers.Get().(*pushBuffers) }

func (h *pushHandler) giveBack(b *pushBuffers) {
	if b.reader.Reusable() {
		h.buffers.Put(b)
	}
}

// push answers PUT and POST for the group that the path names.
func (h *pushHandler) push(w http.ResponseWriter, r *request) error {
	size := measureBody(r.Request)
	key, err := r.groupKey("/metrics/", h.validation)
	replayed := false
	if err == nil {
		replayed, err = h.pushTo(key, r)
	}
	if err != nil {
		err = explain(err, h.pages.Address(r.Request))
	}
	h.recorder.record(r, outcome{key, size(), replayed, err})
	if err != nil {
		return discreet(err, r.principal)
	}
	if replayed {
		w.Header().Set(replayedHeader, "true")
	}
	w.WriteHeader(h.accepted)
	return nil
}

// pushTo applies the request's push to a group. replayed reports whether the same push was
// applied before, so that nothing changed.
func (h *pushHandler) pushTo(key metric.GroupingKey, r *request) (replayed bool, err error) {
	asked, err := parseRequestOptions(r)
	if err != nil {
		return false, err
	}
	if asked.options.GroupBy != "" {
		return false, metric.Reject(metric.BadOption, "group_by is for pushes whose metrics name their groups, but here the URL names it: "+
			"leave group_by out, or push to %s", apiPushPath)
	}
	options, err := h.pushOptions(key, asked)
	if err != nil {
		return false, err
	}
	err = h.withBody(r, pushbody.InBatches, options.Limits.Max(limits.BodySize), func(body *pushbody.Body) (err error) {
		buffers := h.borrow()
		defer h.giveBack(buffers)
		encoder := &buffers.encoder
		encoder.Begin(key, options)
		err = buffers.reader.Read(body, h.validation, encoder)
		if err != nil && encoder.Rejected() == nil {
			return err // the body could not be parsed
		}
		replayed, err = h.apply(encoder, key, asked)
		return err
	})
	return replayed, err
}

// withBody receives the body of a push and then, when it is its turn, calls handle. limit is
// the maximum size of the body, or 0 for none.
func (h *pushHandler) withBody(r *request, cost pushbody.Cost, limit int64, handle func(*pushbody.Body) error) error {
	if err := h.admission.Arrive(func() string { return h.guard.Client(r.principal, r.Request) }, h.now()); err != nil {
		return err
	}
	body, err := h.bodies.Receive(r.Request, cost, limit, r.interrupt)
	if err != nil {
		return err
	}
	defer body.Release()
	leave, err := h.admission.Enter(r.Context())
	if err != nil {
		return err
	}
	defer leave()
	return handle(body)
}

// apply applies what was pushed to a group, which is in the encoder, with the options that
// the request asked for.
func (h *pushHandler) apply(encoder *store.Encoder, key metric.GroupingKey, asked requestOptions) (replayed bool, err error) {
	now := h.now()
	if err := encoder.Rejected(); err != nil {
		if failErr := h.store.Fail(key, now); failErr != nil {
			return false, fmt.Errorf("record that the push was rejected (%w): %w", err, failErr)
		}
		return false, h.mentionRule(key, asked, err)
	}
	push := encoder.Finish(now)
	replayed, err = h.store.Apply(push)
	switch {
	case err != nil:
		err = h.mentionRule(key, asked, err)
	case replayed:
		h.metrics.replayed.Inc()
	default:
		h.metrics.timestampsDropped.Add(float64(push.DroppedTimestamps()))
	}
	return replayed, err
}
