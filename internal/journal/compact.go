package journal

import (
	"context"
	"errors"
	"iter"
	"time"

	"pushgateway/internal/store"
)

const (
	// spareSpace is how many outdated bytes a file may have before compaction is considered.
	spareSpace = 6 << 20

	// minDeletions is the minimum number of deleted groups that makes it worth checking
	// whether a compaction is due.
	minDeletions = 100

	// smallRest is how much of what changed meanwhile may be left to write when the new
	// file replaces the old one, while changes wait.
	smallRest = 256 << 10
	// maxRounds is how many times what changed meanwhile is written before that, however
	// much is left. Each round is shorter than the one before, unless the disk is slower
	// than the changes.
	maxRounds = 3

	// maxAhead bounds the space that a new file gets for changes to come, in bytes. Changes would
	// wait while it grows.
	maxAhead = 32 << 20
)

// sizeLimit returns the size up to which the log may grow if live bytes of it are in use.
func (j *Journal) sizeLimit(live int64) int64 { return live + max(j.spare, live*2/5) }

// compaction is a new file that is being written while changes still go to the old one.
type compaction struct {
	cancel context.CancelFunc
	done   chan struct{}
	since  changeSet // what was written to the old file since it began; guarded by Journal.mu
}

// compactIfDue starts to write a new file if too much of this one may be outdated. The caller
// holds mu.
func (j *Journal) compactIfDue() {
	used := j.committed.end - j.start.end
	due := used >= j.compactAt || j.deletions <= 0 && used > j.spare
	if !due || j.loaded != nil || j.staging || j.compaction != nil || j.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithCancel(j.ctx)
	c := &compaction{cancel: cancel, done: make(chan struct{})}
	c.since.add(j.unpublished)
	j.compaction = c
	groups := j.current()
	old, deletions := j.log, j.deletions
	j.background.Go(func() {
		next, count, err := j.compact(ctx, c, old, groups)
		cancel()
		j.mu.Lock()
		defer j.mu.Unlock()
		meanwhile := deletions - j.deletions
		j.compactAfter(next, count)
		j.deletions -= meanwhile
		j.compaction = nil
		if err != nil && ctx.Err() == nil {
			j.options.Logger.Warn("compacting the file failed", "file", j.path, "err", err)
		}
		close(c.done)
	})
}

// compactAfter says when the next compaction may be due: once the log has that size, or
// once half of count groups have been deleted. The caller holds mu.
func (j *Journal) compactAfter(size int64, count int) {
	j.compactAt, j.deletions = size, max(minDeletions, count/2)
}

// compact replaces the file by a new one with the groups and what was written since, if
// the new one is enough smaller. It returns the size at which the next try is due, and
// how many groups there are.
func (j *Journal) compact(ctx context.Context, c *compaction, old *log, groups iter.Seq[*store.Group]) (next int64, count int, err error) {
	started := time.Now()
	live := int64(0)
	for g := range groups {
		live += recordSize(g)
		count++
	}
	j.mu.Lock()
	before := j.committed.end - j.start.end
	j.mu.Unlock()
	if before < j.sizeLimit(live) {
		return j.sizeLimit(live), count, nil
	}
	later := before + max(j.spare, before/4)
	if j.inPlace {
		return later, count, j.compactInPlace(ctx, c, groups)
	}
	l, err := j.writeNew(ctx, groups)
	if err != nil {
		return later, count, err
	}
	for range maxRounds {
		rest := j.takeSince(c)
		if rest.Empty() {
			break
		}
		small := encodedSize(rest, staged{}) < smallRest
		if err := l.append(rest); err != nil {
			return later, count, j.discard(l, err)
		}
		if small {
			break
		}
	}
	// That many changes fit until the next compaction is due, and some come while it runs.
	ahead := j.sizeLimit(live) - (l.end - l.start.end)
	if err := l.allocateAhead(ctx, min(ahead, maxAhead)+smallRest); err != nil {
		return later, count, j.discard(l, err)
	}
	if err := j.turn.acquire(ctx); err != nil {
		return later, count, j.discard(l, err)
	}
	defer j.turn.release()
	if j.unavailable != nil || j.log != old {
		return later, count, j.discard(l, errAbandoned)
	}
	if rest := j.takeSince(c); !rest.Empty() {
		if err := l.append(rest); err != nil {
			return later, count, j.discard(l, err)
		}
	}
	if err := j.install(l); err != nil {
		var name *nameError
		if errors.As(err, &name) {
			j.fail(err)
		}
		j.inPlace = isBusy(err)
		return later, count, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	_ = old.file.Close() // nothing there counts any more
	j.use(l)
	j.updateStatus(j.lastCommit())
	j.options.Logger.Debug("file compacted", "file", j.path, "before", before, "after", l.allocated, "took", time.Since(started))
	return j.sizeLimit(live), count, nil
}

// compactInPlace makes a file smaller that no other one can replace: it appends one batch
// that wipes everything and has all groups, makes that the first one, and gives the space
// of the others back to the file system. Changes wait meanwhile. It gives up while a backup
// is being sent, which reads what it would give back.
func (j *Journal) compactInPlace(ctx context.Context, c *compaction, groups iter.Seq[*store.Group]) error {
	if err := j.turn.acquire(ctx); err != nil {
		return err
	}
	defer j.turn.release()
	all := changeSet{wiped: true, groups: map[string]*store.Group{}}
	for g := range groups {
		all.groups[g.Key.ID()] = g
	}
	all.add(j.takeSince(c))
	j.mu.Lock()
	available, backups := j.unavailable == nil, j.backups
	j.mu.Unlock()
	switch {
	case !available:
		return errAbandoned
	case backups > 0:
		return errors.New("a backup is being sent")
	}
	from := j.log.position
	err := j.log.append(all.changes())
	if err == nil {
		err = j.log.moveStart(from)
	}
	if err != nil {
		j.fail(err)
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.use(j.log)
	j.updateStatus(j.lastCommit())
	return nil
}

// takeSince returns what was written to the old file since the last call.
func (j *Journal) takeSince(c *compaction) store.Changes {
	j.mu.Lock()
	defer j.mu.Unlock()
	changes := c.since.changes()
	c.since = changeSet{}
	return changes
}

// discard removes a new file that is not to replace the old one after all.
func (j *Journal) discard(l *log, err error) error {
	return errors.Join(err, l.file.Close(), removeIfThere(j.path+newSuffix))
}
