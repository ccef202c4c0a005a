package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"

	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

// newJournal returns the journal that the command line asks for, and its metrics.
func newJournal(o options, logger *slog.Logger) (store.Journal, []prometheus.Collector) {
	if o.persistenceFile == "" {
		logger.Warn("metrics are kept in memory only: nothing survives a restart", "reason", "--persistence.file is empty")
		return store.Memory{}, nil
	}
	file := journal.New(journal.Options{
		Path:     o.persistenceFile,
		Optional: o.persistenceDefault,
		Sync:     o.persistenceSync,
		Interval: o.persistenceInterval,
		Logger:   logger,
	})
	return file, file.Collectors()
}
