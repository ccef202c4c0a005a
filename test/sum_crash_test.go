package test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	sumClients = 6
	sumGroups  = 3
	sumKills   = 12
)

// A tally is the sum of pushes, by series as exposed.
type tally map[string]int

func (n tally) add(more tally) {
	for series, value := range more {
		n[series] += value
	}
}

// A summand is one push to a summed group.
type summand struct {
	key  string // for idempotency
	path string
	body string
	adds tally
	sent int // times
}

// newSummand returns random counts of successes and failures, and a histogram of the
// successes. Its buckets have the bounds 1 and 3. Most pushes lack one of them, unless
// whole is set, as for the first push to a group.
func newSummand(random *rand.Rand, key string, group int, whole bool) *summand {
	s := &summand{key: key, path: fmt.Sprintf("/metrics/job/sum/instance/%d?merge=sum", group), adds: tally{}}
	labels := fmt.Sprintf(`instance="%d",job="sum"`, group)
	below := [3]int{random.IntN(5), random.IntN(5), random.IntN(5)} // up to 1, up to 3, above
	count := below[0] + below[1] + below[2]
	sum, failures := random.IntN(1000), random.IntN(3)

	var b strings.Builder
	fmt.Fprintf(&b, "# TYPE c_total counter\nc_total{code=\"200\"} %d\n", count)
	s.adds[`c_total{code="200",`+labels+"}"] = count
	if failures > 0 || whole {
		fmt.Fprintf(&b, "c_total{code=\"500\"} %d\n", failures)
		s.adds[`c_total{code="500",`+labels+"}"] = failures
	}
	fmt.Fprint(&b, "# TYPE h histogram\n")
	bounds := random.IntN(3)
	up := 0
	for i, le := range []string{"1", "3"} {
		// An observation counts from the next bound that its push has.
		if whole || bounds != i {
			up = below[0] + i*below[1]
			fmt.Fprintf(&b, "h_bucket{le=%q} %d\n", le, up)
		}
		s.adds[fmt.Sprintf("h_bucket{%s,le=%q}", labels, le)] = up
	}
	fmt.Fprintf(&b, "h_bucket{le=\"+Inf\"} %d\nh_sum %d\nh_count %d\n", count, sum, count)
	s.adds["h_bucket{"+labels+`,le="+Inf"}`] = count
	s.adds["h_sum{"+labels+"}"] = sum
	s.adds["h_count{"+labels+"}"] = count
	s.body = b.String()
	return s
}

// An adder is a client that sends each push until it is answered. From then on the push
// must count exactly once.
type adder struct {
	name         int
	random       *rand.Rand
	pushes       int
	open         *summand // not answered yet
	last         *summand // answered last
	acknowledged tally
	recovered    int // pushes that counted although the first answer got lost
	replays      int // of pushes that were answered

	repeated bool // someone on the way may send a push more than once
}

func newAdder(name int) *adder {
	return &adder{name: name, random: rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(name))), acknowledged: tally{}}
}

// step pushes once. It returns an error if the gateway is gone.
func (a *adder) step(t *testing.T, p *program) error {
	if a.random.IntN(10) == 0 {
		if err := a.replay(t, p); err != nil {
			return err
		}
	}
	if a.open == nil {
		a.pushes++
		a.open = newSummand(a.random, fmt.Sprintf("%d-%d", a.name, a.pushes), a.random.IntN(sumGroups), false)
	}
	return a.finish(t, p)
}

// finish sends the open push, if there is one.
func (a *adder) finish(t *testing.T, p *program) error {
	s := a.open
	if s == nil {
		return nil
	}
	s.sent++
	answer, err := p.try(http.MethodPost, s.path, s.body, "Idempotency-Key", s.key)
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK {
		t.Errorf("push %s: %d %s", s.key, answer.status, answer.body)
	}
	if answer.header.Get("Idempotency-Replayed") != "" {
		if s.sent == 1 && !a.repeated {
			t.Errorf("push %s is answered as a replay, but was sent once", s.key)
		}
		a.recovered++
	}
	a.acknowledged.add(s.adds)
	a.open, a.last = nil, s
	return nil
}

// replay sends the last answered push again.
func (a *adder) replay(t *testing.T, p *program) error {
	if a.last == nil {
		return nil
	}
	answer, err := p.try(http.MethodPost, a.last.path, a.last.body, "Idempotency-Key", a.last.key)
	if err != nil {
		return err
	}
	if answer.status != http.StatusOK {
		t.Errorf("replay of push %s: status %d, want 200: %s", a.last.key, answer.status, answer.body)
	}
	if got := answer.header.Get("Idempotency-Replayed"); got != "true" {
		t.Errorf("push %s was acknowledged, but its replay has Idempotency-Replayed %q", a.last.key, got)
	}
	a.replays++
	return nil
}

