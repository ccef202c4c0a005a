//go:build unix

package job

import (
	"syscall"

	"golang.org/x/sys/unix"
)

// foreground reports whether this process belongs to the foreground group of a terminal.
func foreground(fd int) bool {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	return err == nil && group == syscall.Getpgrp()
}

// setForeground makes a process group the foreground one of a terminal.
func setForeground(fd, group int) error { return unix.IoctlSetPointerInt(fd, unix.TIOCSPGRP, group) }
