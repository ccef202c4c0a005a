package main

import (
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// serveAppend is the floor of a disk: it answers a push once its body has been
// appended to a file and synced, by one committer for all that wait.
func serveAppend(addr, path string) error {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	type push struct {
		body []byte
		done chan error
	}
	pushes := make(chan push, 1024)
	go func() {
		for first := range pushes {
			waiting := []push{first}
			for len(pushes) > 0 {
				waiting = append(waiting, <-pushes)
			}
			var all []byte
			for _, p := range waiting {
				all = append(all, p.body...)
			}
			_, err := file.Write(all)
			err = errors.Join(err, syscall.Fdatasync(int(file.Fd())))
			for _, p := range waiting {
				p.done <- err
			}
		}
	}()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		os.Exit(0)
	}()
	return http.ListenAndServe(addr, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err == nil && len(body) > 0 {
			p := push{body, make(chan error, 1)}
			pushes <- p
			err = <-p.done
		}
		if err != nil {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}))
}

func (l *lab) appendFloor() (*process, error) {
	return l.start("append and fdatasync", http.StatusOK, l.self, func(addr string) []string {
		return []string{roleArgument, roleAppend, addr, filepath.Join(l.dir, "appended")}
	})
}

// oursInFile starts the gateway of this project with a file of its own.
func (l *lab) oursInFile(sync string) func() (*process, error) {
	return func() (*process, error) {
		return l.start("ours, sync "+sync, http.StatusOK, l.oursPath, func(addr string) []string {
			return []string{"--web.listen-address=" + addr, "--persistence.sync=" + sync, "--persistence.interval=1s",
				"--persistence.file=" + filepath.Join(l.dir, "ours-"+sync+".db")}
		})
	}
}

// durable compares pushes that are on disk when they are answered with the floor
// of that disk, and with the gateway in memory.
func durable(l *lab) ([]row, error) {
	const connections = 64
	var subjects []subject
	defer func() {
		for _, s := range subjects {
			s.stop()
		}
	}()
	for _, start := range []func() (*process, error){l.appendFloor, l.ours, l.oursInFile("push"), l.oursInFile("interval")} {
		s, err := l.subject(start, fewGroups, connections)
		if err != nil {
			return nil, err
		}
		subjects = append(subjects, s)
	}
	floor, inMemory, eachPush, interval := subjects[0], subjects[1], subjects[2], subjects[3]

	var rates [4]perRound
	d := l.slice(250 * time.Millisecond)
	for r := range l.rounds(30) {
		if err := inTurn(r,
			rates[0].step(func() (float64, error) { return floor.pushRate(d) }),
			rates[1].step(func() (float64, error) { return inMemory.pushRate(d) }),
			rates[2].step(func() (float64, error) { return eachPush.pushRate(d) }),
			rates[3].step(func() (float64, error) { return interval.pushRate(d) }),
		); err != nil {
			return nil, err
		}
	}
	var latencies [3]perRound
	for r := range l.rounds(30) {
		if err := inTurn(r,
			latencies[0].step(func() (float64, error) { return l.medianSync() }),
			latencies[1].step(func() (float64, error) { return inMemory.medianPush(d) }),
			latencies[2].step(func() (float64, error) { return eachPush.medianPush(d) }),
		); err != nil {
			return nil, err
		}
	}
	var bound perRound
	for i := range latencies[1] {
		bound = append(bound, latencies[1][i]+2.5*latencies[0][i])
	}
	rateRow := func(what string, of perRound, words string, ours perRound, g goal) row {
		return row{what: what, floor: rate(median(of)), ours: rate(median(ours)), ratios: ratios(ours, of), of: words, goal: g}
	}
	l.note("Of the first two rows about files one has to reach its goal: the slower of disk and gateway is the limit. One sync here: %s.", duration(median(latencies[0])))
	return []row{
		rateRow("pushes on disk per second, 64 connections", rates[0], "× append and fdatasync", rates[2], atLeast(0.35)),
		rateRow("the same against memory", rates[1], "× in memory", rates[2], atLeast(0.8)),
		{
			what: "push on disk, 1 connection, median latency", floor: duration(median(bound)), ours: duration(median(latencies[2])),
			ratios: ratios(latencies[2], bound), of: "× (in memory + 2.5 syncs)", goal: atMost(1),
		},
		rateRow("pushes per second, synced at intervals, 64 connections", rates[1], "× in memory", rates[3], atLeast(0.85)),
	}, nil
}

// medianSync returns the median time of appending 2 KB to a file and syncing it.
func (l *lab) medianSync() (float64, error) {
	file, err := os.OpenFile(filepath.Join(l.dir, "synced"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	var took []float64
	for range 50 {
		start := time.Now()
		if _, err := file.Write(make([]byte, 2048)); err != nil {
			return 0, err
		}
		if err := syscall.Fdatasync(int(file.Fd())); err != nil {
			return 0, err
		}
		took = append(took, time.Since(start).Seconds())
	}
	return median(took), nil
}