// sums returns the sums of all groups, and checks that each push counts as a whole or
// not at all.
func sums(t *testing.T, exposition string) tally {
	t.Helper()
	found := tally{}
	for _, line := range normalExposition(t, exposition) {
		if !strings.HasPrefix(line, "c_total{") && !strings.HasPrefix(line, "h_") {
			continue
		}
		at := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[at+1:], 64)
		if err != nil {
			t.Error(err)
		}
		found[line[:at]] = int(value)
	}
	for series, value := range found {
		if of, ok := strings.CutPrefix(series, `h_count{`); ok {
			if successes := found[`c_total{code="200",`+of]; successes != value {
				t.Errorf("only a part of some push counts: {%s has observed %d, but counted %d", of, value, successes)
			}
		}
	}
	return found
}

// TestKilledWhileSumming kills the gateway again and again while clients push summands,
// each until it is answered. Every acknowledged push counts exactly once.
func TestKilledWhileSumming(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "f.db")
	total := tally{}
	var adders []*adder
	for name := range sumClients {
		adders = append(adders, newAdder(name))
	}
	random := adders[0].random

	p := gateway(t, file)
	for group := range sumGroups {
		s := newSummand(random, "", group, true)
		p.push(t, http.MethodPost, s.path, s.body)
		total.add(s.adds)
	}
	acknowledged := func() tally {
		all := maps.Clone(total)
		for _, a := range adders {
			all.add(a.acknowledged)
		}
		return all
	}
	wantExactly := func(when string) {
		t.Helper()
		found, want := sums(t, p.get(t, "/metrics")), acknowledged()
		for _, series := range slices.Sorted(maps.Keys(want)) {
			if found[series] != want[series] {
				t.Errorf("%s: %s is %d, but what was acknowledged adds up to %d", when, series, found[series], want[series])
			}
		}
		if len(found) != len(want) {
			t.Errorf("%s: %d series, want %d", when, len(found), len(want))
		}
	}

	for round := range sumKills {
		var running sync.WaitGroup
		for _, a := range adders {
			running.Go(func() {
				for a.step(t, p) == nil {
				}
			})
		}
		running.Go(func() { // a push becomes visible as a whole
			for {
				a, err := p.try(http.MethodGet, "/metrics", "")
				if err != nil {
					return
				}
				sums(t, a.body)
			}
		})
		// The duration is arbitrary, so that the kill hits another moment each time.
		<-time.After(time.Duration(200+random.IntN(600)) * time.Millisecond)
		p.kill(t)
		running.Wait()

		p = gateway(t, file)
		found, atLeast, atMost := sums(t, p.get(t, "/metrics")), acknowledged(), acknowledged()
		for _, a := range adders {
			if a.open != nil {
				atMost.add(a.open.adds)
			}
		}
		for series, value := range found {
			if value < atLeast[series] || value > atMost[series] {
				t.Errorf("kill %d: %s is %d, but what was acknowledged adds up to %d, and with what was under way to %d",
					round, series, value, atLeast[series], atMost[series])
			}
		}
		// In every other round the gateway is killed again while clients retry.
		if round%2 == 0 {
			for _, a := range adders {
				if err := a.finish(t, p); err != nil {
					t.Fatal(err)
				}
			}
			wantExactly(fmt.Sprintf("after kill %d", round))
			for _, a := range adders {
				if err := a.replay(t, p); err != nil {
					t.Fatal(err)
				}
			}
			wantExactly(fmt.Sprintf("after the replays that follow kill %d", round))
		}
		if t.Failed() {
			return
		}
	}

	for _, a := range adders {
		if err := a.finish(t, p); err != nil {
			t.Fatal(err)
		}
	}
	wantExactly("at last")
	p.end(t)
	p = gateway(t, file)
	wantExactly("after an orderly stop")

	pushes, recovered, replays := 0, 0, 0
	for _, a := range adders {
		pushes, recovered, replays = pushes+a.pushes, recovered+a.recovered, replays+a.replays
	}
	if pushes < 10*sumKills || replays < sumKills {
		t.Errorf("only %d pushes and %d replays in all", pushes, replays)
	}
	t.Logf("%d pushes, %d kills, %d pushes counted although their answer got lost, %d replays of answered ones",
		pushes, sumKills, recovered, replays)
}
