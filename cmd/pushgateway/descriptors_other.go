//go:build !unix

package main

// maxDescriptors returns 0: the system has no such limit.
func maxDescriptors() uint64 { return 0 }
