// Package store has the pushed groups in memory. It applies pushes and deletes in
// one order, checks each push against all stored groups, has a Journal persist
// what changes, lets groups expire, and gives readers immutable snapshots.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/metric"
)

// Store is a set of groups. All methods are safe for concurrent use. Readers never
// wait for a change that is being decided or persisted, only for the moment in which
// it becomes visible.
type Store struct {
	journal Journal
	clock   Clock
	// ctx ends with Close.
	ctx    context.Context
	cancel context.CancelFunc
	// unready is why changes are not accepted before Open and after Close; nil in
	// between.
	unready atomic.Pointer[UnavailableError]

	pace func() // see Config

	queueing sync.Mutex // guards queue and led
	queue    []waiter
	led      bool // somebody takes turns for those in the queue

	// large serializes pushes with very many families; see applyLarge.
	large sync.Mutex

	// committing serializes batches. Whoever changes the index (groups and families,
	// with their types, runs and shapes) holds committing and visible; holding either
	// is enough to read it. Only settling a family takes just visible, and whoever reads
	// that family has it settled before.
	committing sync.Mutex
	next       batch        // reused by each batch
	preparing  *preparation // nil if no large push is being prepared
	minLarge   int          // how many families a large change has

	// visible also guards what snapshots are made of, and the queue of expiries.
	visible   sync.Mutex
	groups    map[string]*Group
	families  map[string]*family
	unsettled atomic.Pointer[unsettled] // nil if all is settled
	list      run[*Family]              // as of the last snapshot
	stale     []*family                 // that have changed since; those that are not stale are in list as they are
	unused    []*family                 // that may be in families without a group; see sweep
	reserved  map[string]metric.Type    // see Reserve
	groupRun  run[*Group]
	totals    Totals
	snapshot  *Snapshot // nil once something has changed
	expiries  expiryQueue

	quota     *Quota // nil if nothing is bounded; immutable
	ruleUsage []size // by rule; empty if no rule bounds its groups

	expiryPolicy atomic.Pointer[ExpiryPolicy] // never nil
}

// Config is what a Store is made of.
type Config struct {
	Journal Journal // defaults to Memory
	Clock   Clock   // defaults to SystemClock

	// Pace is called between changes that share a batch, when they are decided and again when they
	// are answered. Hundreds of them without a pause would keep other requests waiting.
	Pace func() // defaults to nothing
}

// New returns a store that accepts changes once Open has returned.
func New(config Config) *Store {
	if config.Journal == nil {
		config.Journal = Memory{}
	}
	if config.Clock.Now == nil {
		config.Clock = SystemClock()
	}
	if config.Pace == nil {
		config.Pace = func() {}
	}
	s := &Store{journal: config.Journal, clock: config.Clock, pace: config.Pace, groups: map[string]*Group{}, families: map[string]*family{}, minLarge: minLarge}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.next = newBatch(s)
	s.SetExpiry(nil)
	s.unready.Store(&UnavailableError{Reason: errLoading, RetryAfter: retryAfter})
	return s
}

// InMemory returns an open store with the groups, which persists nothing.
func InMemory(groups ...*Group) *Store {
	s := New(Config{})
	s.open(groups)
	return s
}

// retryAfter is when a change that came before Open or after Close may be worth
// trying again.
const retryAfter = 2 * time.Second

var (
	errLoading  = errors.New("the stored groups are still being loaded")
	errStopping = errors.New("the gateway is stopping")
)

// loadGrace is how long Open waits for a journal that does not return once ctx has
// ended.
const loadGrace = time.Second

// Open loads the groups from the journal and has the store accept changes. The groups
// were checked when they were pushed and are not checked again. Open returns soon after
// ctx ends, even if the journal hangs. After an error the store stays closed. Open is
// called once.
func (s *Store) Open(ctx context.Context) error {
	var groups []*Group
	var err error
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		groups, err = s.journal.Load(ctx, s.Groups)
	}()
	select {
	case <-loaded:
	case <-ctx.Done():
		select {
		case <-loaded:
		case <-time.After(loadGrace):
			return fmt.Errorf("load the stored groups: %w", context.Cause(ctx))
		}
		if err == nil {
			return errors.Join(context.Cause(ctx), s.journal.Close(ctx))
		}
	}
	if err != nil {
		return err
	}
	s.open(groups)
	if shared, ok := s.journal.(SharedJournal); ok {
		shared.Follow(s.follow)
	}
	return nil
}

func (s *Store) open(groups []*Group) {
	s.committing.Lock()
	defer s.committing.Unlock()
	changes := Changes{Groups: make([]Change, len(groups))}
	for i, g := range groups {
		changes.Groups[i] = Change{ID: g.Key.ID(), Group: g}
	}
	s.adopt(changes)
	s.unready.Store(nil)
}

// Close stops accepting changes, and has the journal persist what is pending and close.
// It waits for the batch that is being committed, and returns an error if
// ctx ends before all is persisted. On a store that is not open it does nothing.
func (s *Store) Close(ctx context.Context) error {
	if !s.unready.CompareAndSwap(nil, &UnavailableError{Reason: errStopping, RetryAfter: retryAfter}) {
		return nil
	}
	s.cancel()
	closed := make(chan error, 1)
	go func() {
		s.committing.Lock()
		defer s.committing.Unlock()
		closed <- s.journal.Close(ctx)
	}()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
	}
	select {
	case err := <-closed:
		return err
	default:
		return fmt.Errorf("the last changes may not be persisted: %w", context.Cause(ctx))
	}
}

// Ready returns nil if changes are accepted, otherwise an *UnavailableError.
func (s *Store) Ready() error {
	if err := s.unready.Load(); err != nil {
		return err
	}
	return s.journal.Ready()
}

// Loaded returns nil if the store is open: readers get all groups, whether changes are
// accepted or not. Otherwise it returns an *UnavailableError.
func (s *Store) Loaded() error {
	if err := s.unready.Load(); err != nil {
		return err
	}
	return nil
}

// Status describes the store's journal; it is loading until Open has returned. It
// never waits for a disk.
func (s *Store) Status() JournalStatus {
	status := s.journal.Status()
	if err := s.unready.Load(); err != nil {
		status.Durable = false
		status.Loading = err.Reason == errLoading
		if status.Err == nil {
			status.Err = err.Reason
		}
	}
	return status
}

// Replicas describes the processes that share the store's journal; false if it is not
// shared. It never waits.
func (s *Store) Replicas() (Replicas, bool) {
	if shared, ok := s.journal.(SharedJournal); ok {
		return shared.Replicas(), true
	}
	return Replicas{}, false
}

// Backup calls send with a copy of the journal, see Journal.
func (s *Store) Backup(ctx context.Context, send func(size int64, content io.Reader) error) error {
	return s.journal.Backup(ctx, send)
}

// Reserve has pushes checked against metrics that are exposed together with the pushed
// ones: types has their types by name. Stored families with other types are not affected;
// see HiddenFamilies.
func (s *Store) Reserve(types map[string]metric.Type) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	s.reserved = types
	if s.preparing != nil {
		s.preparing.outdated = true
	}
}
