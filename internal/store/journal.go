package store

import "time"

// Journal keeps changes so that a later process finds them.
//
// Commit is called by one goroutine at a time. When it returns nil, all changes
// are kept as the journal promises; otherwise the store does not apply them, and a
// journal that goes on drops what may have been written. Only a process that dies
// before that may find them at its next start, all or none. An error that may pass
// is an *UnavailableError.
type Journal interface {
	Commit(Changes) error
}

// Changes are the changes of a batch, to be kept together or not at all.
type Changes struct {
	Wiped  bool     // before all others, every group was deleted
	Groups []Change // each group once
}

// Change is the state that a group has come to.
type Change struct {
	ID    string
	Group *Group // nil where it was deleted
}

// Deletes reports whether a group was deleted.
func (c Changes) Deletes() bool {
	for _, g := range c.Groups {
		if g.Group == nil {
			return true
		}
	}
	return c.Wiped
}

// UnavailableError says that changes cannot be kept at the moment.
type UnavailableError struct {
	Reason     error
	RetryAfter time.Duration // when it may be worth trying again
}

func (e *UnavailableError) Error() string {
	return "the change could not be stored and was not applied: " + e.Reason.Error()
}

func (e *UnavailableError) Unwrap() error { return e.Reason }

// Memory is the journal of those who keep nothing.
type Memory struct{}

// Commit keeps nothing.
func (Memory) Commit(Changes) error { return nil }
