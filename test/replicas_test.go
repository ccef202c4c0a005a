package test

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// Several gateways share a database here, under load and faults. make test-replicas runs
// these tests for longer.
var replicasFor = flag.Duration("replicas.for", 8*time.Second, "how long each test of replicas makes load")

const (
	replicaCount   = 3
	replicaClients = 8 // that replace groups
	replicaAdders  = 2 // that add to sums
)

// replicas are gateways that share a database, behind a balancer. Their own metrics are
// at /self.
type replicas struct {
	urls     []string // of the database, as each replica reaches it
	args     []string
	each     []*program
	balancer *balancer
}

// startReplicas runs a replica per URL of the database.
func startReplicas(t *testing.T, urls []string, args ...string) *replicas {
	t.Helper()
	r := &replicas{urls: urls, args: args, each: make([]*program, len(urls)), balancer: startBalancer(t)}
	for i := range urls {
		r.start(t, i)
	}
	return r
}

// start runs the i-th replica, and returns once it is ready and the balancer knows it.
func (r *replicas) start(t *testing.T, i int) {
	t.Helper()
	args := append([]string{
		"--web.listen-address=127.0.0.1:0", "--web.own-metrics-path=/self",
		"--persistence.url=" + r.urls[i], fmt.Sprint("--persistence.replica-name=replica-", i),
	}, r.args...)
	p := launch(t, exec.Command(gatewayBinary(t), args...))
	p.awaitReady(t)
	r.each[i] = p
	r.balancer.set(i, p.URL)
}

// behind returns the balancer as a client sees it that repeats requests until ctx ends.
func (r *replicas) behind(t *testing.T, ctx context.Context) (*program, *patientTransport) {
	client := newClient(t)
	patient := &patientTransport{ctx: ctx, base: client.Transport}
	client.Transport = patient
	return &program{URL: r.balancer.URL, Addr: strings.TrimPrefix(r.balancer.URL, "http://"), client: client}, patient
}

// agree waits until all replicas expose the same, and returns that.
func (r *replicas) agree(t *testing.T) string {
	t.Helper()
	var first string
	until(t, "all replicas expose the same", func() bool {
		first = r.each[0].get(t, "/metrics")
		for _, p := range r.each[1:] {
			if p.get(t, "/metrics") != first {
				return false
			}
		}
		return true
	})
	return first
}

// total returns the sum over all replicas of one of the gateway's own series.
func (r *replicas) total(t *testing.T, series string) (sum float64) {
	t.Helper()
	for _, p := range r.each {
		sum += p.selfMetric(t, "/self", series)
	}
	return sum
}

// sameURL returns the URL once per replica.
func sameURL(url string) []string { return slices.Repeat([]string{url}, replicaCount) }

// replicaLoad is what clients do to replicas behind a balancer, and what they were promised.
type replicaLoad struct {
	replicas *replicas
	patient  *patientTransport
	ledgers  []*ledger
	adders   []*adder
	first    tally // what the groups of sums began with

	stop    chan struct{} // ends the load, each client after its current request
	give    context.CancelFunc
	running sync.WaitGroup
}

// startLoad runs clients until finish.
func (r *replicas) startLoad(t *testing.T) *replicaLoad {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	client, patient := r.behind(t, ctx)
	l := &replicaLoad{
		replicas: r, patient: patient, ledgers: newLedgers(replicaClients), first: tally{}, stop: make(chan struct{}), give: cancel,
	}
	for name := range replicaAdders {
		a := newAdder(name)
		a.repeated = true
		l.adders = append(l.adders, a)
	}
	for group := range sumGroups {
		s := newSummand(l.adders[0].random, "", group, true)
		client.push(t, http.MethodPost, s.path, s.body, "Idempotency-Key", fmt.Sprint("first-", group))
		l.first.add(s.adds)
	}
	l.running.Go(func() { load(client, l.ledgers, l.stop).Wait() })
	for _, a := range l.adders {
		l.running.Go(func() {
			for {
				select {
				case <-l.stop:
					return
				default:
				}
				if a.step(t, client) != nil {
					return
				}
			}
		})
	}
	return l
}

// awaitPushes waits until a change is acknowledged from now on, and returns
// how long that took.
func (l *replicaLoad) awaitPushes(t *testing.T) time.Duration {
	t.Helper()
	from := time.Now()
	until(t, "pushes are accepted again", func() bool { return l.patient.last.Load() > from.UnixNano() })
	return time.Since(from)
}

