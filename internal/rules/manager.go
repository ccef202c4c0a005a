package rules

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/metric"
)

// ManagerConfig configures a Manager. All fields are required unless they say
// otherwise.
type ManagerConfig struct {
	Load   func() (*Rules, error) // reads the rules; nil if there is no rules file
	Apply  func(*Rules)           // is told about rules that have just come into use; may be nil
	Now    func() time.Time
	Logger *slog.Logger
}

// Manager holds the rules in use. Reload replaces them. A Manager is safe for
// concurrent use.
type Manager struct {
	config  ManagerConfig
	current atomic.Pointer[Rules]

	reloading sync.Mutex // serializes loads
	status    atomic.Pointer[Status]
}

// Status is the outcome of the last loads.
type Status struct {
	Loaded time.Time // when the rules in use were loaded
	Err    error     // why the last reload failed; nil if it succeeded
}

// NewManager loads the rules and returns their manager.
func NewManager(c ManagerConfig) (*Manager, error) {
	m := &Manager{config: c}
	return m, m.load()
}

// Configured reports whether there is a rules file.
func (m *Manager) Configured() bool { return m.config.Load != nil }

// Rules returns the rules in use.
func (m *Manager) Rules() *Rules { return m.current.Load() }

// For returns the options that the rules in use give to a group. See Rules.For.
func (m *Manager) For(key metric.GroupingKey) metric.Options { return m.Rules().For(key) }

// Status returns when the rules were loaded and whether the last reload failed. It is
// the zero value if there is no rules file.
func (m *Manager) Status() Status {
	if status := m.status.Load(); status != nil {
		return *status
	}
	return Status{}
}

// Reload loads the rules again and applies them to stored groups as well. On an error
// the rules in use stay. Reload logs its outcome.
func (m *Manager) Reload() error {
	if err := m.load(); err != nil {
		m.config.Logger.Error("rules not reloaded, the previous rules stay in use", "err", err)
		return err
	}
	m.config.Logger.Info("rules reloaded", "rules", m.Rules().Len())
	return nil
}

func (m *Manager) load() error {
	m.reloading.Lock()
	defer m.reloading.Unlock()
	var loaded *Rules
	if m.config.Load != nil {
		var err error
		if loaded, err = m.config.Load(); err != nil {
			m.status.Store(&Status{m.Status().Loaded, err})
			return err
		}
		m.status.Store(&Status{Loaded: m.config.Now()})
	}
	m.current.Store(loaded)
	if m.config.Apply != nil {
		m.config.Apply(loaded)
	}
	return nil
}
