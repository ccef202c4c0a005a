package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/api"
	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

// storage is where the groups are kept: in a file, or, where none is wanted or
// the default one cannot be used, nowhere but in memory.
type storage struct {
	options options
	logger  *slog.Logger
	store   *store.Store
	journal *journal.Journal // nil where no file is wanted
	// memoryOnly says why there is no file, nil while there is one.
	memoryOnly atomic.Pointer[string]
}

// newStorage returns the storage and its store, which takes no changes before
// load.
func newStorage(o options, logger *slog.Logger) *storage {
	s := &storage{options: o, logger: logger, store: store.New(store.Memory{})}
	if o.persistenceFile == "" {
		reason := "--persistence.file is empty"
		s.memoryOnly.Store(&reason)
		return s
	}
	s.journal = journal.New(journal.Options{
		Path:     o.persistenceFile,
		Sync:     o.persistenceSync,
		Interval: o.persistenceInterval,
		Logger:   logger,
	}, s.store.Groups)
	s.store.Use(s.journal)
	return s
}

// load brings in what the file holds. The default file that cannot be used is
// done without, unless there is something in it.
func (s *storage) load() error {
	if s.journal == nil {
		s.logger.Warn("metrics are kept in memory only: nothing survives a restart", "reason", *s.memoryOnly.Load())
		return nil
	}
	if s.options.persistenceDefault {
		if err := os.MkdirAll(filepath.Dir(s.options.persistenceFile), 0o755); err != nil {
			return s.doWithout(err)
		}
	}
	groups, err := s.journal.Open()
	var damage *journal.DamageError
	var newer *journal.NewerError
	switch {
	case err == nil:
	case s.options.persistenceDefault && !errors.As(err, &damage) && !errors.As(err, &newer):
		return s.doWithout(err)
	default:
		return fmt.Errorf("the file that metrics are kept in (--persistence.file) cannot be used: %w", err)
	}
	s.store.Load(groups)
	s.journal.Start()
	s.logger.Info("metrics are kept in a file", "file", s.options.persistenceFile, "groups", len(groups), "sync", s.options.persistenceSync)
	return nil
}

func (s *storage) doWithout(err error) error {
	reason := err.Error()
	s.memoryOnly.Store(&reason)
	s.store.Use(store.Memory{})
	s.logger.Warn("metrics are kept in memory only, nothing survives a restart: the default file cannot be used; name one that can with --persistence.file",
		"file", s.options.persistenceFile, "err", err)
	return nil
}

// close writes what is not written yet.
func (s *storage) close() error {
	if s.journal == nil || s.memoryOnly.Load() != nil {
		return nil
	}
	return s.journal.Close()
}

// Ready returns nil where changes are taken.
func (s *storage) Ready() error {
	if s.memoryOnly.Load() != nil {
		return nil
	}
	return s.journal.Ready()
}

// Loading reports whether the groups that were kept are still being loaded.
func (s *storage) Loading() bool { return s.memoryOnly.Load() == nil && s.journal.Loading() }

// Status returns what there is to say of the storage.
func (s *storage) Status() api.Storage {
	if reason := s.memoryOnly.Load(); reason != nil {
		return api.Storage{Error: *reason}
	}
	status := s.journal.Status()
	out := api.Storage{
		Durable:    status.Err == nil,
		File:       s.options.persistenceFile,
		Sync:       s.options.persistenceSync.String(),
		SizeBytes:  s.journal.Size(),
		LastCommit: status.LastCommit,
		Pending:    status.Pending,
	}
	if status.Err != nil {
		out.Error = status.Err.Error()
	}
	return out
}

// Backup passes a consistent copy of the file to send.
func (s *storage) Backup(send func(size int64, content io.WriterTo) error) error {
	if s.memoryOnly.Load() != nil {
		return fmt.Errorf("there is no file to back up, metrics are kept in memory only: %w", errors.ErrUnsupported)
	}
	return s.journal.Backup(send)
}

// Collectors returns the storage's own metrics.
func (s *storage) Collectors() []prometheus.Collector {
	durable := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "pushgateway_persistence_durable",
		Help: "Whether changes are kept in a file (1), or only in memory or at the moment not at all (0).",
	}, func() float64 {
		if s.Status().Durable {
			return 1
		}
		return 0
	})
	if s.journal == nil {
		return []prometheus.Collector{durable}
	}
	return append(s.journal.Collectors(), durable)
}
