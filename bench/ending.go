package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// withRules starts the gateway of this project with a file of rules and more flags,
// in memory. The file can be written anew and reloaded.
func (l *lab) withRules(rules string, flags ...string) (p *process, file string, err error) {
	file = filepath.Join(l.dir, fmt.Sprintf("%d-rules.yml", l.started))
	if err := os.WriteFile(file, []byte(rules), 0o644); err != nil {
		return nil, "", err
	}
	p, err = l.start("ours", http.StatusOK, l.oursPath, func(addr string) []string {
		return append([]string{"--web.listen-address=" + addr, "--persistence.file=", "--config.file=" + file}, flags...)
	})
	return p, file, err
}

func pushSummed(l *lab) ([]row, error) {
	replaced, err := l.subject(l.ours, fewGroups, 1)
	if err != nil {
		return nil, err
	}
	defer replaced.stop()
	summed, err := l.subject(func() (*process, error) {
		p, _, err := l.withRules("rules:\n- match: '{}'\n  merge: sum\n")
		return p, err
	}, fewGroups, 1)
	if err != nil {
		return nil, err
	}
	defer summed.stop()

	a, b, err := l.medianPushes(250, 40*time.Millisecond, replaced, summed)
	if err != nil {
		return nil, err
	}
	return []row{{
			what:   "summed push, 1 connection, median latency, 100 groups",
			ours:   duration(median(b)) + " against " + duration(median(a)),
			ratios: ratios(b, a),
			of:     "× replacing push",
			goal:   atMost(1.5),
		}}, l.profile("push-summed", summed.process, func(d time.Duration) error {
			_, err := summed.push(d)
			return err
		})
}

// bodyAtOnce returns a push to so many groups: five gauges each.
func bodyAtOnce(groups int) []byte {
	var b bytes.Buffer
	for _, g := range gauges() {
		fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s gauge\n", g[0], g[1], g[0])
		for i := range groups {
			fmt.Fprintf(&b, "%s{job=\"etl-%d\",instance=\"db-%d\"} %d\n", g[0], i%10, 1_000_000+i, i)
		}
	}
	return b.Bytes()
}

// pushAtOnce pushes to 10,000 groups in one request.
func pushAtOnce(l *lab) ([]row, error) {
	body := bodyAtOnce(someGroups)
	var rows []row
	for _, where := range []struct{ name, file string }{{"in memory", ""}, {"on disk", filepath.Join(l.dir, "at-once.db")}} {
		p, err := l.start("ours", http.StatusOK, l.oursPath, func(addr string) []string {
			return []string{"--web.listen-address=" + addr, "--persistence.file=" + where.file}
		})
		if err != nil {
			return nil, err
		}
		defer p.stop()
		var took perRound
		for range l.rounds(12) {
			start := time.Now()
			answer, err := http.Post("http://"+p.addr+"/api/v1/push?group_by=job,instance", "text/plain", bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			text, err := io.ReadAll(answer.Body)
			answer.Body.Close()
			if err != nil || answer.StatusCode != http.StatusOK {
				return nil, fmt.Errorf("push to many groups: %s, %v: %.300s", answer.Status, err, text)
			}
			took = append(took, time.Since(start).Seconds())
		}
		rows = append(rows, row{
			what:   "push to 10,000 groups in one request, " + where.name,
			ours:   duration(median(took)),
			ratios: took,
			of:     "× 1 s",
			goal:   atMost(1),
		})
	}
	return rows, nil
}

// allExpire lets 100,000 groups expire at the same moment, while one client pushes to
// others.
func allExpire(l *lab) ([]row, error) {
	p, file, err := l.withRules("rules: []\n", "--web.enable-lifecycle", "--web.own-metrics-path=/own")
	if err != nil {
		return nil, err
	}
	defer p.stop()
	if err := fill(p, l.bodies, manyGroups+fewGroups); err != nil {
		return nil, err
	}
	one, err := pushTo(p, l.through, l.bodies, fewGroups, 1)
	if err != nil {
		return nil, err
	}
	defer one.close()
	worst := func() (float64, error) {
		took, err := one.pushFor(20 * time.Millisecond)
		if err != nil || len(took) == 0 {
			return 0, errors.Join(err, errors.New("no push"))
		}
		return slices.Max(took), nil
	}
	before := 0.0
	for end := time.Now().Add(l.slice(4 * time.Second)); time.Now().Before(end); {
		w, err := worst()
		if err != nil {
			return nil, err
		}
		before = max(before, w)
	}

	// The groups with numbers under 100 are those that are pushed to.
	const rule = "rules:\n- match: '{instance!~\"db-10000..\"}'\n  ttl: 1s\n"
	if err := os.WriteFile(file, []byte(rule), 0o644); err != nil {
		return nil, err
	}
	start := time.Now()
	answer, err := http.Post("http://"+p.addr+"/-/reload", "", nil)
	if err != nil {
		return nil, err
	}
	answer.Body.Close()
	reload := time.Since(start)
	start = time.Now()
	during := 0.0
	for {
		w, err := worst()
		if err != nil {
			return nil, err
		}
		during = max(during, w)
		left, err := groupsHeld(l.ctx, p.addr)
		if err != nil {
			return nil, err
		}
		if left == fewGroups {
			break
		}
	}
	l.note("The 100,000 groups were gone %s after they were due; the reload that made them due took %s. Before, the longest a push waited was %s.",
		duration(time.Since(start).Seconds()), duration(reload.Seconds()), duration(before))
	return []row{{
		what:   "longest wait of a push while 100,000 groups expire",
		ours:   duration(during),
		ratios: []float64{during / 50e-3},
		of:     "× 50 ms",
		goal:   atMost(1),
	}}, nil
}

// groupsHeld asks a gateway, whose own metrics are at /own, how many groups it holds.
func groupsHeld(ctx context.Context, addr string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/own", nil)
	if err != nil {
		return 0, err
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return 0, err
	}
	_, value, found := strings.Cut(string(text), "\npushgateway_groups ")
	value, _, _ = strings.Cut(value, "\n")
	if !found {
		return 0, errors.New("the gateway's own metrics lack pushgateway_groups")
	}
	n, err := strconv.ParseFloat(value, 64)
	return int(n), err
}
