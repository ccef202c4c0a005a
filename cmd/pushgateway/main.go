// Command pushgateway accepts the metrics of batch jobs and exposes them to Prometheus.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/common/version"
	"go.yaml.in/yaml/v3"

	"pushgateway/internal/access"
	"pushgateway/internal/api"
	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/web"
	"pushgateway/internal/webui"
)

func main() {
	completeVersion()
	if command, ok := findCommand(os.Args[1:]); ok {
		os.Exit(command.run(os.Args[2:], invocation{in: os.Stdin, out: os.Stdout, errOut: os.Stderr}))
	}
	o := parseFlags(filepath.Base(os.Args[0]), os.Args[1:])
	o.database.hideIn(os.Args)
	logger := promslog.New(o.log)
	if err := runServer(o, logger); err != nil {
		logger.Error("pushgateway stopped", "err", err)
		os.Exit(1)
	}
}

// runServer serves until a signal or the lifecycle API asks it to stop, or until it cannot
// serve. What it starts, it stops in the reverse order, and waits for it.
func runServer(o options, logger *slog.Logger) error {
	signaled, ignore := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer ignore()
	context.AfterFunc(signaled, ignore) // a second signal ends the process at once
	ctx, quit := context.WithCancel(signaled)
	defer quit()

	logger.Info("starting pushgateway", "version", version.Info())
	logger.Info("build context", "build_context", version.BuildContext())
	if o.memoryLimit {
		limitMemory(o.memoryLimitRatio, logger)
	}
	hashes := &configHashes{}
	journal, journalMetrics, clock := newJournal(o, hashes, logger)
	pacer := limits.NewPacer(limits.PushesPerTurn * runtime.GOMAXPROCS(0))
	if o.persistenceFile != "" {
		useSecondProcessor()
	}
	groups := store.New(store.Config{Journal: journal, Clock: clock, Pace: pacer.WaitToAnswer})
	manager, err := newRules(o, groups, clock, hashes, logger)
	if err != nil {
		return err
	}
	guard, err := newGuard(o, clock, hashes, logger)
	if err != nil {
		return err
	}
	handler, err := newHandler(o, groups, pacer, clock, journalMetrics, manager, guard, logger, quit)
	if err != nil {
		return err
	}

	var background sync.WaitGroup
	// The server listens while the groups are being loaded, and says so.
	opened, ready := make(chan error, 1), make(chan struct{})
	background.Go(func() { paceCollector(ctx, ready, handler.PushMemory(), func() int64 { return groups.Totals().Bytes }) })
	background.Go(func() { giveMemoryBack(ctx) })
	// A reload of the systemd service must not end it, even if there is nothing to reload.
	if o.configFile != "" || o.authFile != "" || os.Getenv("NOTIFY_SOCKET") != "" {
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		background.Go(func() { reloadOnHangup(ctx, hangup, handler) })
	}
	background.Go(func() {
		err := groups.Open(ctx)
		opened <- err
		close(ready)
		if err != nil {
			quit()
			return
		}
		warnOfHidden(groups, logger)
		groups.RunExpiry(ctx, handler.Expired)
	})
	if o.persistenceFile == "" && !o.database.isSet() {
		<-ready // there is nothing to load, so no scrape is to be answered with 503
	}
	err = serve(ctx, o, handler, logger)
	quit()
	return errors.Join(err, closeStore(groups, opened, &background, logger))
}

// useSecondProcessor lets Go code run on two threads at the same time where there is one processor,
// unless the environment says otherwise. A sync of the file occupies one of them until the Go
// scheduler notices, which can take 10 ms, and nothing else would run meanwhile.
func useSecondProcessor() {
	if runtime.GOMAXPROCS(0) == 1 && os.Getenv("GOMAXPROCS") == "" {
		runtime.GOMAXPROCS(2)
	}
}

// warnOfHidden warns of stored metrics that cannot be exposed beside the gateway's own.
func warnOfHidden(groups *store.Store, logger *slog.Logger) {
	if hidden := groups.HiddenFamilies(); len(hidden) > 0 {
		logger.Warn("stored metrics are not exposed: the gateway's own metrics have the same names, but other types; "+
			"delete or replace the groups that have them, or set --web.own-metrics-path", "families", strings.Join(hidden, " "))
	}
}

