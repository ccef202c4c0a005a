package main

import (
	"cmp"
	"runtime/debug"
	"strings"

	"github.com/prometheus/common/version"

	"pushgateway"
)

// completeVersion fills in what the linker was not told, as with go build and go run:
// the version is that of the file VERSION, and the build date that of the commit.
// prometheus/common finds the revision by itself.
func completeVersion() {
	version.Version = cmp.Or(version.Version, strings.TrimSpace(pushgateway.VersionFile))
	build, ok := debug.ReadBuildInfo()
	if !ok {
		return
	}
	for _, setting := range build.Settings {
		if setting.Key == "vcs.time" {
			version.BuildDate = cmp.Or(version.BuildDate, setting.Value)
		}
	}
}
