// Package store has the pushed groups in memory. It applies pushes and deletes in
// one order, checks each push against all stored groups, has a Journal persist
// what changes, lets groups expire, and gives readers immutable snapshots.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
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

	queueing sync.Mutex // guards queue
	queue    []*change

	// committing serializes batches. Whoever changes the index (groups and families,
	// with their types, runs and shapes) holds committing and visible; holding either
	// is enough to read it.
	committing sync.Mutex
	next       batch // reused by each batch

	// visible also guards what snapshots are made of, and the queue of expiries.
	visible   sync.Mutex
	groups    map[string]*Group
	families  map[string]*family
	reserved  map[string]metric.Type // see Reserve
	sorted    []*family              // by name
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
}

// New returns a store that accepts changes once Open has returned.
func New(config Config) *Store {
	if config.Journal == nil {
		config.Journal = Memory{}
	}
	if config.Clock.Now == nil {
		config.Clock = SystemClock()
	}
	s := &Store{journal: config.Journal, clock: config.Clock, groups: map[string]*Group{}, families: map[string]*family{}}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.next = batch{store: s, groups: map[string]*Group{}, families: map[string]pendingFamily{}}
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
	errAborted  = errors.New("the change was aborted by an error in the gateway, see its log")
)

// loadGrace is how long Open waits for a journal that does not return once ctx has
// ended.
const loadGrace = time.Second

// Open loads the groups from the journal, which were checked when they were pushed,
// and has the store accept changes. It returns soon after ctx has ended, even if the
// journal hangs. After an error the store stays closed. It is called once.
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

// Close has the journal persist what is pending and close. Changes are not accepted
// any more. It waits for the batch that is being committed, and returns an error if
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

// Backup calls send with a copy of the journal, see Journal.
func (s *Store) Backup(ctx context.Context, send func(size int64, content io.Reader) error) error {
	return s.journal.Backup(ctx, send)
}

// Reserve has pushes be checked against metrics that are exposed beside the pushed
// ones, by their names and types. Stored families with other types are not affected;
// see HiddenFamilies.
func (s *Store) Reserve(types map[string]metric.Type) {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.visible.Lock()
	defer s.visible.Unlock()
	s.reserved = types
}

// Apply makes the push part of its group as its options say. It returns once the
// push is persisted and visible, or, with replayed, if one of the same idempotency
// key was applied before; then nothing has changed. On a *metric.RejectionError only
// the group's failure time has changed. Cost: O(series pushed or replaced), not
// O(store); if series are merged, also those that the group has of the pushed
// families.
func (s *Store) Apply(p *Push) (replayed bool, err error) {
	return commit(s, func(b *batch) (replayed bool, err error) {
		old := b.group(p.key.ID())
		if old != nil && old.used.has(p) {
			return true, nil
		}
		err = b.check(p, old)
		var next *Group
		if err == nil {
			next, err = old.afterPush(p)
		}
		if err == nil {
			err = p.checkGroupLimit(old, next)
		}
		if err == nil {
			err = b.checkQuota(old, next)
		}
		if err != nil {
			b.fail(p.key, p.at)
			return false, err
		}
		b.put(p.key.ID(), next)
		return false, nil
	})
}

// Fail records that a push to the group was rejected at the given time.
func (s *Store) Fail(key metric.GroupingKey, at time.Time) error {
	_, err := commit(s, func(b *batch) (struct{}, error) {
		b.fail(key, at)
		return struct{}{}, nil
	})
	return err
}

// fail records a rejected push, unless that alone would make the exposition
// inconsistent or exceed the quota.
func (b *batch) fail(key metric.GroupingKey, at time.Time) {
	old := b.group(key.ID())
	if old == nil && b.checkConflictingGroup(key) != nil {
		return
	}
	next := old.afterRejection(key, at)
	if b.checkQuota(old, next) == nil {
		b.put(key.ID(), next)
	}
}

