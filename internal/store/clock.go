package store

import "time"

// Clock is a source of time. Groups expire by Elapsed: setting the time of day makes
// none expire early or late. How old a group is when it is loaded follows from Now.
type Clock struct {
	Now     func() time.Time     // the time of day, which can be set
	Elapsed func() time.Duration // since some moment; it only grows
}

// SystemClock returns the clock of the machine.
func SystemClock() Clock {
	started := time.Now()
	return Clock{Now: time.Now, Elapsed: func() time.Duration { return time.Since(started) }}
}
