package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	toolkit "github.com/prometheus/exporter-toolkit/web"

	"pushgateway/internal/store"
)

// Stopping takes at most maxDrain and then maxClose.
const (
	maxDrain = 8 * time.Second  // for requests under way
	maxClose = 10 * time.Second // for the journal
)

// serve serves until ctx ends, then lets requests under way finish.
func serve(ctx context.Context, server *http.Server, flags *toolkit.FlagConfig, logger *slog.Logger) error {
	failed := make(chan error, 1)
	go func() { failed <- toolkit.ListenAndServe(server, flags, logger) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping: waiting for requests under way", "at_most", maxDrain)
	drain, cancel := context.WithTimeout(context.Background(), maxDrain)
	defer cancel()
	if err := server.Shutdown(drain); err != nil {
		return errors.Join(fmt.Errorf("finish the requests under way: %w", err), server.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}

// closeStore waits for what runs in the background and closes the store. The error of
// opening the store counts, unless that was interrupted: then there is nothing to lose.
func closeStore(groups *store.Store, opened <-chan error, background *sync.WaitGroup, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxClose)
	defer cancel()
	if status := groups.Status(); status.File != "" {
		logger.Info("stopping: waiting until all changes are on disk", "file", status.File, "at_most", maxClose)
	}
	done := make(chan struct{})
	go func() {
		background.Wait()
		close(done)
	}()
	err := <-opened // soon after ctx of run has ended
	if errors.Is(err, context.Canceled) {
		logger.Warn("stopped before the stored groups were loaded")
		return nil
	}
	select {
	case <-done:
	case <-ctx.Done(): // a group may be expiring: Close waits for that, too
	}
	if err = errors.Join(err, groups.Close(ctx)); err == nil {
		logger.Info("stopped")
	}
	return err
}
