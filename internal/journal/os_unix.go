//go:build unix

package journal

import (
	"errors"
	"os"
	"syscall"
)

// Kinds of locks. An exclusive one keeps all others out, a shared one those who ask for an
// exclusive one.
const (
	exclusive = syscall.LOCK_EX
	shared    = syscall.LOCK_SH
)

// errWouldBlock says that another process has the lock.
const errWouldBlock = syscall.EWOULDBLOCK

// tryLock locks a file until it is closed.
func tryLock(f *os.File, kind int) error { return syscall.Flock(int(f.Fd()), kind|syscall.LOCK_NB) }

// duplicate returns another descriptor of an open file, which lives on if the first one is
// closed.
func duplicate(f *os.File) (*os.File, error) {
	fd, err := syscall.Dup(int(f.Fd()))
	if err != nil {
		return nil, err
	}
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), f.Name()), nil
}

// isBusy reports whether a file cannot get a name because the file that has it is in use.
func isBusy(err error) bool { return errors.Is(err, syscall.EBUSY) }
