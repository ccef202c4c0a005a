package job

import (
	"os"
	"time"
)

// lockPoll is how often a lock is tried while waiting for it.
const lockPoll = 100 * time.Millisecond

// Lock locks a file, which it creates if it is missing, and waits up to the given time while
// another process has it. It reports whether it has got the lock. The lock ends with release
// or with the process, and is not inherited by commands. The file stays.
func Lock(path string, wait time.Duration) (release func(), got bool, err error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o666) // #nosec G302 -- users may share a lock
	if err != nil {
		return nil, false, err
	}
	for deadline := time.Now().Add(wait); ; time.Sleep(min(lockPoll, max(time.Until(deadline), 0))) {
		got, err = tryLock(file)
		if got {
			return func() { _ = file.Close() }, true, nil // nothing was written
		}
		if err != nil || !time.Now().Before(deadline) {
			_ = file.Close()
			return nil, false, err
		}
	}
}
