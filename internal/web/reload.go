package web

import (
	"math"
	"net/http"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

// reload is how loading the rules went.
type reload struct {
	loaded time.Time // when those in use were
	failed error     // why no others were since; nil where they were
}

// Reload loads the rules anew and has them apply, to groups that are held as well.
// Where they cannot be loaded, those before stay. The log says how it went. Cost:
// O(groups).
func (s *Server) Reload() error {
	if err := s.loadRules(); err != nil {
		s.Logger.Error("the rules stay as they were: the file cannot be used", "err", err)
		return err
	}
	s.Logger.Info("rules reloaded", "rules", s.rules.Load().Len())
	return nil
}

func (s *Server) loadRules() error {
	s.reloading.Lock()
	defer s.reloading.Unlock()
	var loaded *rules.Rules
	if s.LoadRules != nil {
		var err error
		loaded, err = s.LoadRules()
		now := s.Now()
		s.metrics.reloaded(err == nil, now)
		if err != nil {
			if last := s.lastReload.Load(); last != nil {
				s.lastReload.Store(&reload{last.loaded, err})
			}
			return err
		}
		s.lastReload.Store(&reload{loaded: now})
	}
	s.rules.Store(loaded)
	s.Store.SetExpiry(store.ExpiryPolicy{For: func(key metric.GroupingKey) metric.Expiry {
		return loaded.For(key).Expiry.Or(s.Defaults.Expiry)
	}, Clock: store.Clock{Now: s.Now, Elapsed: s.Elapsed}})
	if due := s.Store.Due(math.MaxInt); len(due) > 0 {
		s.Logger.Warn("by the rules as they are now, groups have ended and will be deleted", "groups", len(due))
	}
	return nil
}

// reloadRoute answers all methods, to say in words what is wrong with the others.
func (s *Server) reloadRoute() route {
	reload := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		switch {
		case s.Quit == nil:
			http.Error(w, "Lifecycle API is not enabled.", http.StatusForbidden)
			return
		case s.LoadRules == nil:
			http.Error(w, "there is nothing to reload: start the gateway with --config.file", http.StatusNotFound)
			return
		}
		if err := s.Reload(); err != nil {
			http.Error(w, "the rules stay as they were: "+err.Error(), http.StatusInternalServerError)
			return
		}
		w.WriteHeader(http.StatusOK)
	})
	return route{
		http.MethodPut:  reload,
		http.MethodPost: reload,
		http.MethodGet: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "Only POST or PUT requests allowed.", http.StatusMethodNotAllowed)
		}),
	}
}
