package test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"pushgateway/internal/pgtest"
)

// TestReplicasDescribeEachOther: each replica says in its status, its metrics and its pages which
// others there are, and whether they have other files. What it remembers of pushes is its own.
func TestReplicasDescribeEachOther(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	rules := [2]string{filepath.Join(t.TempDir(), "a.yml"), filepath.Join(t.TempDir(), "b.yml")}
	var replicas [2]*program
	for i, name := range []string{"alpha", "beta"} {
		writeFile(t, rules[i], fmt.Appendf(nil, "rules: [{match: '{job=\"x\"}', ttl: %dh}]\n", i+1))
		replicas[i] = launch(t, exec.Command(gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--web.own-metrics-path=/self",
			"--persistence.url="+server.URL(), "--persistence.replica-name="+name, "--config.file="+rules[i], "--web.enable-lifecycle"))
		replicas[i].awaitReady(t)
	}
	alpha, beta := replicas[0], replicas[1]
	beta.push(t, http.MethodPut, "/metrics/job/x", "m 1\n")

	var status struct {
		Data struct {
			Replicas struct {
				Name     string
				Sequence int64
				All      []struct {
					Name, Version string
					Self, Live    bool
					Sequence      int64
					OtherRules    bool `json:"other_rules"`
					OtherAuth     bool `json:"other_auth"`
				} `json:"replicas"`
			}
		}
	}
	seen := func() int {
		if err := json.Unmarshal([]byte(alpha.get(t, "/api/v1/status")), &status); err != nil {
			t.Fatal(err)
		}
		return len(status.Data.Replicas.All)
	}
	until(t, "alpha sees beta and its push", func() bool {
		return seen() == 2 && status.Data.Replicas.Sequence == 1 && status.Data.Replicas.All[1].Sequence == 1
	})
	for i, name := range []string{"alpha", "beta"} {
		r := status.Data.Replicas.All[i]
		if r.Name != name || r.Version == "" || r.Self != (i == 0) || !r.Live || r.OtherRules != (i == 1) || r.OtherAuth {
			t.Errorf("replica %d is described as %+v", i, r)
		}
	}
	wantText(t, alpha.get(t, "/status"), "different files", "has another rules file", "beta", "Only pushes to this replica, <bdi>alpha</bdi>")
	wantText(t, beta.get(t, "/groups/job/x"), "Only pushes to this replica, <bdi>beta</bdi>")
	differs := `pushgateway_replica_configuration_differs{file="rules",replica="beta"}`
	for series, want := range map[string]float64{
		"pushgateway_replicas": 2, differs: 1,
		`pushgateway_replica_configuration_differs{file="auth",replica="beta"}`: 0,
		`pushgateway_replica_behind_commits{replica="beta"}`:                    0,
	} {
		if got := alpha.selfMetric(t, "/self", series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for series, want := range map[string]float64{
		"pushgateway_persistence_sequence": 1, "pushgateway_persistence_records_written_total": 1,
		"pushgateway_persistence_commit_groups_count": 1, "pushgateway_persistence_repairs_total": 0,
		"pushgateway_persistence_reconnects_total": 0,
	} {
		if got := beta.selfMetric(t, "/self", series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	until(t, "alpha was notified", func() bool { return alpha.selfMetric(t, "/self", "pushgateway_persistence_notifications_total") == 1 })

	writeFile(t, rules[1], readFile(t, rules[0]))
	beta.do(t, http.MethodPut, "/-/reload", "")
	until(t, "both have the same rules", func() bool { return alpha.selfMetric(t, "/self", differs) == 0 })
	beta.end(t)
	until(t, "beta is gone", func() bool { return seen() == 1 })
}
