package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// A limited server has a quarter of a processor, as if it were on a machine of its own that is small:
// 2.5 of every 10 ms, so that no request waits long.
const (
	limitPeriod = 10_000 // µs
	limitQuota  = limitPeriod / 4
)

// limitProcessors makes a control group for a limited server, and returns its directory. Only root
// may do this.
func limitProcessors(name string) (dir string, err error) {
	const root = "/sys/fs/cgroup"
	files := map[string]string{"cpu.max": fmt.Sprintf("%d %d", limitQuota, limitPeriod)}
	if _, err := os.Stat(root + "/cgroup.controllers"); err == nil { // version 2
		dir = filepath.Join(root, name)
		if err := os.WriteFile(root+"/cgroup.subtree_control", []byte("+cpu"), 0); err != nil {
			return "", fmt.Errorf("limit processors: %w", err)
		}
	} else {
		dir = filepath.Join(root, "cpu", name)
		files = map[string]string{"cpu.cfs_period_us": fmt.Sprint(limitPeriod), "cpu.cfs_quota_us": fmt.Sprint(limitQuota)}
	}
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", fmt.Errorf("limit processors: %w", err)
	}
	for file, value := range files {
		if err := os.WriteFile(filepath.Join(dir, file), []byte(value), 0); err != nil {
			_ = os.Remove(dir)
			return "", fmt.Errorf("limit processors: %w", err)
		}
	}
	return dir, nil
}

// inGroup returns a command prefix that runs a command in a control group.
func inGroup(dir string) []string {
	return []string{"sh", "-c", `echo $$ > "$0" && exec "$@"`, filepath.Join(dir, "cgroup.procs")}
}
