// Command bench measures this gateway side by side with the original
// Pushgateway and with a floor: a bare net/http server that reads a body and
// answers 200. All three run as processes of their own on the loopback
// interface, in one run on one machine; what counts are the ratios.
//
//	go run ./bench                    everything, about four minutes
//	go run ./bench -only push         the measures whose name matches
//	go run ./bench -short             fewer and shorter rounds, for a smoke test
//	go run ./bench -profile profiles  also a CPU profile of ours per measure
//	go run ./bench -awake             keep the processors from sleeping
//
// In a virtual machine it takes up to 50 µs to wake a sleeping processor. One
// connection sleeps twice per request, and whether a processor does go to sleep
// depends on what it has just learnt of its load: without -awake, latencies of
// one connection then come in two sizes, and the ratio to the floor says less.
//
// The exit code reports whether everything could be measured, not whether the
// goals were reached: a shared machine is no place for such an assertion.
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
	"syscall"
	"time"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == roleArgument {
		exit(playRole(os.Args[2:]))
	}

	var (
		only    = flag.String("only", "", "run only the measures whose name matches this regular expression")
		short   = flag.Bool("short", false, "fewer and shorter rounds, for a smoke test")
		profile = flag.String("profile", "", "directory for CPU profiles of ours under the load of each measure, taken after it")
		ours    = flag.String("ours", "", "measure this binary in the place of one built from ./cmd/pushgateway")
		awake   = flag.Bool("awake", false, "keep the processors from sleeping between requests (needs chrt), which takes the cost of waking a virtual machine out of latencies")
		raw     = flag.Bool("raw", false, "push through "+throughRaw.String()+" instead of "+throughClient.String())
		list    = flag.Bool("list", false, "list the measures and end")
	)
	flag.Parse()
	if flag.NArg() > 0 {
		exit(fmt.Errorf("unexpected argument %q", flag.Arg(0)))
	}
	chosen, err := choose(measures(), *only)
	if err != nil {
		exit(err)
	}
	if *list {
		for _, m := range chosen {
			fmt.Println(m.name)
		}
		return
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	through := throughClient
	if *raw {
		through = throughRaw
	}
	err = run(ctx, chosen, settings{short: *short, profileDir: *profile, ours: *ours, awake: *awake, through: through})
	stop()
	exit(err)
}

// exit ends the program: with 0 if err is nil, else with 1 and err in words.
func exit(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// settings is what the command line chose.
type settings struct {
	short      bool
	profileDir string // empty: no profiles
	ours       string // empty: build it
	awake      bool
	through    transportKind
}

// choose returns the measures whose name matches the pattern.
func choose(all []measure, pattern string) ([]measure, error) {
	re, err := regexp.Compile(pattern)
	if err != nil {
		return nil, fmt.Errorf("-only: %w", err)
	}
	var chosen []measure
	for _, m := range all {
		if re.MatchString(m.name) {
			chosen = append(chosen, m)
		}
	}
	if len(chosen) == 0 {
		return nil, fmt.Errorf("-only %q matches no measure; -list shows them", pattern)
	}
	return chosen, nil
}

// run takes the measures one after the other and prints one table. A measure
// that fails does not keep the others from running, but makes the run fail.
func run(ctx context.Context, chosen []measure, s settings) error {
	dir, err := os.MkdirTemp("", "pushgateway-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)

	l, err := newLab(ctx, dir, s)
	if err != nil {
		return err
	}
	if s.awake {
		awake, stop := context.WithCancel(ctx)
		defer stop()
		if err := keepAwake(awake, l.self); err != nil {
			return err
		}
		l.note("The processors were kept from sleeping (-awake).")
	}
	printMachine(os.Stdout, l)

	var t table
	failed := 0
	for _, m := range chosen {
		start := time.Now()
		fmt.Fprintf(os.Stderr, "%-20s ", m.name)
		rows, err := m.take(l)
		if ctx.Err() != nil {
			fmt.Fprintln(os.Stderr)
			return errors.New("interrupted")
		}
		t.rows = append(t.rows, rows...)
		if err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "failed: %v\n", err)
			t.rows = append(t.rows, row{what: m.name, failed: err})
			continue
		}
		fmt.Fprintf(os.Stderr, "%.0f s\n", time.Since(start).Seconds())
	}
	t.notes = l.notes
	t.print(os.Stdout)
	if failed > 0 {
		return fmt.Errorf("%d of %d measures could not be taken", failed, len(chosen))
	}
	return nil
}

// newLab finds or builds the three programs.
func newLab(ctx context.Context, dir string, s settings) (*lab, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	original, err := exec.LookPath("prometheus-pushgateway")
	if err != nil {
		return nil, errors.New("the original to compare with is missing: apt-get install prometheus-pushgateway")
	}
	ours, from := s.ours, s.ours
	if ours == "" {
		from = "built from ./cmd/pushgateway"
		ours = filepath.Join(dir, "pushgateway")
		if err := build(ctx, ours); err != nil {
			return nil, err
		}
	}
	if s.profileDir != "" {
		if err := os.MkdirAll(s.profileDir, 0o755); err != nil {
			return nil, err
		}
	}
	return &lab{
		ctx:          ctx,
		dir:          dir,
		self:         self,
		originalPath: original,
		oursPath:     ours,
		oursFrom:     from,
		through:      s.through,
		short:        s.short,
		profileDir:   s.profileDir,
		bodies:       makeBodies(bodyCount),
	}, nil
}