// finish ends the load, and checks that all replicas have exactly what was acknowledged.
func (l *replicaLoad) finish(t *testing.T) {
	t.Helper()
	close(l.stop)
	done := make(chan struct{})
	go func() { l.running.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		l.give()
		<-done
		t.Fatal("some requests are never accepted")
	}
	exposition := l.replicas.agree(t)
	requests := 0
	for _, ledger := range l.ledgers {
		requests += ledger.value
	}
	audit(t, l.ledgers, states(t, exposition), farFuture)

	want := maps.Clone(l.first)
	for _, a := range l.adders {
		want.add(a.acknowledged)
		requests += a.pushes
	}
	if got := sums(t, exposition); !maps.Equal(got, want) {
		t.Errorf("the sums are\n%v\nbut what was acknowledged adds up to\n%v", got, want)
	}
	if requests < 20 {
		t.Errorf("only %d requests in all", requests)
	}
	t.Logf("%d changes acknowledged, %d retries", requests, l.patient.retries.Load())
}

// TestReplicasOutliveServers kills replicas under load, and then the primary of two database
// servers, whose synchronous standby takes its place. No acknowledged change is lost.
func TestReplicasOutliveServers(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Config{})
	standby := primary.StartStandby("standby", primary.Addr())
	primary.RequireStandby("standby")
	r := startReplicas(t, sameURL(pgtest.URL(pgtest.User, primary.Addr(), standby.Addr())))
	load := r.startLoad(t)
	deadline := time.Now().Add(*replicasFor)
	for i := 0; i < replicaCount || time.Now().Before(deadline); i++ {
		<-time.After(2 * time.Second)
		r.each[i%replicaCount].kill(t)
		load.awaitPushes(t)
		r.start(t, i%replicaCount)
	}
	load.awaitPushes(t)
	primary.Kill()
	killed := time.Now()
	standby.Promote()
	promoted := time.Now()
	took := load.awaitPushes(t)
	t.Logf("pushes accepted %v after the promotion, which took %v", took, promoted.Sub(killed))
	if *replicasFor >= time.Minute && took > 5*time.Second {
		t.Error("that is longer than 5 s") // not checked on machines that do much else
	}
	<-time.After(time.Second)
	load.finish(t)
}

// TestReplicasOutliveCrashes kills the only database server under load, every other time with all
// replicas, and starts it again. What had been committed, but was not yet on disk, was not acknowledged.
func TestReplicasOutliveCrashes(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	r := startReplicas(t, sameURL(server.URL()))
	load := r.startLoad(t)
	deadline := time.Now().Add(*replicasFor)
	for i := 0; i < 3 || time.Now().Before(deadline); i++ {
		<-time.After(time.Second)
		load.awaitPushes(t)
		server.Kill()
		if i%2 == 1 {
			for _, p := range r.each {
				p.kill(t)
			}
		}
		server.Restart()
		if i%2 == 1 {
			for replica := range r.each {
				r.start(t, replica)
			}
		}
		load.awaitPushes(t)
	}
	load.finish(t)
}

// TestReplicasRestartOneByOne restarts all replicas in turn, as an upgrade does. No client
// sees an error that a retry does not cure, and no scrape fails.
func TestReplicasRestartOneByOne(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	r := startReplicas(t, sameURL(server.URL()))
	load := r.startLoad(t)
	scraper := &program{URL: r.balancer.URL, client: newClient(t)}
	stop := make(chan struct{})
	scrapes := 0
	var scraping sync.WaitGroup
	scraping.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
			a, err := scraper.try(http.MethodGet, "/metrics", "")
			if err != nil || a.status != http.StatusOK {
				t.Errorf("scrape: %d %.200s %v", a.status, a.body, err)
				return
			}
			states(t, a.body) // a push becomes visible as a whole
			scrapes++
		}
	})
	deadline := time.Now().Add(*replicasFor)
	for i := 0; i < replicaCount || time.Now().Before(deadline); i++ {
		r.each[i%replicaCount].end(t)
		load.awaitPushes(t)
		r.start(t, i%replicaCount)
		load.awaitPushes(t)
	}
	close(stop)
	scraping.Wait()
	if scrapes < 2*replicaCount {
		t.Errorf("only %d scrapes", scrapes)
	}
	t.Logf("%d scrapes", scrapes)
	load.finish(t)
}
