package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// overloadGroups is how many groups are pushed to under overload. Between two scrapes all of
	// them change.
	overloadGroups = 1000
	// overloadConnections push without pause: more than ten times what the gateway can work
	// on at the same time.
	overloadConnections = 200
	// betweenScrapes is long enough for a push to each group.
	betweenScrapes = 250 * time.Millisecond
	// overloadTurn is how long one round probes.
	overloadTurn = 1500 * time.Millisecond
)

// A probe is a request whose time is measured beside pushes.
type probe struct {
	path  string
	pause time.Duration // between two requests
	push  bool          // without other pushes, each group is pushed to before a request
}

var probes = map[string]probe{
	"health": {path: "/-/healthy", pause: 2 * time.Millisecond},
	"page":   {path: "/", pause: 10 * time.Millisecond},
	"scrape": {path: "/metrics", pause: betweenScrapes, push: true},
}

// overloadMeasures are the measures of what else is served while clients push without pause.
func overloadMeasures() (all []measure) {
	s := ours(overloadGroups)
	for _, p := range []struct{ name, what string }{
		{"health", "health check"}, {"page", "list of 1,000 groups"}, {"scrape", "scrape of 1,000 groups, all pushed since the last one, gzip"},
	} {
		for _, q := range []struct {
			name, what string
			of         float64
		}{{"median", "median", 0.5}, {"p99", "99th percentile", 0.99}} {
			all = append(all, measure{
				name: "overload-" + p.name + "-" + q.name, what: p.what + ", " + q.what + ", while 200 connections push without pause",
				reference: probed(p.name, q.of, false, s), ours: probed(p.name, q.of, true, s),
				rounds: 10, goal: atMost(2, "× alone"),
			})
		}
	}
	return append(all, measure{
		name: "overload-health-disk", what: "health check, median, while 200 connections push without pause, on disk",
		reference: probed("health", 0.5, false, s.inFile()), ours: probed("health", 0.5, true, s.inFile()),
		rounds: 10, goal: atMost(2, "× alone"),
	}, measure{
		name: "overload-rate", what: "checked pushes per second, 200 connections, against 8",
		reference: overloadRate(8, s), ours: overloadRate(overloadConnections, s),
		rounds: 10, unit: rate, goal: atLeast(0.9, "× 8 connections"),
	})
}

// probed is the quantile of the times of a probe, alone or while 200 connections push as fast
// as the gateway answers. Clients on other machines would take no time from the gateway, so
// it has one half of the processors, and they have the other, on which the probe
// has precedence if this program may give it real-time priority.
func probed(name string, q float64, overloaded bool, s server) side {
	s.halved = true
	return of(s, func(i *instance) (float64, error) {
		if overloaded {
			pushers, err := i.startRole(clientsHalf(), rolePushers, i.addr, strconv.Itoa(overloadConnections))
			if err != nil {
				return 0, err
			}
			defer pushers.stop()
		}
		took, err := i.probe(name, overloaded)
		return quantile(took, q), err
	})
}

// overloadRate is the pushes per second over the given number of connections without pause, with
// the processors divided as for probed.
func overloadRate(connections int, s server) side {
	s.halved = true
	return of(s, func(i *instance) (float64, error) {
		pushers, err := i.startRole(clientsHalf(), rolePushers, i.addr, strconv.Itoa(connections))
		if err != nil {
			return 0, err
		}
		defer pushers.stop()
		return pushers.figure()
	})
}

// probe returns how long each request of a probe took, in seconds.
func (i *instance) probe(name string, overloaded bool) ([]float64, error) {
	wrapper := clientsHalf()
	if exec.Command("chrt", "-f", "1", "true").Run() == nil { // may be root's alone
		wrapper = append([]string{"chrt", "-f", "1"}, wrapper...)
	}
	prober, err := i.startRole(wrapper, roleProber, i.addr, name, strconv.FormatBool(overloaded))
	if err != nil {
		return nil, err
	}
	defer prober.stop()
	var took []float64
	for {
		v, err := prober.figure()
		if err == io.EOF && len(took) > 0 {
			return took, nil
		}
		if err != nil {
			return nil, fmt.Errorf("probe %s: %w", name, err)
		}
		took = append(took, v)
	}
}

// serverHalf and clientsHalf return command prefixes that run a command on one half of the
// processors.
func serverHalf() []string  { return half(0, runtime.NumCPU()/2) }
func clientsHalf() []string { return half(runtime.NumCPU()/2, runtime.NumCPU()) }

func half(from, to int) []string {
	if from == to {
		return nil // there is one processor
	}
	return []string{"taskset", "-c", fmt.Sprintf("%d-%d", from, to-1)}
}

// pushWithoutPause pushes to all groups in turn over the given number of connections. It prints a
// line once each connection has had an answer, and from then on the rate of each interval.
func pushWithoutPause(addr, connections string) error {
	n, err := strconv.Atoi(connections)
	if err != nil {
		return err
	}
	var pushes atomic.Int64
	var begun sync.WaitGroup
	failed := make(chan error, n)
	for c := range n {
		begun.Add(1)
		go func() {
			failed <- func() error {
				client, err := dialRaw(addr)
				if err != nil {
					return err
				}
				for first, group := true, c; ; group += n {
					if err := client.push(group % overloadGroups); err != nil {
						return err
					}
					pushes.Add(1)
					if first {
						first = false
						begun.Done()
					}
				}
			}()
		}()
	}
	go func() {
		begun.Wait()
		fmt.Println("pushing")
		for {
			before, start := pushes.Load(), time.Now()
			time.Sleep(overloadTurn)
			fmt.Println(float64(pushes.Load()-before) / time.Since(start).Seconds())
		}
	}()
	return <-failed
}

// probeFor prints how long each request of a probe takes, in seconds.
func probeFor(addr, name string, overloaded bool) error {
	p, ok := probes[name]
	if !ok {
		return fmt.Errorf("no probe %q", name)
	}
	client, err := dialRaw(addr)
	if err != nil {
		return err
	}
	fmt.Println("probing")
	request := fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: bench\r\nAccept: %s\r\nAccept-Encoding: gzip\r\n\r\n", p.path, asText)
	for start := time.Now(); time.Since(start) < overloadTurn; {
		if p.push && !overloaded {
			for group := range overloadGroups {
				if err := client.push(group); err != nil {
					return err
				}
			}
		}
		time.Sleep(p.pause)
		began := time.Now()
		if err := client.send(request); err != nil {
			return err
		}
		fmt.Println(time.Since(began).Seconds())
	}
	return nil
}

// rawClient sends requests over one connection at the least cost for the processors that it
// shares with the server.
type rawClient struct {
	conn net.Conn
	read *bufio.Reader
	next int // index of the next body
}

func dialRaw(addr string) (*rawClient, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &rawClient{conn: conn, read: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// push replaces one group by the next body.
func (c *rawClient) push(group int) error {
	c.next++
	body := bodies[c.next%len(bodies)]
	job, instance := groupLabels(group)
	return c.send(fmt.Appendf(nil, "PUT /metrics/job/%s/instance/%s HTTP/1.1\r\nHost: bench\r\nContent-Length: %d\r\n\r\n%s",
		job, instance, len(body), body))
}

func (c *rawClient) send(request []byte) error {
	if _, err := c.conn.Write(request); err != nil {
		return err
	}
	resp, err := http.ReadResponse(c.read, nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %.300s", resp.Status, text)
	}
	return err
}
