package journal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPatience is how long to wait for another process that has the file, such as one that
// is stopping.
const lockPatience = time.Second

// lockSuffix makes the name of the file that is locked.
const lockSuffix = ".lock"

// lock keeps other gateways from the file until the result is closed, by a lock on
// a file beside it. A lock on the file itself is not enough: it does not go over to the
// file that replaces it.
func lock(ctx context.Context, path string) (*os.File, error) {
	name := path + lockSuffix
	f, err := openLock(name)
	if err != nil {
		return nil, describeOpen(path, err)
	}
	if err := flock(ctx, f, exclusive); err != nil {
		return nil, errors.Join(describeOpen(path, err), f.Close())
	}
	return f, nil
}

func openLock(name string) (*os.File, error) {
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR|syscall.O_NONBLOCK, 0o600)
	if forbidden(err) {
		// One that is there can be locked without being written to.
		if there, openErr := os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0); openErr == nil {
			return there, nil
		}
	}
	return f, err
}

// relock takes the lock again if the name of the lock file now refers to another file, or to
// none: another gateway may have locked that.
func (j *Journal) relock() error {
	mine, err := j.lock.Stat()
	if err != nil {
		return err
	}
	if is, err := os.Stat(j.path + lockSuffix); err == nil && os.SameFile(mine, is) {
		return nil
	}
	again, err := lock(j.ctx, j.path)
	if err != nil {
		return err
	}
	old := j.lock
	j.lock = again
	return old.Close()
}

// unlock lets other gateways use the file.
func (j *Journal) unlock() error {
	if j.lock == nil {
		return nil
	}
	f := j.lock
	j.lock = nil
	return f.Close()
}

// flock locks a file until it is closed. The error is errLocked if another process has it.
func flock(ctx context.Context, f *os.File, kind int) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 20) {
		err := tryLock(f, kind)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, errWouldBlock):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case time.Now().After(deadline):
			return errLocked
		}
	}
}

// errLocked says that another process has the file.
var errLocked = errors.New("another process holds it; only one gateway can use a file")

// forbidden reports whether an error says that a file or directory must not be
// written to.
func forbidden(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
