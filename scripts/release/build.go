package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// releaseFiles is a release that is being made.
type releaseFiles struct {
	out     string // folder of what is published
	work    string // folder of what it is made from
	version string
	date    time.Time // of all files
}

// name returns the name of the release for a platform, as upstream's.
func (r *releaseFiles) name(platform string) string {
	return fmt.Sprintf("pushgateway-%s.%s", r.version, platform)
}

// build builds the program for a platform and returns its file.
func (r *releaseFiles) build(platform string) (string, error) {
	system, architecture, _ := strings.Cut(platform, "-")
	environment := []string{"GOOS=" + system, "GOARCH=" + architecture}
	if arm, ok := strings.CutPrefix(architecture, "armv"); ok {
		environment = []string{"GOOS=" + system, "GOARCH=arm", "GOARM=" + arm}
	}
	binary := filepath.Join(r.work, platform, "pushgateway")
	if system == "windows" {
		binary += ".exe"
	}
	return binary, run(environment, "make", "--no-print-directory", "build", "BINARY="+binary)
}

// generateDocs has the program write its man page and completions.
func (r *releaseFiles) generateDocs() error {
	binary := filepath.Join(r.work, "host", "pushgateway")
	if err := run(nil, "make", "--no-print-directory", "build", "BINARY="+binary); err != nil {
		return err
	}
	for name, args := range map[string][]string{
		"pushgateway.1":    {"man"},
		"pushgateway.bash": {"completion", "bash"},
		"pushgateway.zsh":  {"completion", "zsh"},
		"pushgateway.fish": {"completion", "fish"},
	} {
		text, err := output(binary, args...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.generated(name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generated returns the path of a file that generateDocs wrote.
func (r *releaseFiles) generated(name string) string { return filepath.Join(r.work, name) }

// commitDate returns when the commit was made that is checked out.
func commitDate() (time.Time, error) {
	text, err := output("git", "log", "-1", "--format=%ct")
	if err != nil {
		return time.Time{}, err
	}
	seconds, err := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
	return time.Unix(seconds, 0).UTC(), err
}

// run runs a command with additions to the environment.
func run(environment []string, name string, args ...string) error {
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), environment...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", cmd, err, out)
	}
	return nil
}

// output returns what a command writes to its standard output.
func output(name string, args ...string) ([]byte, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", cmd, err)
	}
	return out, nil
}
