package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"

	"pushgateway/internal/store"
)

// Sync says when changes are on disk.
type Sync int

const (
	// SyncEachPush has every change on disk before it is answered.
	SyncEachPush Sync = iota
	// SyncInterval has pushes on disk an interval later at the most. Deletes are
	// on disk before they are answered, with all that came before.
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
}

// retryAfter is when those whose change could not be kept may try again, and how
// often the journal itself does.
const retryAfter = 2 * time.Second

// Journal keeps changes in a file. It implements store.Journal, and is safe for
// concurrent use.
type Journal struct {
	Options
	metrics metrics
	lock    *os.File           // against other processes, from Open to Close
	stop    context.CancelFunc // set by Start
	stopped sync.WaitGroup

	// held returns the groups as the store has them. While the journal is broken
	// no change is accepted, so that they are what ought to be in the file.
	held func() iter.Seq[*store.Group]

	mu      sync.Mutex // guards all below, and serializes transactions
	db      *bolt.DB   // nil while broken
	content content
	pending pending // not yet written, of SyncInterval
	broken  error   // why nothing can be written, nil where it can

	// status is what readers see, who must never wait for a disk.
	status atomic.Pointer[Status]
}

// New returns a journal that stores nothing before Open. held is asked for the
// store's groups when the file has to be written anew.
func New(o Options, held func() iter.Seq[*store.Group]) *Journal {
	j := &Journal{Options: o, held: held, metrics: newMetrics(), broken: errLoading}
	j.setStatus(time.Time{})
	return j
}

var errLoading = errors.New("the groups that are kept are still being loaded")

// Open opens the file and returns what it holds, for the store. With an error
// nothing was changed; a *DamageError says that the file cannot be trusted.
func (j *Journal) Open() (groups []*store.Group, err error) {
	j.Path = followLinks(j.Path)
	if j.lock, err = lock(j.Path); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.lock.Close())
		}
	}()
	if groups, err = j.load(); err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.db, err = openDatabase(j.Path); err != nil {
		return nil, err
	}
	if j.content, err = storedContent(j.db); err != nil {
		return nil, errors.Join(&DamageError{j.Path, err}, j.db.Close())
	}
	return groups, nil
}

// followLinks returns what a symbolic link names, which need not be there yet, so
// that a file written anew does not take the place of a link to it.
func followLinks(path string) string {
	for range 40 { // as many as the kernel follows
		target, err := os.Readlink(path)
		if err != nil {
			return path
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(path), target)
		}
		path = target
	}
	return path
}

// Start lets changes come, once the store has what Open returned.
func (j *Journal) Start() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.broken = nil
	j.setStatus(time.Now())
	ctx, cancel := context.WithCancel(context.Background())
	j.stop = cancel
	j.stopped.Go(func() { j.keepGoing(ctx) })
}

// load reads the file, brings it into our format if it is the original's, and
// makes it smaller if most of it is unused.
func (j *Journal) load() ([]*store.Group, error) {
	what, err := identify(j.Path)
	if err != nil {
		return nil, err
	}
	switch what {
	case absent:
		if _, err := os.Lstat(j.Path); errors.Is(err, os.ErrNotExist) {
			// Whole or not at all: half a file would be taken for a damaged one.
			return nil, writeSnapshot(j.Path, all(nil))
		}
		return nil, nil
	case foreign:
		return j.takeOver()
	}
	groups, err := read(j.Path)
	if err != nil {
		return nil, err
	}
	live := int64(0)
	for _, g := range groups {
		live += int64(g.Size())
	}
	if info, err := os.Stat(j.Path); err == nil && info.Size() > 3*live+spareSpace {
		if err := writeSnapshot(j.Path, all(groups)); err != nil {
			// Smaller is only nicer.
			j.Logger.Warn("the file could not be made smaller", "file", j.Path, "err", err)
		} else {
			j.Logger.Info("the file was written anew to make it smaller", "file", j.Path, "before", info.Size())
		}
	}
	return groups, nil
}

// spareSpace is how much may be unused in a file without being worth a thought.
const spareSpace = 4 << 20

func all(groups []*store.Group) func(func(*store.Group) bool) {
	return func(yield func(*store.Group) bool) {
		for _, g := range groups {
			if !yield(g) {
				return
			}
		}
	}
}

