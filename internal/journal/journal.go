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
	"slices"
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
	Path string
	// Optional makes the directory of the file, and goes on in memory if the file
	// cannot be used, unless there is something in it.
	Optional bool
	Sync     Sync
	Interval time.Duration // of SyncInterval
	Logger   *slog.Logger
}

// retryAfter is when those whose change could not be kept may try again, and the
// least time between two tries of the journal itself.
const retryAfter = 2 * time.Second

// maxRetryPause is the most time between two tries.
const maxRetryPause = 30 * time.Second

// pause is how long to wait after a try that took so long. A try may have to write
// the whole file, so trying takes no more than a tenth of the time.
func pause(took time.Duration) time.Duration {
	return min(max(retryAfter, 10*took), maxRetryPause)
}

// Journal keeps changes in a file. It implements store.Journal, and is safe for
// concurrent use.
type Journal struct {
	Options
	metrics metrics
	lock    *os.File           // against other processes, from Open to Close
	noLock  error              // where there is no lock: why not, see Open
	stop    context.CancelFunc // set by Start
	stopped sync.WaitGroup

	// held returns the groups as the store has them. While the journal is broken
	// no change is accepted, so that they and what is pending above them are what
	// ought to be in the file.
	held func() iter.Seq[*store.Group]

	mu      sync.Mutex // guards all below, and serializes transactions
	db      *bolt.DB   // nil while broken
	content content    // of the file, after the last transaction that succeeded
	pending pending    // acknowledged, not yet written, of SyncInterval
	broken  error      // why nothing can be written, nil where it can
	doubt   error      // why the file may show what is not on disk, nil where it does not

	// status is what readers see, who must never wait for a disk.
	status atomic.Pointer[state]
	// memoryOnly is why the file is not used, nil if it is; see Options.Optional.
	memoryOnly atomic.Pointer[error]
}

// New returns a journal that stores nothing before Load.
func New(o Options) *Journal {
	j := &Journal{Options: o, metrics: newMetrics(), pending: pending{}, broken: errLoading}
	j.setStatus(time.Time{})
	return j
}

var errLoading = errors.New("the groups that are kept are still being loaded")

// open opens the file and returns what it holds, for the store. With an error
// nothing was changed; a *DamageError says that the file cannot be trusted.
//
// A file in a directory that must not be written to is used without a lock beside
// it. Then it is never written anew: while it is closed after a failure another
// process may come, which only what the file holds can tell.
func (j *Journal) open() (groups []*store.Group, err error) {
	j.Path = followLinks(j.Path)
	j.lock, err = lock(j.Path)
	if forbidden(err) && isThere(j.Path) && !isThere(j.Path+lockSuffix) {
		j.noLock = err
	} else if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, j.unlock())
		}
	}()
	groups, is, err := j.load()
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.use(is); err != nil {
		return nil, err
	}
	if j.lock == nil {
		j.Logger.Warn("the file's directory cannot be written to: should a sync fail, no more changes can be stored", "file", j.Path, "err", j.noLock)
	}
	return groups, nil
}

func (j *Journal) unlock() error {
	if j.lock == nil {
		return nil
	}
	f := j.lock
	j.lock = nil
	return f.Close()
}

