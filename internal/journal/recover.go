package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"slices"
	"time"

	"pushgateway/internal/store"
)

// maxPause is the maximum time between two attempts.
const maxPause = 30 * time.Second

// pause returns how long to wait after an attempt that took the given time. An attempt may
// have to write the whole file, so attempts take at most about a tenth of the time.
func pause(took time.Duration) time.Duration {
	return min(max(retryAfter, 10*took), maxPause)
}

// fail takes the file out of use after an error. It is unknown which part of the last
// batch reached the disk, so nothing is written to the file until it has been checked or
// replaced. The caller holds turn.
func (j *Journal) fail(err error) {
	j.metrics.errors.Inc()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unavailable = j.suspectAfter(err)
	if j.compaction != nil {
		j.compaction.cancel()
	}
	j.updateStatus(j.lastCommit())
	j.options.Logger.Error("changes cannot be stored: pushes and deletes are answered 503 until they can", "file", j.path, "err", err)
}

// suspectAfter returns the error with the file's name, and notes that the file cannot be
// trusted after it, unless the disk was full. The caller holds turn and mu.
func (j *Journal) suspectAfter(err error) error {
	err = fmt.Errorf("write %s: %w", j.path, err)
	if !outOfSpace(err) {
		j.suspect = err
	}
	return err
}

// keepGoing writes what is pending once in an interval, checks each second that the file
// is still there and not too large, and recovers an unavailable journal, until Close.
func (j *Journal) keepGoing() {
	again := time.NewTimer(retryAfter)
	defer again.Stop()
	check := time.NewTicker(time.Second)
	defer check.Stop()
	flush := make(<-chan time.Time)
	if j.options.Sync == SyncInterval {
		ticker := time.NewTicker(max(j.options.Interval, time.Millisecond))
		defer ticker.Stop()
		flush = ticker.C
	}
	for {
		select {
		case <-j.ctx.Done():
			return
		case <-flush:
			_ = j.Flush(j.ctx) // logged where the state changes
		case <-check.C:
			j.checkFile()
		case <-again.C:
			started := time.Now()
			j.tryToRecover()
			again.Reset(pause(time.Since(started)))
		}
	}
}

// checkFile takes the file out of use if its name now refers to another file, or to none, and
// starts a compaction if one is due. A commit under way sees to both itself.
func (j *Journal) checkFile() {
	if j.Ready() != nil || !j.turn.tryAcquire() {
		return
	}
	defer j.turn.release()
	if j.unavailable != nil {
		return
	}
	if err := j.log.namedBy(j.path); err != nil {
		j.fail(err)
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.compactIfDue()
}

// Flush writes what is pending.
func (j *Journal) Flush(ctx context.Context) error {
	if err := j.turn.acquire(ctx); err != nil {
		return err
	}
	defer j.turn.release()
	return j.flush()
}

// flush is Flush for a caller that holds turn.
func (j *Journal) flush() error {
	if err := j.Ready(); err != nil {
		return err
	}
	j.mu.Lock()
	pending := len(j.pending.groups)
	j.mu.Unlock()
	if pending == 0 {
		return nil
	}
	return j.write(store.Changes{})
}

// tryToRecover makes an unavailable journal available again, if it can.
func (j *Journal) tryToRecover() {
	if j.Ready() == nil {
		return // without waiting for what is just being written
	}
	if j.turn.acquire(j.ctx) != nil {
		return
	}
	defer j.turn.release()
	was := j.unavailable
	if was == nil {
		return
	}
	err := j.recover()
	j.mu.Lock()
	defer j.mu.Unlock()
	j.unavailable = err
	if err == nil {
		j.updateStatus(time.Now())
		j.options.Logger.Info("changes can be stored again", "file", j.path)
		return
	}
	j.updateStatus(j.lastCommit())
	level := slog.LevelDebug
	if err.Error() != was.Error() {
		level = slog.LevelWarn
	}
	j.options.Logger.Log(context.Background(), level, "still no changes can be stored", "file", j.path, "err", err)
}

// recover makes the file have all that was accepted. It goes on with the file if that can
// be trusted; otherwise it replaces it by a new one, made from memory. The caller holds
// turn.
func (j *Journal) recover() error {
	defer j.now("recovering")()
	j.mu.Lock()
	c := j.compaction
	j.mu.Unlock()
	if c != nil {
		<-c.done // which has been told to stop
	}
	err := j.suspect
	if err == nil {
		if err = j.resume(); err == nil || outOfSpace(err) {
			return err
		}
	}
	groups, changes := j.accepted()
	l, newErr := j.replace(context.Background(), groups, changes...)
	if newErr != nil {
		return fmt.Errorf("%w; %w", err, newErr)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = j.log.file.Close() // whatever it says, nothing there counts any more
	j.use(l)
	j.suspect, j.pending = nil, changeSet{}
	return nil
}

// resume goes on with a file that is as the last good batch left it, and writes what is
// pending.
func (j *Journal) resume() error {
	err := j.log.namedBy(j.path)
	if err == nil {
		err = j.log.clean() // which takes the space that was missing
	}
	if err == nil {
		err = j.log.verify()
	}
	j.mu.Lock()
	pending := j.pending.changes()
	j.mu.Unlock()
	if err == nil && len(pending.Groups) > 0 {
		err = j.log.append(pending)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err != nil {
		return j.suspectAfter(err)
	}
	j.use(j.log)
	j.pending = changeSet{}
	return nil
}

// accepted returns what the file ought to have: groups, and what the changes then make
// of them. While the journal is unavailable that does not change. The store may not have
// published the last changes yet. The caller holds turn.
func (j *Journal) accepted() (iter.Seq[*store.Group], []store.Changes) {
	j.mu.Lock()
	changes := []store.Changes{j.unpublished, j.pending.changes()}
	groups := slices.Values(j.loaded)
	published := j.loaded == nil
	j.mu.Unlock()
	if published {
		groups = j.current()
	}
	return groups, changes
}

var errAbandoned = errors.New("the file that was being compacted is no longer in use")