// newRules returns the manager of the rules, which decide when groups expire.
func newRules(o options, groups *store.Store, clock store.Clock, hashes *configHashes, logger *slog.Logger) (*rules.Manager, error) {
	config := rules.ManagerConfig{Now: clock.Now, Logger: logger}
	if o.configFile != "" {
		config.Load = hashed(rules.Load, o.configFile, &hashes.rules)
	}
	config.Apply = func(inUse *rules.Rules) {
		due := groups.SetExpiry(func(key metric.GroupingKey) metric.Expiry {
			return inUse.For(key).Expiry.Or(o.defaults.Expiry)
		})
		groups.SetQuota(quotaOf(o, inUse))
		if due > 0 {
			logger.Warn("by the rules now in use, groups have expired and will be deleted", "groups", due)
		}
	}
	return rules.NewManager(config)
}

// quotaOf returns the bounds of what is stored: those of the flags for all groups, and those
// of the rules for theirs.
func quotaOf(o options, inUse *rules.Rules) store.Quota {
	quota := o.quota
	quota.RuleOf = inUse.Find
	for _, rule := range inUse.All() {
		quota.Rules = append(quota.Rules, rule.Limits())
	}
	return quota
}

// newGuard returns what decides who may do what, nil if there is no auth file.
func newGuard(o options, clock store.Clock, hashes *configHashes, logger *slog.Logger) (*access.Guard, error) {
	if o.authFile == "" {
		return nil, nil
	}
	if err := rejectWebUsers(*o.web.WebConfigFile); err != nil {
		return nil, err
	}
	return access.NewGuard(access.Config{
		Load:   hashed(access.Load, o.authFile, &hashes.auth),
		Now:    clock.Now,
		Logger: logger,
	})
}

// rejectWebUsers returns an error if the file for --web.config.file has users: they and those
// of the auth file cannot both be in the Authorization header of a request.
func rejectWebUsers(file string) error {
	if file == "" {
		return nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read --web.config.file: %w", err)
	}
	var config struct {
		Users map[string]string `yaml:"basic_auth_users"`
	}
	// The toolkit reports what is wrong with the file otherwise.
	if yaml.Unmarshal(text, &config) == nil && len(config.Users) > 0 {
		return fmt.Errorf("%s has basic_auth_users, which do not go with --auth.file: move them there, as username and password_bcrypt", file)
	}
	return nil
}

// reloadOnHangup reloads the rules and the auth file at each SIGHUP until ctx ends.
func reloadOnHangup(ctx context.Context, hangup <-chan os.Signal, handler *web.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangup:
			handler.ReloadAtSignal("SIGHUP")
		}
	}
}

// newHandler returns the handler of all requests. quit stops the process.
func newHandler(o options, groups *store.Store, pacer *limits.Pacer, clock store.Clock, journalMetrics []prometheus.Collector,
	manager *rules.Manager, guard *access.Guard, logger *slog.Logger, quit func(),
) (*web.Server, error) {
	pages, err := webui.New(webui.Config{
		External: o.externalURL, MetricsPath: o.telemetryPath, Prometheus: o.prometheusURL, Replica: o.sharedName(),
	})
	if err != nil {
		return nil, err
	}
	config := web.Config{
		Store:              groups,
		Clock:              clock,
		Logger:             logger,
		JournalMetrics:     journalMetrics,
		Validation:         metric.LegacyValidation,
		Guard:              guard,
		Limits:             o.limits,
		MaxPushConcurrency: o.maxConcurrency,
		PushRate:           o.rateLimit,
		Pacer:              pacer,
		MaxPushMemory:      o.maxInflight,
		Rules:              manager,
		Defaults:           o.defaults,
		OTLP:               o.otlp,
		ExternalURL:        o.externalURL,
		RoutePrefix:        o.routePrefix,
		TelemetryPath:      o.telemetryPath,
		SelfMetricsPath:    o.selfMetricsPath,
		Pages:              pages,
		Status: api.Status{
			Build: api.Build{
				Branch: version.Branch, Date: version.BuildDate, User: version.BuildUser,
				GoVersion: version.GoVersion, Revision: version.GetRevision(), Version: version.Version,
			},
			Flags:   o.all,
			Started: clock.Now(),
		},
		Progress:    o.timeouts.Progress,
		Unchecked:   o.unchecked,
		OpenMetrics: o.openMetrics,
		AdminAPI:    o.adminAPI,

		ReadOnlyReady: o.database.isSet() && !o.readyNeedsDatabase,
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
