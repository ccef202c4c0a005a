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

// borrow returns buffers to be given back with giveBack.
func (p *pusher) borrow() *pushBuffers { return p.buffers.Get().(*pushBuffers) }

func (p *pusher) giveBack(b *pushBuffers) {
	if b.reader.fitToKeep() {
		p.buffers.Put(b)
	}
}

// handler returns the handler of pushes to the group that the path names.
func (p *pusher) handler() http.Handler {
	accepted := http.StatusOK
	if p.Unchecked {
		accepted = http.StatusAccepted
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		prefix, path := p.target(r)
		key, err := parseGroupPath(path, p.Names)
		size := measureBody(r)
		repeated := false
		if err == nil {
			repeated, err = p.push(r, prefix, key)
		}
		err = p.explained(r, err)
		p.remember(r, path, key, size(), repeated, err)
		if err == nil {
			if repeated {
				w.Header().Set(replayedHeader, "true")
			}
			w.WriteHeader(accepted)
			return
		}
		p.rejected(r, path, key, err)
		answerError(w, err)
	})
}

// rejected counts and logs a rejected push. path is what the request named, key the
// group; it is the zero value where the path names none.
func (s *Server) rejected(r *http.Request, path string, key metric.GroupingKey, err error) {
	group := path
	if key.ID() != "" {
		group = key.String()
	}
	s.metrics.countRejection(err)
	s.Logger.Warn("push rejected", "method", r.Method, "source", r.RemoteAddr, "group", metric.Shorten(group), "reason", string(reasonOf(err)), "err", err)
}

// push applies a push to the group called key. repeated tells that the same was
// applied before.
func (p *pusher) push(r *http.Request, prefix []string, key metric.GroupingKey) (repeated bool, err error) {
	wanted, err := wantedBy(r, prefix)
	if err != nil {
		return false, err
	}
	buffers := p.borrow()
	defer p.giveBack(buffers)
	families, err := buffers.reader.read(r, p.Names)
	if err != nil {
		return false, err
	}
	return p.apply(&buffers.encoder, key, families, wanted)
}

// apply pushes the families to the group called key in the manner wanted.
func (s *Server) apply(encoder *store.Encoder, key metric.GroupingKey, families []metric.Family, w wanted) (repeated bool, err error) {
	manner, err := s.manner(key, w)
	if err != nil {
		return false, err
	}
	now := s.Now()
	push, err := encoder.Push(key, families, now, manner)
	if err != nil {
		if failErr := s.Store.Fail(key, now); failErr != nil {
			return false, fmt.Errorf("record that the push was rejected (%w): %w", err, failErr)
		}
		return false, s.mergedByRule(key, w, err)
	}
	repeated, err = s.Store.Apply(push)
	switch {
	case err != nil:
		err = s.mergedByRule(key, w, err)
	case repeated:
		s.metrics.repeated.Inc()
	default:
		s.metrics.timestampsDropped.Add(float64(push.DroppedTimestamps()))
	}
	return repeated, err
}

func (s *Server) deleteGroup(w http.ResponseWriter, r *http.Request) {
	_, path := s.target(r)
	key, err := parseGroupPath(path, s.Names)
	if err == nil {
		err = rejectOptions(r)
	}
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