func storedContent(db *bolt.DB) (c content, err error) {
	err = db.View(func(tx *bolt.Tx) (err error) {
		c, err = decodeContent(tx.Bucket(metaBucket).Get(contentKey))
		return err
	})
	return c, err
}

// Commit keeps the changes. With SyncEachPush, or where a group is deleted, it
// returns once they are on disk.
func (j *Journal) Commit(changes store.Changes) error {
	if err := j.Ready(); err != nil {
		return err // without waiting for what may be going on to mend it
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.unavailable()
	}
	if j.Sync == SyncInterval {
		// Where flush fails, what is pending no longer matters: the journal is
		// mended from what the store holds, without the changes refused here.
		j.pending.add(changes)
		if changes.Deletes() {
			return j.flush()
		}
		j.setStatus(j.status.Load().LastCommit)
		return nil
	}
	return j.writeOrFail(changes)
}

// writeOrFail writes all there is to write. The caller holds mu.
func (j *Journal) writeOrFail(changes store.Changes) error {
	if err := j.write(changes); err != nil {
		j.fail(err)
		return j.unavailable()
	}
	j.pending = pending{}
	j.setStatus(time.Now())
	return nil
}

// write writes the changes in one transaction. The caller holds mu.
func (j *Journal) write(changes store.Changes) error {
	started := time.Now()
	next := j.content
	err := guarded(func() error {
		return j.db.Update(func(tx *bolt.Tx) error { return apply(tx, changes, &next) })
	})
	if err != nil {
		return err
	}
	j.content = next
	j.metrics.duration.Observe(time.Since(started).Seconds())
	j.metrics.batch.Observe(float64(len(changes.Groups)))
	return nil
}

func apply(tx *bolt.Tx, changes store.Changes, c *content) error {
	if changes.Wiped {
		if err := tx.DeleteBucket(groupsBucket); err != nil {
			return err
		}
		if _, err := tx.CreateBucket(groupsBucket); err != nil {
			return err
		}
		*c = content{}
	}
	records := tx.Bucket(groupsBucket)
	for _, change := range changes.Groups {
		key := keyOf(change.ID)
		if old := records.Get(key); old != nil {
			c.remove(key, old)
		}
		if change.Group == nil {
			if err := records.Delete(key); err != nil {
				return err
			}
			continue
		}
		record := store.AppendRecord(nil, change.Group)
		if err := records.Put(key, record); err != nil {
			return err
		}
		c.add(key, record)
	}
	return tx.Bucket(metaBucket).Put(contentKey, c.encode())
}

// fail takes the file out of use after a failed transaction. What of it reached
// the disk is unknown, so nothing is written to it any more before it was compared
// or written anew. The caller holds mu.
func (j *Journal) fail(err error) {
	j.metrics.errors.Inc()
	j.broken = err
	j.setStatus(j.status.Load().LastCommit)
	if db := j.db; db != nil {
		// Closing waits for backups that are being read.
		go func() { _ = closeGuarded(db) }()
		j.db = nil
	}
	j.Logger.Error("changes cannot be stored: pushes and deletes are refused until they can", "file", j.Path, "err", err)
}

// unavailable is Ready for who holds mu.
func (j *Journal) unavailable() error {
	j.setStatus(j.status.Load().LastCommit)
	return j.Ready()
}

// keepGoing writes what is pending once in an interval and mends a broken journal.
func (j *Journal) keepGoing(ctx context.Context) {
	mend := time.NewTicker(retryAfter)
	defer mend.Stop()
	flush := make(<-chan time.Time)
	if j.Sync == SyncInterval {
		ticker := time.NewTicker(max(j.Interval, time.Millisecond))
		defer ticker.Stop()
		flush = ticker.C
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-flush:
			_ = j.Flush() // logged where the state changes
		case <-mend.C:
			j.mend()
		}
	}
}

// Flush writes what is pending.
func (j *Journal) Flush() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.flush()
}

func (j *Journal) flush() error {
	if j.broken != nil {
		return j.unavailable()
	}
	if j.pending.empty() {
		return nil
	}
	return j.writeOrFail(j.pending.changes())
}

