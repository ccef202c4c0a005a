package main

import (
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"pushgateway/internal/journal"
	"pushgateway/internal/journal/postgres"
	"pushgateway/internal/store"
)

// newJournal returns the journal that the command line asks for, its metrics, and the clock
// by which groups expire.
func newJournal(o options, hashes *configHashes, logger *slog.Logger) (store.Journal, []prometheus.Collector, store.Clock) {
	clock := store.SystemClock()
	if o.database.isSet() {
		shared := postgres.New(postgres.Options{
			Address:       o.database.Address,
			PasswordFile:  o.passwordFile,
			Name:          o.replicaName,
			Version:       version.Version,
			Configuration: hashes.get,
			Logger:        logger,
		})
		clock.Now = shared.Now // replicas agree on it
		return shared, shared.Collectors(), clock
	}
	if o.persistenceFile == "" {
		logger.Warn("metrics are kept in memory only: nothing survives a restart", "reason", "--persistence.file is empty")
		return store.Memory{}, nil, clock
	}
	file := journal.New(journal.Options{
		Path:     o.persistenceFile,
		Optional: o.persistenceDefault,
		Sync:     o.persistenceSync,
		Interval: o.persistenceInterval,
		Logger:   logger,
	})
	return file, file.Collectors(), clock
}
