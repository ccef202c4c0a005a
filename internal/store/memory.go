package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// Memory is a Journal that persists nothing: the groups are gone with the process.
type Memory struct {
	// Reason says in Status why nothing is persisted. It may be nil.
	Reason error
}

// Load returns no groups.
func (Memory) Load(context.Context, func() iter.Seq[*Group]) ([]*Group, error) { return nil, nil }

// Begin takes the turn, which is always free.
func (Memory) Begin(context.Context) (Changes, error) { return Changes{}, nil }

// Commit drops the changes.
func (Memory) Commit(Changes) error { return nil }

// Ready returns nil.
func (Memory) Ready() error { return nil }

// Status says that nothing is durable.
func (m Memory) Status() JournalStatus { return JournalStatus{Err: m.Reason} }

// Backup returns errors.ErrUnsupported.
func (Memory) Backup(context.Context, func(int64, io.Reader) error) error {
	return fmt.Errorf("there is no file to back up, metrics are in memory only: %w", errors.ErrUnsupported)
}

// Close returns nil.
func (Memory) Close(context.Context) error { return nil }
