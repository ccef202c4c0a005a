// Command pushgateway holds what short-lived jobs push until Prometheus scrapes
// it.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
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
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
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
	manager, err := newRules(o, storage.store, logger)
	if err != nil {
		return err
	}
	handler, err := newHandler(o, storage, manager, logger, cancel)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	if o.configFile != "" {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		go reloadOnHangup(ctx, hangup, manager)
	}
	go keepCollectionsRare(ctx)

	// The server listens while the groups are loaded, and says so to those who
	// ask.
	done := make(chan error, 1)
	go func() {
		err := storage.load()
		if err != nil {
			cancel()
		} else {
			handler.Loaded()
			handler.EndGroups(ctx)
		}
		done <- err
	}()
	err = serve(ctx, server, o.web, logger)
	cancel()
	return errors.Join(<-done, err, storage.close())
}

// reloadOnHangup reloads the rules at each SIGHUP until ctx is done.
func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, manager *rules.Manager) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			_ = manager.Reload() // logs its errors
		}
	}
}

// newRules returns the manager of the rules, which decide when groups of the store expire.
func newRules(o options, s *store.Store, logger *slog.Logger) (*rules.Manager, error) {
	started := time.Now()
	clock := store.Clock{Now: time.Now, Elapsed: func() time.Duration { return time.Since(started) }}
	config := rules.ManagerConfig{Now: time.Now, Logger: logger}
	if o.configFile != "" {
		config.Load = func() (*rules.Rules, error) { return rules.Load(o.configFile) }
	}
	config.Apply = func(inUse *rules.Rules) {
		s.SetExpiry(store.ExpiryPolicy{For: func(key metric.GroupingKey) metric.Expiry {
			return inUse.For(key).Expiry.Or(o.defaults.Expiry)
		}, Clock: clock})
		if due := s.Due(math.MaxInt); len(due) > 0 {
			logger.Warn("by the rules now in use, groups have expired and will be deleted", "groups", len(due))
		}
	}
	return rules.NewManager(config)
}

func newHandler(o options, storage *storage, manager *rules.Manager, logger *slog.Logger, quit func()) (*web.Server, error) {
	pages, err := webui.New(webui.Config{External: o.externalURL, MetricsPath: o.telemetryPath})
	if err != nil {
		return nil, err
	}
	config := web.Config{
		Store:           storage.store,
		Storage:         storage,
		Logger:          logger,
		Now:             time.Now,
		Validation:      metric.LegacyValidation,
		Rules:           manager,
		Defaults:        o.defaults,
		ExternalURL:     o.externalURL,
		RoutePrefix:     o.routePrefix,
		TelemetryPath:   o.telemetryPath,
		SelfMetricsPath: o.ownPath,
		Pages:           pages,
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
		config.Validation = metric.UTF8Validation
	}
	if o.lifecycle {
		config.Quit = sync.OnceFunc(func() {
			logger.Warn("termination requested over HTTP, stopping")
			quit()
		})
	}
	return web.New(config)
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
