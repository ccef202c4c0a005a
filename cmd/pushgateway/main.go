// Command pushgateway holds what short-lived jobs push until Prometheus scrapes
// it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/web"
	"pushgateway/internal/webui"
)

// shutdownTime is how long requests under way may take to end once the process
// has been asked to stop.
const shutdownTime = 8 * time.Second

func main() {
	if status, done := inspect(os.Args[1:], os.Stdout, os.Stderr); done {
		os.Exit(status)
	}
	options := parseOptions(filepath.Base(os.Args[0]), os.Args[1:])
	logger := promslog.New(options.log)
	if err := run(options, logger); err != nil {
		logger.Error("pushgateway stopped", "err", err)
		os.Exit(1)
	}
}

// run serves until a signal or the lifecycle API asks it to stop, or until it
// cannot serve.
func run(o options, logger *slog.Logger) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	logger.Info("starting pushgateway", "version", version.Info())
	logger.Info("build context", "build_context", version.BuildContext())
	storage := newStorage(o, logger)
	server, err := newServer(o, storage, logger, cancel)
	if err != nil {
		return err
	}
	go keepCollectionsRare(ctx)

	// The server listens while the groups are loaded, and says so to those who
	// ask.
	loaded := make(chan error, 1)
	go func() {
		err := storage.load()
		if err != nil {
			cancel()
		}
		loaded <- err
	}()
	err = serve(ctx, server, o.web, logger)
	return errors.Join(<-loaded, err, storage.close())
}

func newServer(o options, storage *storage, logger *slog.Logger, quit func()) (*http.Server, error) {
	pages, err := webui.New(webui.Config{External: o.externalURL, MetricsPath: o.telemetryPath})
	if err != nil {
		return nil, err
	}
	config := web.Config{
		Store:         storage.store,
		Storage:       storage,
		Logger:        logger,
		Now:           time.Now,
		Names:         metric.LegacyNames,
		RoutePrefix:   o.routePrefix,
		TelemetryPath: o.telemetryPath,
		Pages:         pages,
		Status: api.Status{
			Build: api.Build{
				Branch: version.Branch, Date: version.BuildDate, User: version.BuildUser,
				GoVersion: version.GoVersion, Revision: version.GetRevision(), Version: version.Version,
			},
			Flags:   o.all,
			Started: time.Now(),
		},
		Unchecked:   o.unchecked,
		OpenMetrics: o.openMetrics,
		AdminAPI:    o.adminAPI,
	}
	if o.utf8Names {
		config.Names = metric.UTF8Names
	}
	if o.lifecycle {
		config.Quit = sync.OnceFunc(func() {
			logger.Warn("termination requested over HTTP, stopping")
			quit()
		})
	}
	handler, err := web.New(config)
	if err != nil {
		return nil, err
	}
	return &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}, nil
}

// serve serves until ctx ends, then lets requests under way finish.
func serve(ctx context.Context, server *http.Server, flags *toolkit.FlagConfig, logger *slog.Logger) error {
	failed := make(chan error, 1)
	go func() { failed <- toolkit.ListenAndServe(server, flags, logger) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve HTTP: %w", err)
	case <-ctx.Done():
	}
	logger.Info("stopping: finishing the requests under way", "at_most", shutdownTime)
	bounded, cancel := context.WithTimeout(context.Background(), shutdownTime)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		return errors.Join(fmt.Errorf("finish the requests under way: %w", err), server.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	logger.Info("stopped")
	return nil
}