// use opens the file for changes. It must hold what it held when it was last read or
// written. The caller holds mu.
func (j *Journal) use(was content) error {
	db, is, err := openDatabase(j.Path)
	if err != nil {
		return err
	}
	if is != was {
		err = fmt.Errorf("%s has changed: another process has written to it", j.Path)
	} else if j.lock != nil { // it may just have been put there
		if err = syncDirectory(j.Path); err != nil {
			j.doubt = err
		}
	}
	if err != nil {
		return errors.Join(err, closeGuarded(db))
	}
	j.db, j.content = db, is
	return nil
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

// start lets changes come, once the store has what Open returned.
func (j *Journal) start() {
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
func (j *Journal) load() (groups []*store.Group, is content, err error) {
	what, err := identify(j.Path)
	if err != nil {
		return nil, content{}, err
	}
	switch what {
	case absent:
		if _, err := os.Lstat(j.Path); errors.Is(err, os.ErrNotExist) {
			// Whole or not at all: half a file would be taken for a damaged one.
			is, err = j.writeAnew(slices.Values(groups))
			return nil, is, err
		}
		return nil, content{}, nil
	case foreign:
		return j.takeOver()
	}
	groups, is, err = read(j.Path)
	if err != nil {
		return nil, content{}, err
	}
	live := int64(0)
	for _, g := range groups {
		live += int64(g.Size())
	}
	if info, err := os.Stat(j.Path); err == nil && info.Size() > 3*live+spareSpace {
		if _, err := j.writeAnew(slices.Values(groups)); err != nil {
			// Smaller is only nicer.
			j.Logger.Warn("the file could not be made smaller", "file", j.Path, "err", err)
		} else {
			j.Logger.Info("the file was written anew to make it smaller", "file", j.Path, "before", info.Size())
		}
	}
	return groups, is, nil
}

// spareSpace is how much may be unused in a file without being worth a thought.
const spareSpace = 4 << 20

// writeAnew puts a file with the groups in the place of the one that is there, and
// returns what it holds.
func (j *Journal) writeAnew(groups iter.Seq[*store.Group]) (content, error) {
	if j.lock == nil {
		return content{}, fmt.Errorf("write %s anew: %w", j.Path, j.noLock)
	}
	return writeSnapshot(j.Path, groups)
}

// Commit keeps the changes. With SyncEachPush, or where a group is deleted, it
// returns once they are on disk.
func (j *Journal) Commit(changes store.Changes) error {
	if changes.Empty() || j.memoryOnly.Load() != nil {
		return nil
	}
	if err := j.Ready(); err != nil {
		return err // without waiting for what may be going on to mend it
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return j.unavailable()
	}
	if j.Sync == SyncInterval && !changes.Deletes() {
		j.pending.add(changes)
		j.setStatus(j.status.Load().LastCommit)
		return nil
	}
	return j.writeOrFail(changes)
}

// writeOrFail is write for a journal that works, and is broken where that fails.
func (j *Journal) writeOrFail(changes store.Changes) error {
	if err := j.write(changes); err != nil {
		j.fail(err)
		return j.unavailable()
	}
	j.setStatus(time.Now())
	return nil
}

// write writes what is pending, and then the changes, in one transaction. With an
// error the same is pending as before. The caller holds mu.
func (j *Journal) write(changes store.Changes) error {
	started := time.Now()
	changes = j.pending.before(changes)
	next := j.content
	err := guarded(func() error {
		return j.db.Update(func(tx *bolt.Tx) error { return apply(tx, changes, &next) })
	})
	if err != nil {
		return err
	}
	j.content, j.pending = next, pending{}
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
	meta := tx.Bucket(metaBucket)
	if err := meta.Put(versionKey, []byte{version}); err != nil {
		return err
	}
	return meta.Put(contentKey, c.encode())
}

// fail takes the file out of use after a failed transaction. What of it reached
// the disk is unknown, so nothing is written to it any more before it was checked
// or written anew. The caller holds mu.
func (j *Journal) fail(err error) {
	j.metrics.errors.Inc()
	j.broken = j.distrust(err)
	j.setStatus(j.status.Load().LastCommit)
	if db := j.db; db != nil {
		// Closing waits for backups that are being read.
		go func() { _ = closeGuarded(db) }()
		j.db = nil
	}
	j.Logger.Error("changes cannot be stored: pushes and deletes are rejected until they can", "file", j.Path, "err", err)
}

// distrust returns the error of a failed transaction with the name of the file, and
// notes that the file cannot be trusted after it, unless it failed for want of space.
func (j *Journal) distrust(err error) error {
	err = fmt.Errorf("write %s: %w", j.Path, err)
	if !outOfSpace(err) {
		j.doubt = err
	}
	return err
}

// outOfSpace reports whether a write failed for want of space: then nothing of the
// transaction is in force, and what was synced before is as it was. After any other
// error, also that of a sync for want of space, the kernel may show pages that are
// not on disk.
func outOfSpace(err error) bool {
	var failed *os.PathError
	return errors.As(err, &failed) && failed.Op == "write" &&
		(errors.Is(failed, syscall.ENOSPC) || errors.Is(failed, syscall.EDQUOT))
}

// unavailable is Ready for who holds mu.
func (j *Journal) unavailable() error {
	j.setStatus(j.status.Load().LastCommit)
	return j.Ready()
}

// keepGoing writes what is pending once in an interval and mends a broken journal.
func (j *Journal) keepGoing(ctx context.Context) {
	mend := time.NewTimer(retryAfter)
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
			started := time.Now()
			j.mend()
			mend.Reset(pause(time.Since(started)))
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
	if len(j.pending) == 0 {
		return nil
	}
	return j.writeOrFail(store.Changes{})
}

// mend tries to get a broken journal going again.
func (j *Journal) mend() {
	if j.Ready() == nil {
		return // without waiting for what is just being written
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken == nil {
		return
	}
	if err := j.reopen(); err != nil {
		level := slog.LevelDebug
		if err.Error() != j.broken.Error() {
			level = slog.LevelWarn
		}
		j.Logger.Log(context.Background(), level, "still no changes can be stored", "file", j.Path, "err", err)
		j.broken = err
		j.setStatus(j.status.Load().LastCommit)
		return
	}
	j.broken = nil
	j.setStatus(time.Now())
	j.Logger.Info("changes can be stored again", "file", j.Path)
}

// reopen makes the file hold all that was acknowledged: what the store holds, and
// above it what is pending, since the store may be about to publish some of that.
// It goes on with the file where that can be trusted; otherwise the file is written
// anew, under another name, and takes the place of the old one.
func (j *Journal) reopen() error {
	err := j.doubt
	if err == nil {
		if err = j.resume(); err == nil || outOfSpace(err) {
			return err
		}
	}
	is, anewErr := j.writeAnew(j.held())
	if anewErr != nil {
		return fmt.Errorf("%w; %w", err, anewErr)
	}
	j.content, j.doubt = is, nil
	return j.resume()
}

// resume goes on with the file if it holds what it did after the last transaction.
// Its groups need not be read for that: the sum of their fingerprints tells.
func (j *Journal) resume() error {
	if err := check(j.Path); err != nil {
		return err
	}
	if err := j.use(j.content); err != nil {
		return err
	}
	if err := j.write(store.Changes{}); err != nil { // what is pending; proves that writing works
		err = errors.Join(j.distrust(err), closeGuarded(j.db))
		j.db = nil
		return err
	}
	return nil
}

// Ready returns nil where changes can be stored, and otherwise why not.
func (j *Journal) Ready() error {
	if err := j.status.Load().Err; err != nil && j.memoryOnly.Load() == nil {
		return &store.UnavailableError{Reason: err, RetryAfter: retryAfter}
	}
	return nil
}

// state is what readers see of a journal.
type state struct {
	LastCommit time.Time // that succeeded, or when the file was opened
	Pending    int       // groups not yet written
	Err        error     // why nothing can be stored; nil where it can
}

// setStatus makes the state visible. The caller holds mu.
func (j *Journal) setStatus(lastCommit time.Time) {
	j.status.Store(&state{lastCommit, len(j.pending), j.broken})
}

// Size returns the size of the file in bytes, 0 where it cannot be told.
func (j *Journal) Size() int64 {
	info, err := os.Stat(j.Path)
	if err != nil {
		return 0
	}
	return info.Size()
}

// backup passes size and content of a consistent copy of the file to send. Writers
// go on meanwhile.
func (j *Journal) backup(send func(size int64, content io.WriterTo) error) error {
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

// close writes what is pending and closes the file.
func (j *Journal) close() error {
	if j.stop != nil {
		j.stop()
		j.stopped.Wait()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	if j.broken == nil {
		err = j.flush()
	} else if len(j.pending) > 0 {
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
	return errors.Join(err, j.unlock())
}