// mend tries to get a broken journal going again.
func (j *Journal) mend() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		return
	}
	if err := j.reopen(); err != nil {
		j.Logger.Debug("still no changes can be stored", "file", j.Path, "err", err)
		if j.db != nil {
			_ = closeGuarded(j.db)
			j.db = nil
		}
		return
	}
	j.broken, j.pending = nil, pending{}
	j.setStatus(time.Now())
	j.Logger.Info("changes can be stored again", "file", j.Path)
}

// reopen makes the file hold what the store holds. Where writing failed for want
// of space, what is in the file is still what was synced last, and a file that
// holds the same as the store can be used again. After any other error, such as a
// failed sync, the kernel may show pages that are not on disk: then the file is
// written anew, under another name, and takes the place of the old one.
func (j *Journal) reopen() error {
	var write *os.PathError // as opposed to a sync that says that there is no space
	noSpace := errors.As(j.broken, &write) && (errors.Is(write, syscall.ENOSPC) || errors.Is(write, syscall.EDQUOT))
	if !noSpace || !j.fileIsCurrent() {
		if err := writeSnapshot(j.Path, j.held()); err != nil {
			return err
		}
	}
	var err error
	if j.db, err = openDatabase(j.Path); err != nil {
		return err
	}
	if j.content, err = storedContent(j.db); err != nil {
		return err
	}
	return j.write(store.Changes{}) // proves that writing works
}

// fileIsCurrent tells whether the file holds exactly the store's groups.
func (j *Journal) fileIsCurrent() bool {
	groups, err := read(j.Path)
	if err != nil {
		return false
	}
	var inFile, inStore content
	count := func(c *content) func(*store.Group) {
		return func(g *store.Group) { c.add(keyOf(g.Key.ID()), store.AppendRecord(nil, g)) }
	}
	for _, g := range groups {
		count(&inFile)(g)
	}
	for g := range j.held() {
		count(&inStore)(g)
	}
	return inFile == inStore
}

// Ready returns nil where changes can be stored, and otherwise why not.
func (j *Journal) Ready() error {
	switch err := j.status.Load().Err; {
	case err == nil:
		return nil
	case errors.Is(err, errLoading):
		return &store.UnavailableError{Reason: err, RetryAfter: retryAfter}
	default:
		return &store.UnavailableError{Reason: fmt.Errorf("write %s: %w", j.Path, err), RetryAfter: retryAfter}
	}
}

// Status is what a journal says of itself.
type Status struct {
	LastCommit time.Time // that succeeded, or when the file was opened
	Pending    int       // groups not yet written
	Err        error     // why nothing can be stored; nil where it can
}

// setStatus makes the state visible. The caller holds mu.
func (j *Journal) setStatus(lastCommit time.Time) {
	j.status.Store(&Status{lastCommit, len(j.pending.groups), j.broken})
}

// Loading tells whether the file has not been loaded yet.
func (j *Journal) Loading() bool { return errors.Is(j.status.Load().Err, errLoading) }

// Status returns the journal's state.
func (j *Journal) Status() Status { return *j.status.Load() }

// Size returns the size of the file in bytes, 0 where it cannot be told.
func (j *Journal) Size() int64 {
	info, err := os.Stat(j.Path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// Backup passes size and content of a consistent copy of the file to send. Writers
// go on meanwhile.
func (j *Journal) Backup(send func(size int64, content io.WriterTo) error) error {
	j.mu.Lock()
	if err := j.flush(); err != nil {
		j.mu.Unlock()
		return err
	}
	tx, err := j.db.Begin(false) // flush succeeds only where there is a database
	j.mu.Unlock()
	if err != nil {
		return fmt.Errorf("begin a backup of %s: %w", j.Path, err)
	}
	return errors.Join(send(tx.Size(), tx), tx.Rollback())
}

// Close writes what is pending and closes the file.
func (j *Journal) Close() error {
	if j.stop != nil {
		j.stop()
		j.stopped.Wait()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.broken == nil {
		err = j.flush()
	} else if !j.pending.empty() {
		err = j.reopen() // the last chance for what was acknowledged
	}
	if j.db != nil {
		err = errors.Join(err, j.db.Close())
		j.db = nil
	}
	if j.broken == nil {
		j.broken = errors.New("the gateway is stopping")
		j.setStatus(j.status.Load().LastCommit)
	}
	if j.lock != nil {
		err = errors.Join(err, j.lock.Close())
		j.lock = nil
	}
	return err
}
