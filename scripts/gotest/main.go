// Command gotest runs go test with its arguments. It prints one line for each
// package, everything that failing tests say, and at last how many tests
// passed and failed. Its exit code is that of go test.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
)

func main() {
	code, err := run(os.Stdout, os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "gotest:", err)
		code = 1
	}
	os.Exit(code)
}

func run(w io.Writer, args []string) (code int, err error) {
	cmd := exec.Command("go", append([]string{"test", "-json"}, args...)...)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	r := report{w: w, said: map[test]*strings.Builder{}}
	readErr := r.read(stdout)
	waitErr := cmd.Wait()
	fmt.Fprintf(w, "%d tests passed, %d failed, %d skipped; %d packages failed (subtests count as tests)\n",
		r.passed, r.failed, r.skipped, r.failedPackages)
	if exit := (*exec.ExitError)(nil); errors.As(waitErr, &exit) {
		return exit.ExitCode(), readErr
	}
	return 0, errors.Join(readErr, waitErr)
}

// An event is one line of go test -json; see go doc test2json.
type event struct {
	Action, Package, Test, Output string
}

// A test with an empty name is the package itself.
type test struct{ pkg, name string }

type report struct {
	w io.Writer
	// said holds the output of each test that has not ended yet.
	said                    map[test]*strings.Builder
	passed, failed, skipped int
	failedPackages          int
}

func (r *report) read(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20) // one line may hold a long failure
	for lines.Scan() {
		var e event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			return fmt.Errorf("read %q: %w", lines.Bytes(), err)
		}
		r.take(e)
	}
	return lines.Err()
}

func (r *report) take(e event) {
	key := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(r.w, e.Output)
	case "output":
		if r.said[key] == nil {
			r.said[key] = &strings.Builder{}
		}
		r.said[key].WriteString(e.Output)
	case "pass", "skip":
		r.end(key, e.Action)
	case "fail":
		if e.Test == "" {
			// A test that was cut off, as by a time-out, never ends itself.
			for other := range r.said {
				if other.pkg == e.Package && other.name != "" {
					r.end(other, e.Action)
				}
			}
		}
		r.end(key, e.Action)
	}
}

func (r *report) end(key test, action string) {
	said := r.said[key]
	delete(r.said, key)
	if said != nil {
		for line := range strings.Lines(said.String()) {
			if action == "fail" || (key.name == "" && !strings.HasPrefix(line, "PASS")) {
				fmt.Fprint(r.w, line)
			}
		}
	}
	switch {
	case key.name == "":
		if action == "fail" {
			r.failedPackages++
		}
	case action == "pass":
		r.passed++
	case action == "fail":
		r.failed++
	case action == "skip":
		r.skipped++
	}
}
