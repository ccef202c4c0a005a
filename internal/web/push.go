package web

import (
	"fmt"
	"net/http"
	"sync"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// pusher takes pushes.
type pusher struct {
	*Server
	buffers sync.Pool // of *pushBuffers
}

// pushBuffers is the memory that one push needs at a time.
type pushBuffers struct {
	reader  bodyReader
	encoder store.Encoder
}

func newPusher(s *Server) *pusher {
	return &pusher{Server: s, buffers: sync.Pool{New: func() any { return new(pushBuffers) }}}
}

// handler returns the handler of pushes that apply makes part of the store.
func (p *pusher) handler(apply func(*store.Store, *store.Push) error) http.Handler {
	accepted := http.StatusOK
	if p.Unchecked {
		accepted = http.StatusAccepted
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path := p.relativePath(r)
		key, err := parseGroupPath(path, p.Names)
		size := measureBody(r)
		if err == nil {
			err = p.push(r, key, apply)
		}
		p.remember(r, path, key, size(), err)
		if err == nil {
			w.WriteHeader(accepted)
			return
		}
		group := path
		if key.ID() != "" {
			group = key.String()
		}
		reason := reasonOf(err)
		if reason != "" {
			p.metrics.refused.WithLabelValues(string(reason)).Inc()
		}
		p.Logger.Warn("push refused", "method", r.Method, "source", r.RemoteAddr, "group", metric.Shorten(group), "reason", string(reason), "err", err)
		answerError(w, err)
	})
}

func (p *pusher) push(r *http.Request, key metric.GroupingKey, apply func(*store.Store, *store.Push) error) error {
	buffers := p.buffers.Get().(*pushBuffers)
	defer func() {
		if buffers.reader.fitToKeep() {
			p.buffers.Put(buffers)
		}
	}()
	families, err := buffers.reader.read(r, p.Names)
	if err != nil {
		return err
	}
	now := p.Now()
	push, err := buffers.encoder.Push(key, families, p.Names, now)
	if err != nil {
		if failErr := p.Store.Fail(key, now); failErr != nil {
			return fmt.Errorf("record that the push was refused (%w): %w", err, failErr)
		}
		return err
	}
	return apply(p.Store, push)
}

func (s *Server) deleteGroup(w http.ResponseWriter, r *http.Request) {
	key, err := parseGroupPath(s.relativePath(r), s.Names)
	if err != nil {
		answerError(w, err)
		return
	}
	found, err := s.Store.Delete(key)
	if err != nil {
		answerError(w, err)
		return
	}
	s.history.Forget(key)
	w.Header().Set("Content-Type", plainText)
	w.WriteHeader(http.StatusAccepted)
	if found {
		fmt.Fprintf(w, "1 group deleted: %s\n", key)
		return
	}
	fmt.Fprintf(w, "0 groups deleted: there is none with exactly the labels %s; DELETE takes all labels of a group, not some of them\n", key)
}

func (s *Server) wipe(w http.ResponseWriter, _ *http.Request) {
	count, err := s.Store.Wipe()
	if err != nil {
		answerError(w, err)
		return
	}
	s.history.ForgetAll()
	s.Logger.Warn("all groups deleted through the admin API", "groups", count)
	w.WriteHeader(http.StatusAccepted)
}
