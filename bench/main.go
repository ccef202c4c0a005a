// Command bench measures this gateway side by side with the upstream
// Pushgateway and with a floor: a bare net/http server that reads a body and
// answers 200. All run as processes of their own on the loopback interface,
// in one run on one machine. What counts are the ratios.
//
//	go run ./bench                    all measures, about ten minutes
//	go run ./bench -only push         the measures whose name matches
//	go run ./bench -only million      a million groups: run only when asked for
//	go run ./bench -short             fewer rounds, for a smoke test
//	go run ./bench -profile profiles  also a CPU profile of ours per measure
//
// The environment variable UPSTREAM names a binary of the upstream Pushgateway.
// Without it, Debian's prometheus-pushgateway is used.
//
// The exit code reports whether everything could be measured, not whether the
// goals were reached: a shared machine is no place for such an assertion.
//
// To add a measure, add an entry to measures.go.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleArgument {
		exit(playRole(os.Args[2:]))
	}
	only := flag.String("only", "", "run the measures whose name matches this regular expression")
	short := flag.Bool("short", false, "fewer rounds, for a smoke test")
	profiles := flag.String("profile", "", "write a CPU profile of ours for each measure to this directory")
	ours := flag.String("ours", "", "measure this binary instead of one built from ./cmd/pushgateway")
	list := flag.Bool("list", false, "list the measures and exit")
	flag.Parse()
	chosen, err := choose(measures(), *only)
	if err != nil {
		exit(err)
	}
	if *list {
		for _, m := range chosen {
			fmt.Printf("%-24s %s\n", m.name, m.what)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, chosen, &lab{oursPath: *ours, profiles: *profiles, short: *short})
	stop()
	exit(err)
}

func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// choose returns the measures whose name matches the pattern. Those of a million
// groups take long, so the pattern must name them.
func choose(all []measure, pattern string) (chosen []measure, err error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	for _, m := range all {
		if re.MatchString(m.name) && (!m.onRequest || strings.Contains(pattern, "million")) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %q matches no measure; -list shows them", pattern)
	}
	return chosen, nil
}

// run takes the measures one after the other and prints one table. If a
// measure fails, the others still run, and run returns an error.
func run(ctx context.Context, chosen []measure, l *lab) (err error) {
	l.ctx = ctx
	if l.dir, err = os.MkdirTemp("", "pushgateway-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(l.dir)
	defer l.database.end()
	if err := l.findPrograms(); err != nil {
		return err
	}
	printMachine(os.Stdout, l)

	var rows []row
	failed := 0
	for _, m := range chosen {
		start := time.Now()
		fmt.Fprintf(os.Stderr, "%-24s ", m.name)
		r := m.take(l)
		if ctx.Err() != nil {
			return errors.New("interrupted")
		}
		if r.err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "failed: %v\n", r.err)
		} else {
			fmt.Fprintf(os.Stderr, "%.0f s\n", time.Since(start).Seconds())
		}
		rows = append(rows, r)
	}
	printTable(os.Stdout, "upstream "+l.upstreamVersion, rows)
	if failed > 0 {
		return fmt.Errorf("%d of %d measures failed", failed, len(chosen))
	}
	return nil
}

// findPrograms finds upstream, and builds ours as it is released unless a
// binary was named.
func (l *lab) findPrograms() (err error) {
	if l.self, err = os.Executable(); err != nil {
		return err
	}
	debian := ""
	if l.upstreamPath = os.Getenv("UPSTREAM"); l.upstreamPath == "" {
		debian = " (Debian)"
		if l.upstreamPath, err = exec.LookPath("prometheus-pushgateway"); err != nil {
			return errors.New("no upstream Pushgateway: apt-get install prometheus-pushgateway, or set UPSTREAM to a binary")
		}
	}
	out, err := exec.Command(l.upstreamPath, "--version").CombinedOutput()
	if err != nil {
		return fmt.Errorf("version of %s: %w", l.upstreamPath, err)
	}
	if _, err := fmt.Sscanf(string(out), "pushgateway, version %s", &l.upstreamVersion); err != nil {
		return fmt.Errorf("version of %s: unexpected output %q", l.upstreamPath, out)
	}
	l.upstreamVersion = "v" + l.upstreamVersion + debian
	if l.profiles != "" {
		if err := os.MkdirAll(l.profiles, 0o755); err != nil {
			return err
		}
	}
	if l.oursPath != "" {
		return nil
	}
	l.oursPath = filepath.Join(l.dir, "pushgateway")
	build := exec.CommandContext(l.ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", l.oursPath, "pushgateway/cmd/pushgateway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build ours: %w\n%s", err, out)
	}
	return nil
}
