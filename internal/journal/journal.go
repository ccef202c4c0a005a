package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/store"
)

// Sync says when changes are on disk.
type Sync int

const (
	// SyncEachPush has every change on disk before it is answered.
	SyncEachPush Sync = iota
	// SyncInterval has pushes on disk at most an interval later. Deletes are on disk
	// before they are answered, with all that came before.
	SyncInterval
)

// String returns the mode's name on the command line.
func (s Sync) String() string {
	if s == SyncInterval {
		return "interval"
	}
	return "push"
}

// Options say how a Journal works.
type Options struct {
	Path     string
	Sync     Sync
	Interval time.Duration // of SyncInterval
	Logger   *slog.Logger

	// Optional has the journal continue in memory, with the reason in its Status, if the
	// file cannot be used for a reason other than its content. The file's directory is
	// created if it is missing.
	Optional bool
}

// Journal is a store.Journal in a file. It is safe for concurrent use.
type Journal struct {
	options Options
	metrics metrics
	disk    *disk
	spare   int64 // spareSpace
	maxPart int   // maxPart
	current func() iter.Seq[*store.Group]
	// memory takes the place of the file that is optional and cannot be used.
	memory atomic.Pointer[store.Memory]

	// status is what readers see, who never wait for a disk.
	status atomic.Pointer[store.JournalStatus]
	// doing is what the holder of turn is doing, so that Close can say what it waits for.
	doing atomic.Pointer[string]

	background sync.WaitGroup
	ctx        context.Context // ends with Close
	stop       context.CancelFunc

	// Whoever reads or changes the file, or what its name refers to, holds turn.
	// It guards what log points to, and the following.
	turn    semaphore
	path    string   // without symbolic links
	lock    *os.File // keeps other processes away
	noLock  error    // why there is no lock
	inPlace bool     // no other file can get this one's name

	// mu guards all below and is never held during a system call that can wait.
	// Whoever changes log, unavailable or suspect also holds turn.
	mu          sync.Mutex
	log         *log           // nil before Load and after Close
	committed   position       // in log, after the last batch that counts
	start       position       // of log
	size        int64          // of log
	backups     int            // being sent from log, or one that it replaced
	loaded      []*store.Group // that Load returned, until the first Begin
	unpublished store.Changes  // of the last Commit, until the next Begin
	pending     changeSet      // accepted, not yet written, of SyncInterval
	unavailable error          // why nothing can be written; nil if it can
	suspect     error          // why the file may show what is not on disk; nil if it does not
	compaction  *compaction    // under way, nil if none is
	staging     bool           // no compaction may begin
	compactAt   int64          // the size of the log at which a compaction may be due
	deletions   int            // after how many of them one may be due, too
}

// retryAfter is when those whose change could not be stored may try again, and the
// least time between two tries of the journal itself.
const retryAfter = 2 * time.Second

var (
	errLoading  = errors.New("the stored groups are still being loaded")
	errStopping = errors.New("the gateway is stopping")
)

// New returns a journal that accepts changes once Load has returned.
func New(o Options) *Journal {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	j := &Journal{
		options: o, metrics: newMetrics(), disk: newDisk(), spare: spareSpace, maxPart: maxPart, turn: newSemaphore(),
		path: o.Path, unavailable: errLoading,
	}
	j.ctx, j.stop = context.WithCancel(context.Background())
	j.updateStatus(time.Time{})
	return j
}

// Load opens the file and returns the groups in it, sorted by ID. It returns once ctx
// ends, even if the disk hangs. If it returns an error, nothing was changed: a
// *DamageError says that the file cannot be trusted, a *NewerError that a newer program
// wrote it.
func (j *Journal) Load(ctx context.Context, current func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	type result struct {
		groups []*store.Group
		err    error
	}
	j.current = current
	done := make(chan result, 1)
	go func() {
		groups, err := j.open(ctx)
		done <- result{groups, err}
	}()
	var r result
	select {
	case r = <-done:
	case <-ctx.Done():
		return nil, fmt.Errorf("open %s: %w", j.options.Path, context.Cause(ctx))
	}
	var damage *DamageError
	var newer *NewerError
	switch {
	case r.err == nil:
		j.background.Go(j.keepGoing)
		return r.groups, nil
	case j.options.Optional && ctx.Err() == nil && !errors.As(r.err, &damage) && !errors.As(r.err, &newer):
		j.options.Logger.Warn("metrics are stored in memory only, nothing survives a restart: the default file cannot be used; "+
			"name one that can with --persistence.file", "file", j.options.Path, "err", r.err)
		j.memory.Store(&store.Memory{Reason: r.err})
		return nil, nil
	}
	return nil, r.err
}

