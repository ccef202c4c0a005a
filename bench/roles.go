package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
)

// This program runs itself again with roleArgument for the parts of a measure
// that must be processes of their own. They end when their standard
// input closes, so they never outlive the run, however it ends.
const (
	roleArgument = "-role-of-bench"
	roleFloor    = "floor"   // <address>
	roleAppend   = "append"  // <address> <file>
	roleScraper  = "scraper" // <address> <coding>
	roleAwake    = "awake"
)

func playRole(args []string) error {
	switch {
	case len(args) == 2 && args[0] == roleFloor:
		return serveFloor(args[1])
	case len(args) == 3 && args[0] == roleAppend:
		return serveAppend(args[1], args[2])
	case len(args) == 3 && args[0] == roleScraper:
		how, err := strconv.Atoi(args[2])
		if err != nil {
			return err
		}
		return scrapeWithoutPause(args[1], coding(how))
	case len(args) == 1 && args[0] == roleAwake:
		return stayAwake()
	}
	return fmt.Errorf("unknown role: %q", args)
}

// serveFloor answers every request with 200 once its body was read: the least
// that any gateway on net/http does for a push.
func serveFloor(addr string) error {
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		w.WriteHeader(http.StatusOK)
	}))
}

// scrapeWithoutPause scrapes until standard input closes. It writes a line
// after the first scrape and, at the end, the number of scrapes.
func scrapeWithoutPause(addr string, how coding) error {
	c, err := dial(addr)
	if err != nil {
		return err
	}
	defer c.close()
	var ended atomic.Bool
	go func() {
		io.Copy(io.Discard, os.Stdin)
		ended.Store(true)
	}()
	scrapes := 0
	for !ended.Load() {
		if _, _, err := c.scrape(how, nil); err != nil {
			return err
		}
		scrapes++
		if scrapes == 1 {
			fmt.Println("scraping")
		}
	}
	fmt.Println(scrapes)
	return nil
}

// startScraper starts a process that scrapes p without pause, and returns when
// its first scrape is done. It is not a goroutine of the load generator, where
// the pushes would wait for it in the scheduler. The caller must call stop,
// which returns the number of scrapes.
func (l *lab) startScraper(p *process, how coding) (stop func() (int, error), err error) {
	cmd := command(l.ctx, l.self, roleArgument, roleScraper, p.addr, strconv.Itoa(int(how)))
	var words strings.Builder
	cmd.Stderr = &words
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
	lines := bufio.NewScanner(stdout)
	stop = func() (int, error) {
		stdin.Close()
		last := ""
		for lines.Scan() {
			last = lines.Text()
		}
		if err := cmd.Wait(); err != nil {
			return 0, fmt.Errorf("scraper: %w: %s", err, strings.TrimSpace(words.String()))
		}
		return strconv.Atoi(last)
	}
	if !lines.Scan() {
		_, err := stop()
		return nil, errors.Join(errors.New("scraper: no first scrape"), err)
	}
	return stop, nil
}

// stayAwake keeps all processors busy until standard input closes.
func stayAwake() error {
	for range runtime.NumCPU() {
		go func() {
			for spins := 0; ; spins++ {
				_ = spins
			}
		}()
	}
	io.Copy(io.Discard, os.Stdin)
	return nil
}

// keepAwake keeps the processors from sleeping until ctx ends, by work that
// yields to any other at once.
func keepAwake(ctx context.Context, self string) error {
	cmd := command(ctx, "chrt", "--idle", "0", self, roleArgument, roleAwake)
	if _, err := cmd.StdinPipe(); err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("keep the processors awake: %w", err)
	}
	go cmd.Wait()
	return nil
}
