package main

import (
	"context"
	"log/slog"
)

// otherDescriptors is how many descriptors are left for files, listeners and a database, unless there
// are few of them.
const otherDescriptors = 64

// fitConnections returns how many connections each of the listeners may have: maxConnections, or fewer
// if the process may not open that many file descriptors. It logs that, as a warning unless
// maxConnections is the default. Otherwise connections of idle clients would keep others out, since
// they are closed only once there are maxConnections of them. descriptors is 0 if any number may be
// open; a maxConnections of 0 means no limit and stays.
func fitConnections(maxConnections, listeners int, descriptors uint64, logger *slog.Logger) int {
	if maxConnections == 0 || descriptors == 0 || listeners == 0 {
		return maxConnections
	}
	fit := max(1, (descriptors-min(otherDescriptors, descriptors/2))/uint64(listeners))
	if uint64(maxConnections) <= fit {
		return maxConnections
	}
	level := slog.LevelWarn
	if maxConnections == defaultMaxConnections {
		level = slog.LevelInfo // nobody asked for so many
	}
	logger.Log(context.Background(), level, "fewer connections than --web.max-connections, since the limit of open file descriptors "+
		"is low: raise it (ulimit -n, LimitNOFILE), or lower the flag", "connections", fit, "flag", maxConnections,
		"listeners", listeners, "descriptors", descriptors)
	return int(fit)
}
