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

// lock keeps other gateways from the file until the result is closed, by a lock on
// a file beside it. bbolt's own lock is not enough: it ends whenever a file that
// failed is closed, to be written anew.
func lock(path string) (*os.File, error) {
	f, err := os.OpenFile(path+".lock", os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, describeOpen(path, err)
	}
	for deadline := time.Now().Add(lockPatience); ; time.Sleep(lockPatience / 20) {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return f, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) || time.Now().After(deadline) {
			return nil, errors.Join(describeOpen(path, lockError(path, err)), f.Close())
		}
	}
}

func lockError(path string, err error) error {
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return fmt.Errorf("lock %s.lock: %w", path, err)
}

// errHeld says that another process has the file.
var errHeld = errors.New("another process holds it; only one gateway can use a file")
