package main

import (
	"context"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// reportToSystemd tells systemd, if that started the process as a service of Type=notify,
// that the gateway listens, and then often enough for WatchdogSec that it lives, until ctx
// ends. Then it says that the gateway stops.
func reportToSystemd(ctx context.Context, logger *slog.Logger) {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			logger.Warn("systemd not notified", "state", state, "err", err)
		}
	}
	notify(daemon.SdNotifyReady)
	defer notify(daemon.SdNotifyStopping)
	period, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		logger.Warn("watchdog of systemd not served", "err", err)
	}
	if period == 0 {
		<-ctx.Done()
		return
	}
	ticker := time.NewTicker(period / 3)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			notify(daemon.SdNotifyWatchdog)
		}
	}
}
