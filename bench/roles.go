package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"syscall"
)

// This program runs itself again with roleArgument for the parts of a measure
// that must be processes of their own. They end when their standard input
// closes, so they never outlive the run, however it ends.
const (
	roleArgument = "-role-of-bench"
	roleFloor    = "floor"   // address, file or ""
	roleScraper  = "scraper" // address, Accept-Encoding
	rolePushers  = "pushers" // address, connections
	roleProber   = "prober"  // address, probe, whether others push
)

func playRole(args []string) error {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	switch args[0] {
	case roleScraper:
		return scrapeWithoutPause(args[1], args[2])
	case rolePushers:
		return pushWithoutPause(args[1], args[2])
	case roleProber:
		return probeFor(args[1], args[2], args[3] == "true")
	}
	accept := func([]byte) error { return nil }
	if args[2] != "" {
		file, err := os.OpenFile(args[2], os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		accept = appendAndSync(file)
	}
	return http.ListenAndServe(args[1], http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && len(body) > 0 {
			err = accept(body)
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
}

// appendAndSync is the floor of a disk. It returns a function that returns
// once its body has been appended to the file and synced, together with all
// that waited.
func appendAndSync(file *os.File) func(body []byte) error {
	type push struct {
		body []byte
		done chan error
	}
	pushes := make(chan push, 1024)
	go func() {
		for first := range pushes {
			batch := []push{first}
			for len(pushes) > 0 {
				batch = append(batch, <-pushes)
			}
			var all []byte
			for _, p := range batch {
				all = append(all, p.body...)
			}
			_, err := file.Write(all)
			err = errors.Join(err, syscall.Fdatasync(int(file.Fd())))
			for _, p := range batch {
				p.done <- err
			}
		}
	}()
	return func(body []byte) error {
		p := push{body, make(chan error, 1)}
		pushes <- p
		return <-p.done
	}
}

// scrapeWithoutPause prints a line after the first scrape.
func scrapeWithoutPause(addr, encoding string) error {
	for scrapes := 0; ; scrapes++ {
		if err := scrape(io.Discard, addr, encoding, asText); err != nil {
			return err
		}
		if scrapes == 0 {
			fmt.Println("scraping")
		}
	}
}

// A roleProcess is this program in another process.
type roleProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer
	lines *bufio.Scanner
}

// startRole starts this program in a role, with a command in front that says where it runs.
// It returns once the role has printed its first line.
func (i *instance) startRole(wrapper []string, role string, args ...string) (*roleProcess, error) {
	args = slices.Concat(wrapper, []string{i.lab.self, roleArgument, role}, args)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &roleProcess{cmd, stdin, bufio.NewScanner(stdout)}
	if !p.lines.Scan() {
		p.stop()
		return nil, fmt.Errorf("the %s ended before it had begun", role)
	}
	return p, nil
}

// figure returns the number in the next line, or io.EOF if the process has ended.
func (p *roleProcess) figure() (float64, error) {
	if !p.lines.Scan() {
		return 0, io.EOF
	}
	return strconv.ParseFloat(p.lines.Text(), 64)
}

func (p *roleProcess) stop() {
	p.stdin.Close()
	p.cmd.Wait() // its exit code says nothing: stop ends it
}
