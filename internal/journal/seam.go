package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"

	"pushgateway/internal/store"
)

var _ store.Journal = (*Journal)(nil)

// Load opens the file and returns the groups in it.
func (j *Journal) Load(_ context.Context, current func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	j.held = current
	if j.Optional {
		if err := os.MkdirAll(filepath.Dir(j.Path), 0o755); err != nil {
			return nil, j.fallBack(err)
		}
	}
	groups, err := j.open()
	var damage *DamageError
	var newer *NewerError
	switch {
	case err == nil:
	case j.Optional && !errors.As(err, &damage) && !errors.As(err, &newer):
		return nil, j.fallBack(err)
	default:
		return nil, fmt.Errorf("the file that metrics are kept in (--persistence.file) cannot be used: %w", err)
	}
	j.start()
	j.Logger.Info("metrics are kept in a file", "file", j.Path, "groups", len(groups), "sync", j.Sync)
	return groups, nil
}

// fallBack has the journal go on in memory.
func (j *Journal) fallBack(err error) error {
	j.memoryOnly.Store(&err)
	j.Logger.Warn("metrics are kept in memory only, nothing survives a restart: the default file cannot be used; name one that can with --persistence.file",
		"file", j.Path, "err", err)
	return nil
}

// Begin returns nothing: nobody else writes to the file.
func (j *Journal) Begin(context.Context) (store.Changes, error) { return store.Changes{}, j.Ready() }

// Status returns the journal's state.
func (j *Journal) Status() store.JournalStatus {
	if err := j.memoryOnly.Load(); err != nil {
		return store.JournalStatus{Err: *err}
	}
	s := j.status.Load()
	return store.JournalStatus{
		Durable: s.Err == nil, File: j.Path, Sync: j.Sync.String(), SizeBytes: j.Size(), LastCommit: s.LastCommit,
		PendingGroups: s.Pending, Loading: errors.Is(s.Err, errLoading), Err: s.Err,
	}
}

// Backup passes a consistent copy of the file to send.
func (j *Journal) Backup(ctx context.Context, send func(size int64, content io.Reader) error) error {
	if err := j.memoryOnly.Load(); err != nil {
		return store.Memory{}.Backup(ctx, send)
	}
	return j.backup(func(size int64, content io.WriterTo) error {
		reader, writer := io.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, err := content.WriteTo(writer)
			writer.CloseWithError(err)
		}()
		err := send(size, reader)
		reader.CloseWithError(errors.New("the backup was not read to its end"))
		<-done
		return err
	})
}

// Close writes what is pending and closes the file, or returns an error once ctx has
// ended.
func (j *Journal) Close(ctx context.Context) error {
	if j.memoryOnly.Load() != nil {
		return nil
	}
	closed := make(chan error, 1)
	go func() { closed <- j.close() }()
	select {
	case err := <-closed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("close %s: %w", j.Path, ctx.Err())
	}
}
