package journal

import (
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// lockPatience is how long another process may still hold the file: one that is
// just being stopped, say.
const lockPatience = time.Second

// lockSuffix makes the name of the file that is locked.
const lockSuffix = ".lock"

// lock keeps other gateways from the file until the result is closed, by a lock on
// a file beside it. bbolt's own lock is not enough: it ends whenever a file that
// failed is closed, to be written anew.
func lock(path string) (*os.File, error) {
	name := path + lockSuffix
	f, err := os.OpenFile(name, os.O_CREATE|os.O_RDWR, 0o644)
	if forbidden(err) {
		// One that is there can be locked without being written to.
		if there, openErr := os.Open(name); openErr == nil {
			f, err = there, nil
		}
	}
	if err != nil {
		return nil, describeOpen(path, err)
	}
	if err := flock(f, syscall.LOCK_EX); err != nil {
		return nil, errors.Join(describeOpen(path, err), f.Close())
	}
	return f, nil
}

// flock locks a file until it is closed: LOCK_EX keeps all others from it, LOCK_SH
// those who ask for LOCK_EX. The error is errHeld where another process has it.
func flock(f *os.File, how int) error {
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 20) {
		err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case !errors.Is(err, syscall.EWOULDBLOCK):
			return fmt.Errorf("lock %s: %w", f.Name(), err)
		case time.Now().After(deadline):
			return errHeld
		}
	}
}

// errHeld says that another process has the file.
var errHeld = errors.New("another process holds it; only one gateway can use a file")

// forbidden reports whether an error says that a file or directory must not be
// written to.
func forbidden(err error) bool {
	return errors.Is(err, os.ErrPermission) || errors.Is(err, syscall.EROFS)
}

func isThere(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
