package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"time"

	"pushgateway/internal/store"
)

// open does what Load says, and can hang with the disk. It changes nothing any more once
// ctx has ended.
//
// A file in a directory that must not be written to is used without a lock beside it,
// and can never be replaced by a new one.
func (j *Journal) open(ctx context.Context) (groups []*store.Group, err error) {
	if err := j.turn.acquire(ctx); err != nil {
		return nil, err
	}
	defer j.turn.release()
	defer j.now("opening")()
	if j.options.Optional {
		if err := os.MkdirAll(filepath.Dir(j.options.Path), 0o755); err != nil { // #nosec G301 -- the files in it are not readable by others
			return nil, err
		}
	}
	j.path = followLinks(j.options.Path)
	j.lock, err = lock(ctx, j.path)
	if forbidden(err) && isThere(j.path) && !isThere(j.path+lockSuffix) {
		j.noLock, j.inPlace = err, true
	} else if err != nil {
		return nil, err
	}
	l, from, err := j.load(ctx)
	if err == nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), l.file.Close())
	}
	if err != nil {
		return nil, errors.Join(err, j.unlock())
	}
	if j.lock == nil {
		j.options.Logger.Warn("the file's directory cannot be written to: if a sync fails, no more changes can be stored", "file", j.path, "err", j.noLock)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.use(l)
	j.loaded = from.groups
	j.compactAfter(j.sizeLimit(from.live), len(from.groups))
	j.unavailable = nil
	j.updateStatus(time.Now())
	return from.groups, nil
}

// use has the journal go on with a log; everything written to it counts. The caller holds
// turn and mu.
func (j *Journal) use(l *log) {
	j.log, j.committed, j.start, j.size = l, l.position, l.start, l.bytes()
}

// load reads the file, or makes one if there is none, or imports that of upstream.
func (j *Journal) load(ctx context.Context) (l *log, from loaded, err error) {
	if j.lock != nil {
		_ = os.Remove(j.path + newSuffix) // which a process that was killed may have left
	}
	f, err := openRegular(j.path, os.O_RDWR)
	if errors.Is(err, os.ErrNotExist) {
		l, err = j.replace(ctx, nil)
		return l, from, err
	}
	if err != nil {
		return nil, from, describeOpen(j.path, err)
	}
	defer func() {
		if err != nil || l.file != f {
			err = errors.Join(err, f.Close())
		}
	}()
	if err := flock(ctx, f, exclusive); err != nil {
		return nil, from, describeOpen(j.path, err)
	}
	size, kind, err := identify(f)
	switch {
	case err != nil:
		return nil, from, err
	case kind == empty:
		// Whole or not at all, if that is possible.
		if l, err = j.replace(ctx, nil); j.lock == nil || isBusy(err) {
			if l, err = newLog(f, j.disk); err == nil {
				err = l.seal()
			}
		}
		return l, from, err
	case kind == foreign:
		l, from.groups, err = j.importUpstream(ctx)
		return l, from, err
	}
	if from, err = loadFile(f, size); err != nil {
		return nil, from, damaged(j.path, err)
	}
	if err := ctx.Err(); err != nil {
		return nil, from, err
	}
	if from.position.end-from.header.end > 3*from.live+j.spare {
		if l, err = j.replace(ctx, slices.Values(from.groups)); err == nil {
			j.options.Logger.Info("file compacted", "file", j.path, "before", size, "after", l.allocated)
			return l, from, nil
		}
		// The larger file works, too.
		j.options.Logger.Warn("compacting the file failed", "file", j.path, "err", err)
	}
	if from.dirty > 0 {
		j.options.Logger.Info("dropping a batch that was not written to its end, and so never acknowledged", "file", j.path, "offset", from.position.end)
	}
	l, err = openLog(f, from, size, j.disk)
	if err == nil && j.lock != nil {
		err = syncDirectory(j.path) // the file may just have been put there
	}
	return l, from, err
}

// kind is what a file turns out to be.
type kind int

const (
	empty   kind = iota
	ours         // its first bytes are those of our format
	foreign      // perhaps of upstream
)

// identify returns the size and kind of a file.
func identify(f *os.File) (size int64, k kind, err error) {
	info, err := f.Stat()
	if err != nil {
		return 0, empty, err
	}
	begin := make([]byte, len(magic))
	n, err := f.ReadAt(begin, 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return 0, empty, err
	case n == 0:
		return 0, empty, nil
	case string(begin) == magic:
		return info.Size(), ours, nil
	}
	return info.Size(), foreign, nil
}

// damaged makes an error of loadFile one that names the file.
func damaged(path string, err error) error {
	var newer *NewerError
	if errors.As(err, &newer) {
		newer.Path = path
		return newer
	}
	return &DamageError{path, err}
}

// openRegular opens a regular file. It does not wait for a writer, as opening a FIFO
// does.
func openRegular(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("it is not a regular file")
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// describeOpen says what is behind an error of opening a file.
func describeOpen(path string, err error) error {
	directory := filepath.Dir(path)
	switch {
	case forbidden(err):
		return fmt.Errorf("open %s: %w; the user who runs the gateway needs to write to the file and to its directory %s", path, err, directory)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("open %s: %w; does the directory %s exist?", path, err, directory)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// followLinks returns what a symbolic link names, which need not be there yet, so
// that a new file does not take the place of a link to it.
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
