package test

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// TestReplicasScrapedByPrometheus: a Prometheus server that scrapes through the balancer sees
// one gateway, whichever replica answers, while replicas are killed and restarted: no gap, no
// duplicate, and only pushed labels.
func TestReplicasScrapedByPrometheus(t *testing.T) {
	const groups = 20
	server := pgtest.Start(t, pgtest.Config{})
	r := startReplicas(t, sameURL(server.URL()))
	client, _ := r.behind(t, t.Context())
	push := func(value int) {
		for group := range groups {
			client.push(t, http.MethodPut, fmt.Sprintf("/metrics/job/steady/instance/%d", group), fmt.Sprintf("steady %d\n", value))
		}
	}
	push(0)
	r.agree(t)
	prom := startPrometheusEvery(t, "1s", client.Addr)
	prom.wantQuery(t, `up`, fmt.Sprintf(`up{instance=%q,job="pushgateway"} 1`, client.Addr))

	stop := make(chan struct{})
	var pushing sync.WaitGroup
	pushing.Go(func() {
		for value := 1; ; value++ {
			select {
			case <-stop:
				return
			case <-time.After(100 * time.Millisecond):
				push(value)
			}
		}
	})
	deadline := time.Now().Add(*replicasFor)
	for i := 0; i < replicaCount || time.Now().Before(deadline); i++ {
		if p := r.each[i%replicaCount]; i%2 == 0 {
			p.kill(t)
		} else {
			p.end(t)
		}
		<-time.After(time.Second)
		r.start(t, i%replicaCount)
		<-time.After(time.Second)
	}
	close(stop)
	pushing.Wait()

	prom.wantQuery(t, `min_over_time(up[1h])`, fmt.Sprintf(`{instance=%q,job="pushgateway"} 1`, client.Addr))
	prom.wantQuery(t, `count(steady)`, fmt.Sprintf(`{} %d`, groups))
	prom.wantQuery(t, `count(count_over_time(steady[1h]) != on() group_left count_over_time(up[1h]))`)
	// No series is ever new after the first scrape: value and two push times of each group.
	prom.wantQuery(t, `sum_over_time(scrape_series_added[1h])`,
		fmt.Sprintf(`{instance=%q,job="pushgateway"} %d`, client.Addr, 3*groups))
	prom.wantQuery(t, `{exported_job=~".+"} or {exported_instance=~".+"}`)
	if log := prom.log.String(); strings.Contains(strings.ToLower(log), "duplicate") {
		t.Errorf("Prometheus complains:\n%s", log)
	}
	for _, s := range prom.query(t, `count_over_time(up[1h])`) {
		t.Logf("%v scrapes", s.Value[1])
	}
}