// Begin starts a compaction if one is due. It never waits and returns no changes.
func (j *Journal) Begin(ctx context.Context) (foreign store.Changes, err error) {
	if m := j.memory.Load(); m != nil {
		return m.Begin(ctx)
	}
	if err := j.Ready(); err != nil {
		return store.Changes{}, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.loaded, j.unpublished = nil, store.Changes{}
	j.compactIfDue()
	return store.Changes{}, nil
}

// Commit stores the changes. With SyncEachPush, or if a group is deleted, it returns
// once they are on disk. After an error the store must not apply them.
func (j *Journal) Commit(changes store.Changes) error {
	if m := j.memory.Load(); m != nil {
		return m.Commit(changes)
	}
	if changes.Empty() {
		return nil
	}
	if err := j.Ready(); err != nil {
		return err // without waiting for a recovery
	}
	if j.options.Sync == SyncInterval && !changes.Deletes() {
		j.mu.Lock()
		defer j.mu.Unlock()
		if j.unavailable == nil {
			j.pending.add(changes)
			j.updateStatus(j.lastCommit())
		}
		return j.Ready()
	}
	if err := j.turn.acquire(context.Background()); err != nil {
		return err
	}
	defer j.turn.release()
	if err := j.Ready(); err != nil {
		return err
	}
	return j.write(changes)
}

// write appends what is pending and then the changes, as one batch. If that fails, the
// journal is unavailable and the error says so; the same is pending as before. The
// caller holds turn, and the journal is available.
func (j *Journal) write(changes store.Changes) error {
	started := time.Now()
	defer j.now("writing to")()
	j.mu.Lock()
	batch := j.pending.before(changes)
	j.mu.Unlock()
	err := j.log.append(batch)
	if err == nil {
		err = j.log.namedBy(j.path)
	}
	if err != nil {
		j.fail(err)
		return j.Ready()
	}
	j.metrics.duration.Observe(time.Since(started).Seconds())
	j.metrics.batch.Observe(float64(len(changes.Groups)))
	j.mu.Lock()
	defer j.mu.Unlock()
	if batch.Wiped {
		j.pending, j.deletions = changeSet{}, 0
	}
	j.pending.remove(batch)
	for _, c := range changes.Groups {
		delete(j.pending.groups, c.ID) // its state before went with the batch, too
		if c.Group == nil {
			j.deletions--
		}
	}
	if !changes.Empty() {
		j.unpublished = changes
	}
	j.use(j.log)
	if j.compaction != nil {
		j.compaction.since.add(batch)
	}
	j.updateStatus(time.Now())
	return nil
}

// Ready returns nil if changes are accepted, otherwise an *UnavailableError.
func (j *Journal) Ready() error {
	if j.memory.Load() != nil {
		return nil
	}
	if err := j.status.Load().Err; err != nil {
		return &store.UnavailableError{Reason: err, RetryAfter: retryAfter}
	}
	return nil
}

// Status describes the journal. It never waits for a disk.
func (j *Journal) Status() store.JournalStatus {
	if m := j.memory.Load(); m != nil {
		return m.Status()
	}
	return *j.status.Load()
}

// updateStatus makes the state visible. The caller holds mu.
func (j *Journal) updateStatus(lastCommit time.Time) {
	status := store.JournalStatus{
		Durable:       j.unavailable == nil,
		File:          j.options.Path,
		Sync:          j.options.Sync.String(),
		LastCommit:    lastCommit,
		PendingGroups: len(j.pending.groups),
		Loading:       errors.Is(j.unavailable, errLoading),
		Err:           j.unavailable,
	}
	if j.log != nil {
		status.SizeBytes = j.size
	}
	j.status.Store(&status)
}

func (j *Journal) lastCommit() time.Time { return j.status.Load().LastCommit }

// now notes what is being done to the file, until the result is called.
func (j *Journal) now(doing string) (done func()) {
	doing += " " + j.options.Path
	j.doing.Store(&doing)
	return func() { j.doing.Store(nil) }
}

// Close writes what is pending and closes the file. It returns an error if accepted
// changes are not in it. If ctx ends first, the error says what Close was waiting for.
func (j *Journal) Close(ctx context.Context) error {
	j.stop()
	closed := make(chan error, 1)
	go func() { closed <- j.close(ctx) }()
	patience := time.NewTimer(time.Second)
	defer patience.Stop()
	for {
		select {
		case err := <-closed:
			return err
		case <-patience.C:
			j.options.Logger.Warn("stopping waits for the disk", "doing", j.waitsFor())
		case <-ctx.Done():
			return fmt.Errorf("close %s, still %s: %w", j.options.Path, j.waitsFor(), context.Cause(ctx))
		}
	}
}

func (j *Journal) waitsFor() string {
	if doing := j.doing.Load(); doing != nil {
		return *doing
	}
	return "closing " + j.options.Path
}

func (j *Journal) close(ctx context.Context) error {
	j.background.Wait()
	if err := j.turn.acquire(ctx); err != nil {
		return err
	}
	defer j.turn.release()
	if j.log == nil {
		return nil
	}
	if j.unavailable == nil {
		if err := j.log.namedBy(j.path); err != nil {
			j.fail(err)
		}
	}
	var err error
	if j.unavailable == nil {
		err = j.flush()
	} else if len(j.pending.groups) > 0 || j.suspect != nil {
		err = j.recover() // the last chance for what was accepted
	}
	if err == nil && j.unavailable == nil {
		_ = j.log.finish() // all that was accepted is on disk without it
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err = errors.Join(err, j.log.file.Close(), j.unlock())
	j.log, j.loaded = nil, nil
	if j.unavailable == nil {
		j.unavailable = errStopping
	}
	j.updateStatus(j.lastCommit())
	return err
}

// semaphore is a mutex that one can stop waiting for.
type semaphore chan struct{}

func newSemaphore() semaphore { return make(semaphore, 1) }

func (s semaphore) acquire(ctx context.Context) error {
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (s semaphore) tryAcquire() bool {
	select {
	case s <- struct{}{}:
		return true
	default:
		return false
	}
}

func (s semaphore) release() { <-s }
