package journal

import (
	"errors"
	"os"

	"golang.org/x/sys/windows"
)

// Kinds of locks. An exclusive one keeps all others out, a shared one those who ask for an
// exclusive one.
const (
	exclusive = windows.LOCKFILE_EXCLUSIVE_LOCK
	shared    = 0
)

// errWouldBlock says that another process has the lock.
const errWouldBlock = windows.ERROR_LOCK_VIOLATION

// tryLock locks a file until it is closed. Windows keeps others from reading what is
// locked, so the lock is on a byte that no file has.
func tryLock(f *os.File, kind int) error {
	behind := windows.Overlapped{OffsetHigh: 1 << 30}
	return windows.LockFileEx(windows.Handle(f.Fd()), uint32(kind)|windows.LOCKFILE_FAIL_IMMEDIATELY, 0, 1, 0, &behind)
}

// duplicate returns another handle of an open file, which lives on if the first one is
// closed.
func duplicate(f *os.File) (*os.File, error) {
	var handle windows.Handle
	process := windows.CurrentProcess()
	err := windows.DuplicateHandle(process, windows.Handle(f.Fd()), process, &handle, 0, false, windows.DUPLICATE_SAME_ACCESS)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(handle), f.Name()), nil
}

// isBusy reports whether a file cannot get a name because the file that has it is in use.
func isBusy(err error) bool {
	return errors.Is(err, windows.ERROR_ACCESS_DENIED) || errors.Is(err, windows.ERROR_SHARING_VIOLATION)
}