// Delete deletes the group and reports whether there was one.
func (s *Store) Delete(key metric.GroupingKey) (found bool, err error) {
	return commit(s, func(b *batch) (found bool, err error) {
		if b.group(key.ID()) == nil {
			return false, nil
		}
		b.put(key.ID(), nil)
		return true, nil
	})
}

// DeleteAll deletes, in one step, the groups that are still there and, unless still
// is nil, of which it still holds. It returns them as they were. still can be called
// several times for a group.
func (s *Store) DeleteAll(keys []metric.GroupingKey, still func(*Group) bool) (deleted []*Group, err error) {
	return commit(s, func(b *batch) (deleted []*Group, err error) {
		for _, key := range keys {
			if g := b.group(key.ID()); g != nil && (still == nil || still(g)) {
				b.put(key.ID(), nil)
				deleted = append(deleted, g)
			}
		}
		return deleted, nil
	})
}

// Wipe deletes all groups in one step and returns how many there were.
func (s *Store) Wipe() (count int, err error) {
	return commit(s, func(b *batch) (count int, err error) { return b.wipe(), nil })
}

// Groups iterates over the groups of a Snapshot.
func (s *Store) Groups() iter.Seq[*Group] { return s.Snapshot().Groups() }

// change is one caller's part of a batch.
type change struct {
	decide func(*batch) error
	err    error
	done   bool
}

// commit has decide carried out as part of a batch and returns its result once the
// batch is persisted and visible, or an error that says why it is not. decide may be
// called several times: what it returned last counts, so it keeps no state of its own.
func commit[R any](s *Store, decide func(*batch) (R, error)) (R, error) {
	var result R
	err := s.commit(func(b *batch) (err error) {
		result, err = decide(b)
		return err
	})
	if err != nil {
		var none R
		return none, err
	}
	return result, nil
}

// commit carries out decide as part of a batch. The first caller to come commits for
// those who wait by then.
func (s *Store) commit(decide func(*batch) error) error {
	c := &change{decide: decide}
	s.queueing.Lock()
	s.queue = append(s.queue, c)
	s.queueing.Unlock()

	s.committing.Lock()
	defer s.committing.Unlock()
	if c.done {
		return c.err
	}
	s.queueing.Lock()
	waiting := s.queue
	s.queue = nil
	s.queueing.Unlock()

	// Should something below panic, nobody must believe that all went well.
	for _, w := range waiting {
		w.done, w.err = true, errAborted
	}
	s.turn(waiting)
	return c.err
}

// turn decides on the changes in one turn of the journal and answers them. The
// caller holds committing.
func (s *Store) turn(waiting []*change) {
	answer := func(err error) {
		for _, w := range waiting {
			w.err = err
		}
	}
	if err := s.unready.Load(); err != nil {
		answer(err)
		return
	}
	foreign, err := s.journal.Begin(s.ctx)
	if err != nil {
		answer(err)
		return
	}
	begun := true
	defer func() {
		if begun { // by a panic
			_ = s.journal.Commit(Changes{})
		}
	}()
	if !foreign.Empty() {
		s.adopt(foreign)
	}
	b := &s.next
	defer b.reset()
	b.begin()
	for _, w := range waiting {
		w.err = w.decide(b)
	}
	begun = false
	if err := s.journal.Commit(b.changes()); err != nil {
		// Rejections stand; what would have been applied was not.
		for _, w := range waiting {
			if w.err == nil {
				w.err = err
			}
		}
		return
	}
	if !b.empty() {
		s.publish(b)
	}
}

// adopt makes changes visible that were checked elsewhere. The caller holds
// committing.
func (s *Store) adopt(changes Changes) {
	b := &s.next
	defer b.reset()
	b.wiped = changes.Wiped
	for _, c := range changes.Groups {
		b.groups[c.ID] = c.Group
		b.changed = append(b.changed, c.ID)
	}
	s.publish(b)
}
