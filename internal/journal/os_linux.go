package journal

import (
	"errors"
	"os"
	"syscall"
)

// fdatasync has what was written to a file on disk when it returns.
func fdatasync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// punchHole gives the space of a part of a file back to the file system, if that can.
func punchHole(f *os.File, offset, size int64) {
	const punchHole, keepSize = 0x02, 0x01
	_ = syscall.Fallocate(int(f.Fd()), punchHole|keepSize, offset, size)
}
