package test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// A ledger records what a client was promised about its groups. Pushes give the same
// value to all series of a family, so that a half-applied push shows.
type ledger struct {
	client  int
	value   int
	deletes int // one in so many requests is one
	random  *rand.Rand
	groups  map[string]*account
}

// account is what is known about one group. States are in the form of states; the empty
// state means that there is no group.
type account struct {
	now   string // as last acknowledged
	maybe []string
	past  []promise // acknowledged, oldest first, the last one is now
}

type promise struct {
	state   string
	at      time.Time // when the answer came
	durable bool      // at once, whatever the mode
}

func newLedger(client int) *ledger {
	return &ledger{client: client, deletes: 5, random: rand.New(rand.NewPCG(1, uint64(client))), groups: map[string]*account{}}
}

func groupBody(families string, value int) string {
	var b strings.Builder
	for _, family := range families {
		fmt.Fprintf(&b, "# TYPE %c gauge\n", family)
		for i := range 8 {
			fmt.Fprintf(&b, "%c{i=\"%d\",text=\"%s\"} %d\n", family, i, strings.Repeat("x", 30), value)
		}
	}
	return b.String()
}

// step changes one of the client's groups. Without a 2xx answer, a restart may find the
// group with or without the change.
func (l *ledger) step(p *program) (a answer, err error) {
	name := fmt.Sprintf("%d-%d", l.client, l.random.IntN(6))
	g := l.groups[name]
	if g == nil {
		g = &account{}
		l.groups[name] = g
	}
	l.value++
	path := "/metrics/job/" + name
	m, _, _ := strings.Cut(g.now, " ")
	var next string
	var durable bool
	switch {
	case l.random.IntN(l.deletes) == 0:
		next, durable = "", true
		a, err = p.try(http.MethodDelete, path, "")
	case l.random.IntN(4) == 0:
		next = fmt.Sprintf("%s n=%d", cmp.Or(m, "-"), l.value)
		a, err = p.try(http.MethodPost, path, groupBody("n", l.value))
	default:
		next = fmt.Sprintf("m=%d n=%d", l.value, l.value)
		a, err = p.try(http.MethodPut, path, groupBody("mn", l.value))
	}
	if err == nil && a.status/100 == 2 {
		g.now, g.maybe = next, nil
		g.past = append(g.past, promise{next, time.Now(), durable})
		return a, nil
	}
	g.maybe = append(g.maybe, next)
	return a, err
}

// settle accepts what is found as the state of the groups.
func (l *ledger) settle(found map[string]string) {
	for name, g := range l.groups {
		g.now, g.maybe = found[name], nil
		g.past = []promise{{g.now, time.Time{}, true}}
	}
}

// states returns the state of each group in an exposition: the value of each of its
// families. A family whose series have different values is an error.
func states(t *testing.T, exposition string) map[string]string {
	t.Helper()
	type family struct {
		value  string
		series int
	}
	found := map[string]map[string]family{}
	for line := range strings.Lines(exposition) {
		if !strings.HasPrefix(line, "m{") && !strings.HasPrefix(line, "n{") {
			continue
		}
		_, rest, _ := strings.Cut(line, `job="`)
		group, _, _ := strings.Cut(rest, `"`)
		value := strings.TrimSpace(line[strings.LastIndex(line, " "):])
		if found[group] == nil {
			found[group] = map[string]family{}
		}
		f := found[group][line[:1]]
		if f.series > 0 && f.value != value {
			t.Errorf("group %s is half old and half new: %s and %s", group, f.value, value)
		}
		found[group][line[:1]] = family{value, f.series + 1}
	}
	out := map[string]string{}
	for group, families := range found {
		for name, f := range families {
			if f.series != 8 {
				t.Errorf("group %s has %d of 8 series of %s", group, f.series, name)
			}
		}
		m, n := "-", "-"
		if f, ok := families["m"]; ok {
			m = "m=" + f.value
		}
		if f, ok := families["n"]; ok {
			n = "n=" + f.value
		}
		out[group] = m + " " + n
	}
	return out
}

// farFuture is the floor if all promises must be kept.
var farFuture = time.Unix(1<<40, 0)

// audit compares the states found with the promises. Promises made before floor must be
// kept. Later ones may be lost, but only from the latest backwards.
func audit(t *testing.T, ledgers []*ledger, found map[string]string, floor time.Time) (lost int, oldest time.Time) {
	t.Helper()
	known := map[string]bool{}
	for _, l := range ledgers {
		for _, name := range slices.Sorted(maps.Keys(l.groups)) {
			g := l.groups[name]
			known[name] = true
			is := found[name]
			if is == g.now || slices.Contains(g.maybe, is) {
				continue
			}
			// The state must be one of those that followed the last that had to last.
			from := 0
			for i, promised := range g.past {
				if promised.durable || !promised.at.After(floor) {
					from = i
				}
			}
			at := slices.IndexFunc(g.past[min(from, len(g.past)):], func(p promise) bool { return p.state == is })
			if at < 0 && (len(g.past) > 0 && (g.past[from].durable || !g.past[from].at.After(floor)) || is != "") {
				t.Errorf("group %s is %q, but %q was acknowledged", name, is, g.now)
				continue
			}
			lost++
			if next := from + at + 1; next < len(g.past) && (oldest.IsZero() || g.past[next].at.Before(oldest)) {
				oldest = g.past[next].at
			}
		}
	}
	for name, state := range found {
		if !known[name] {
			t.Errorf("group %s is %q, which nobody pushed", name, state)
		}
	}
	return lost, oldest
}

// load runs a client per ledger that makes changes until stop is closed or the gateway
// is gone.
func load(p *program, ledgers []*ledger, stop <-chan struct{}) *sync.WaitGroup {
	var clients sync.WaitGroup
	for _, l := range ledgers {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, err := l.step(p); err != nil {
					return
				}
			}
		})
	}
	return &clients
}

func newLedgers(clients int) []*ledger {
	var ledgers []*ledger
	for c := range clients {
		ledgers = append(ledgers, newLedger(c))
	}
	return ledgers
}
