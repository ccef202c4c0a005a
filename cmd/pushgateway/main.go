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
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	toolkit "github.com/prometheus/exporter-toolkit/web"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/web"
	"pushgateway/internal/webui"
)

// Bounds of stopping, one after the other.
const (
	// maxDrain is how long requests under way may take once the process has been
	// asked to stop.
	maxDrain = 8 * time.Second
	// maxClose is how long the journal may take after them.
	maxClose = 10 * time.Second
)

func main() {
	if status, done := inspect(os.Args[1:], os.Stdout, os.Stderr); done {
		os.Exit(status)
	}
	if status, done := auth(os.Args[1:], os.Stdin, os.Stdout, os.Stderr); done {
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
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()

	logger.Info("starting pushgateway", "version", version.Info())
	logger.Info("build context", "build_context", version.BuildContext())
	clock := store.SystemClock()
	journal, journalMetrics := newJournal(o, logger)
	groups := store.New(store.Config{Journal: journal, Clock: clock})
	manager, err := newRules(o, groups, clock, logger)
	if err != nil {
		return err
	}
	guard, err := newGuard(o, clock, logger)
	if err != nil {
		return err
	}
	handler, err := newHandler(o, groups, clock, journalMetrics, manager, guard, logger, cancel)
	if err != nil {
		return err
	}
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelDebug)}
	if o.configFile != "" || o.authFile != "" {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		go reloadOnHangup(ctx, hangup, manager, guard)
	}
	go keepCollectionsRare(ctx)

	// The server listens while the groups are being loaded, and says so.
	opened := make(chan error, 1)
	go func() {
		err := groups.Open(ctx)
		if err != nil {
			cancel()
		} else {
			warnOfHidden(groups, logger)
			groups.RunExpiry(ctx, handler.Expired)
		}
		opened <- err
	}()
	err = serve(ctx, server, o.web, logger)
	cancel()
	err = errors.Join(err, closeStore(groups, opened, logger))
	if err == nil {
		logger.Info("stopped")
	}
	return err
}

// closeStore waits, at most maxClose, until the store has stopped expiring groups, or
// loading them, and has all changes persisted.
func closeStore(groups *store.Store, opened <-chan error, logger *slog.Logger) error {
	ctx, cancel := context.WithTimeout(context.Background(), maxClose)
	defer cancel()
	if status := groups.Status(); status.File != "" {
		logger.Info("stopping: writing the last changes to the file", "file", status.File, "at_most", maxClose)
	}
	var err error
	select {
	case err = <-opened:
		if errors.Is(err, context.Canceled) {
			logger.Warn("stopping before the stored groups were loaded")
			err = nil
		}
	case <-ctx.Done(): // of which Close says what it means
	}
	return errors.Join(err, groups.Close(ctx))
}

// warnOfHidden warns of stored metrics that cannot be exposed beside the gateway's own.
func warnOfHidden(groups *store.Store, logger *slog.Logger) {
	if hidden := groups.HiddenFamilies(); len(hidden) > 0 {
		logger.Warn("stored metrics are not exposed: the gateway's own metrics have the same names, but other types; delete or replace the groups that have them, or move the gateway's own with --web.own-metrics-path",
			"families", strings.Join(hidden, " "))
	}
}

// reloadOnHangup reloads the rules and the auth file at each SIGHUP until ctx is done.
func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, manager *rules.Manager, guard *access.Guard) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			// Both log their errors.
			if manager.Configured() {
				_ = manager.Reload()
			}
			if guard != nil {
				_ = guard.Reload()
			}
		}
	}
}

// newRules returns the manager of the rules, which decide when groups of the store expire.
func newRules(o options, groups *store.Store, clock store.Clock, logger *slog.Logger) (*rules.Manager, error) {
	config := rules.ManagerConfig{Now: clock.Now, Logger: logger}
	if o.configFile != "" {
		config.Load = func() (*rules.Rules, error) { return rules.Load(o.configFile) }
	}
	config.Apply = func(inUse *rules.Rules) {
		due := groups.SetExpiry(func(key metric.GroupingKey) metric.Expiry {
			return inUse.For(key).Expiry.Or(o.defaults.Expiry)
		})
		if due > 0 {
			logger.Warn("by the rules now in use, groups have expired and will be deleted", "groups", due)
		}
	}
	return rules.NewManager(config)
}

// newGuard returns what decides who may do what, nil if there is no auth file.
func newGuard(o options, clock store.Clock, logger *slog.Logger) (*access.Guard, error) {
	if o.authFile == "" {
		return nil, nil
	}
	return access.NewGuard(access.Config{
		Load:   func() (*access.Policy, error) { return access.Load(o.authFile) },
		Now:    clock.Now,
		Logger: logger,
	})
}

func newHandler(
	o options, groups *store.Store, clock store.Clock, journalMetrics []prometheus.Collector,
	manager *rules.Manager, guard *access.Guard, logger *slog.Logger, quit func(),
) (*web.Server, error) {
	pages, err := webui.New(webui.Config{External: o.externalURL, MetricsPath: o.telemetryPath})
	if err != nil {
		return nil, err
	}
	config := web.Config{
		Store:           groups,
		Clock:           clock,
		Logger:          logger,
		JournalMetrics:  journalMetrics,
		Validation:      metric.LegacyValidation,
		Guard:           guard,
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
			Started: clock.Now(),
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
	logger.Info("stopping: finishing the requests under way", "at_most", maxDrain)
	bounded, cancel := context.WithTimeout(context.Background(), maxDrain)
	defer cancel()
	if err := server.Shutdown(bounded); err != nil {
		return errors.Join(fmt.Errorf("finish the requests under way: %w", err), server.Close())
	}
	if err := <-failed; !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve HTTP: %w", err)
	}
	return nil
}
