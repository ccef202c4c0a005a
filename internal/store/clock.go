package store

import "time"

// Clock is a source of time. Groups expire by Elapsed, so that setting the time of day
// does not make them expire early or late. The age of a loaded group follows from Now.
type Clock struct {
	Now     func() time.Time     // the time of day, which can be set
	Elapsed func() time.Duration // since some moment; it only grows
}

// SystemClock returns the clock of the machine.
func SystemClock() Clock {
	started := time.Now()
	return Clock{Now: time.Now, Elapsed: func() time.Duration { return time.Since(started) }}
}
