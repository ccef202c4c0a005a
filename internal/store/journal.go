package store

import (
	"context"
	"io"
	"iter"
	"time"
)

// Journal persists batches of changes in order.
//
// The store calls Load once, before all other methods except Ready and Status. It
// calls Begin and Commit alternately, from one goroutine at a time. It calls Ready,
// Status and Backup concurrently with all others.
type Journal interface {
	// Load opens the journal and returns the groups in it. current iterates over the
	// groups that the store has published. The journal may call it during and after
	// Load, to rewrite itself. Within Begin, everything committed is published. If
	// Load returns an error, the journal is closed.
	Load(ctx context.Context, current func() iter.Seq[*Group]) ([]*Group, error)
	// Begin takes the turn to change groups and returns what others have committed
	// since the last call. A temporary error is an *UnavailableError. After an error
	// no turn is taken.
	Begin(ctx context.Context) (foreign Changes, err error)
	// Commit ends the turn. Once it returns nil, all changes are as durable as the
	// journal promises. After an error, a later Load must find none of them, unless
	// the process ended before the journal could drop them. A temporary error is an
	// *UnavailableError; if that is Uncertain, the changes may also come back from Begin as
	// those of others. Empty Changes end the turn at no cost, unless the decisions rest on
	// what others have committed a moment ago; that is durable once Commit returns nil.
	Commit(Changes) error
	// Ready returns nil if changes are accepted, otherwise an *UnavailableError.
	Ready() error
	// Status describes the journal. It never waits for a disk.
	Status() JournalStatus
	// Backup calls send once with a copy of the journal from which a store can be
	// loaded. The error is errors.ErrUnsupported if there is nothing to copy. Changes
	// go on meanwhile.
	Backup(ctx context.Context, send func(size int64, content io.Reader) error) error
	// Close persists what is pending and closes the journal. It returns an error if
	// that fails or ctx ends first.
	Close(ctx context.Context) error
}

// A StagingJournal is a Journal that can write a large group before the turn in which it is
// committed, so that others do not wait for all of it.
type StagingJournal interface {
	Journal
	// Stage may be called between turns and during those of others, by one goroutine at a time. The
	// state of the group takes effect only once it is committed. Stage cannot fail: at worst,
	// Commit has more to do. The caller must call done after Commit, or once it is clear that the
	// group will not be committed.
	Stage(*Group) (done func())
}

// A SharedJournal is a Journal to which other processes commit, too. They are replicas.
type SharedJournal interface {
	Journal
	// Follow has adopt called whenever others have committed, until Close. adopt calls
	// learn between turns. learn returns what others have committed since the last call of
	// itself or of Begin. It takes no turn, and does not wait for others. Follow is
	// called once, after Load.
	Follow(adopt func(learn func() Changes))
	// Replicas describes the replicas. It never waits.
	Replicas() Replicas
}

// Replicas are the processes that share a journal.
type Replicas struct {
	Name      string        // of this one
	Sequence  int64         // of the last commit of all
	Contact   time.Time     // when the journal last answered
	ClockSkew time.Duration // how far the common clock is ahead of this machine's
	All       []Replica     // ordered by name
}

// Replica is one of the processes that share a journal.
type Replica struct {
	Name, Version string
	Self          bool  // it is this one
	Live          bool  // it was heard of lately
	Sequence      int64 // of the last commit that it has
	Behind        int64 // how many commits it lacked then
	Started       time.Time
	Heartbeat     time.Time // when it was last heard of
	// OtherRules and OtherAuth say that its rules or auth file are not those of this one.
	OtherRules, OtherAuth bool
}

// JournalStatus describes a journal.
type JournalStatus struct {
	Durable       bool      // accepted changes survive the process
	File          string    // empty if there is none
	Database      string    // its URL without password; empty if there is none
	Sync          string    // when changes are on disk, as the command line names it
	SizeBytes     int64     // of the file, or in the database
	LastCommit    time.Time // that succeeded, or when the journal was loaded
	PendingGroups int       // changed since LastCommit
	Loading       bool      // Load has not returned yet
	Err           error     // why changes are not durable; nil if they are
	Warning       string    // what can lose changes although they count as durable; usually empty
}

// Changes are the changes of a batch, to be persisted together or not at all.
type Changes struct {
	Wiped  bool     // before all others, every group was deleted
	Groups []Change // each group once
}

// Change is a group's new state.
type Change struct {
	ID    string
	Group *Group // nil if it was deleted
}

// Empty reports whether nothing changes.
func (c Changes) Empty() bool { return !c.Wiped && len(c.Groups) == 0 }

// Deletes reports whether a group is deleted.
func (c Changes) Deletes() bool {
	for _, g := range c.Groups {
		if g.Group == nil {
			return true
		}
	}
	return c.Wiped
}

// UnavailableError says that changes are not accepted at the moment.
type UnavailableError struct {
	Reason     error
	RetryAfter time.Duration // when it may be worth trying again
	Uncertain  bool          // the change may have been stored all the same
}

func (e *UnavailableError) Error() string {
	if e.Uncertain {
		return "the change may or may not have been applied, push it again: " + e.Reason.Error()
	}
	return "the change could not be stored and was not applied: " + e.Reason.Error()
}

func (e *UnavailableError) Unwrap() error { return e.Reason }
