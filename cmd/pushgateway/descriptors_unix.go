//go:build unix

package main

import "syscall"

// maxDescriptors returns how many file descriptors the process may open, or 0 if that is not known. Go
// raises the limit to what the system allows.
func maxDescriptors() uint64 {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 0
	}
	return uint64(limit.Cur) //nolint:unconvert // signed on some systems
}
