package test

import (
	"encoding/base64"
	"fmt"
	"maps"
	"net/http"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// startHAProxy runs HAProxy with an example of its configuration, in which the backends are
// gateway-a, gateway-b and so on. It returns once HAProxy listens.
func startHAProxy(t *testing.T, example string, backends ...*program) *program {
	t.Helper()
	addr := freeAddr(t)
	config := string(readFile(t, filepath.Join(root, "examples", example)))
	replace := func(old, new string) {
		if !strings.Contains(config, old) {
			t.Fatalf("%s does not name %q", example, old)
		}
		config = strings.ReplaceAll(config, old, new)
	}
	replace("bind :9090", "bind "+addr)
	for i, backend := range backends {
		replace(fmt.Sprintf("gateway-%c:9091", 'a'+i), backend.Addr)
	}
	path := filepath.Join(t.TempDir(), "haproxy.cfg")
	writeFile(t, path, []byte(config))

	haproxy := launchAt(t, addr, exec.Command("haproxy", "-db", "-f", path))
	haproxy.wantCode = -1
	return haproxy
}

// TestReplicasBehindHAProxy: with the example of its configuration, HAProxy hides that a replica
// is killed and another one is stopped.
func TestReplicasBehindHAProxy(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	r := startReplicas(t, sameURL(server.URL()))
	haproxy := startHAProxy(t, "replicas/haproxy.cfg", r.each...)
	r.balancer.URL = haproxy.URL
	load := r.startLoad(t)
	for _, end := range []func(){func() { r.each[0].kill(t) }, func() { r.each[1].end(t) }} {
		load.awaitPushes(t)
		end()
		for range 10 {
			states(t, haproxy.get(t, "/metrics"))
		}
		<-time.After(*replicasFor / 8)
	}
	load.awaitPushes(t)
	r.each = r.each[2:]
	load.finish(t)
}

// TestShardsBehindHAProxy: with the example of its configuration, HAProxy spreads jobs over two
// gateways. All that is pushed to one job is at one gateway, and stays there while that is
// away.
func TestShardsBehindHAProxy(t *testing.T) {
	t.Parallel()
	const jobs = 40
	gateways := []*program{start(t), start(t)}
	haproxy := startHAProxy(t, "haproxy-shards.cfg", gateways...)
	job := func(i int) string { return fmt.Sprint("job/", i) } // a slash needs encoding
	push := func(i int) map[string]int {
		encoded := base64.RawURLEncoding.EncodeToString([]byte(job(i)))
		statuses := map[string]int{}
		for _, path := range []string{
			fmt.Sprintf("/metrics/job/job%%2F%d", i),
			"/metrics/job@base64/" + encoded,
			"/with/ttl=1h/metrics/job@base64/" + encoded + "/instance/1",
			fmt.Sprintf("/with/ttl=1h/merge=series/metrics/job/job%%2F%d/instance/2", i),
		} {
			statuses[path] = haproxy.do(t, http.MethodPost, path, "m 1\n").status
		}
		return statuses
	}
	count := make([]int, len(gateways))
	for i := range jobs {
		for path, status := range push(i) {
			if status != http.StatusOK {
				t.Errorf("%s: status %d", path, status)
			}
		}
	}
	where := func() map[string]int {
		found := map[string]int{}
		for g, gateway := range gateways {
			for _, group := range gateway.groups(t) {
				job := group.Labels["job"]
				if other, ok := found[job]; ok && other != g {
					t.Errorf("job %s is at both gateways", job)
				}
				found[job] = g
			}
		}
		return found
	}
	at := where() // which gateway has a job
	for _, g := range at {
		count[g]++
	}
	if len(at) != jobs || slices.Min(count) == 0 {
		t.Errorf("%d jobs are at the gateways, want %d: %v", len(at), jobs, count)
	}
	t.Logf("jobs at the gateways: %v", count)

	for _, path := range []string{"/metrics", "/api/v1/groups", "/"} {
		if a := haproxy.do(t, http.MethodGet, path, ""); a.status != http.StatusNotFound {
			t.Errorf("GET %s: status %d", path, a.status)
		}
	}

	// While a gateway is away, its jobs are rejected, and the others go on.
	gateways[1].end(t)
	for i := range jobs {
		want := []int{http.StatusOK, http.StatusServiceUnavailable}[at[job(i)]]
		for path, status := range push(i) {
			if status != want {
				t.Errorf("%s: status %d without gateway %d, want %d", path, status, at[job(i)], want)
			}
		}
	}
	gateways = gateways[:1]
	maps.DeleteFunc(at, func(_ string, g int) bool { return g == 1 })
	if found := where(); !maps.Equal(found, at) {
		t.Errorf("while a gateway was away, jobs moved: %v, want %v", found, at)
	}
}
