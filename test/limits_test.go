package test

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// series returns n series of a gauge.
func seriesText(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "m{n=\"%d\"} 1\n", i)
	}
	return b.String()
}

func TestLimitsByFlag(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		flag, path, body string
		want             int
		text             string
	}{
		{
			"--push.max-body-size=1KiB", "/metrics/job/a", "m 1 # " + strings.Repeat("x", 2000) + "\n", 413,
			"limit of 1KiB, decompressed (body_size_limit)",
		},
		{"--push.max-series=10", "/metrics/job/a", seriesText(11), 400, "the limit of 10 (series_limit)"},
		{
			"--push.max-labels=3", "/metrics/job/a/b/c", seriesText(1), 400,
			"has 4 labels, its name included, which is more than the limit of 3 (label_limit)",
		},
		{"--push.max-label-name-length=3", "/metrics/job/a", "m{long=\"x\"} 1\n", 400, "(label_name_length_limit)"},
		{"--push.max-label-value-length=3", "/metrics/job/a", "m{x=\"long\"} 1\n", 400, "(label_value_length_limit)"},
		{"--storage.max-groups=1", "/metrics/job/a", "m 1\n", 429, "must not have more than 1 (storage.max-groups)"},
		{"--storage.max-series=5", "/metrics/job/a", "m 1\n", 429, "(storage.max-series)"},
		{"--storage.max-bytes=300", "/metrics/job/a", seriesText(10), 429, "(storage.max-bytes)"},
		{"--push.rate-limit=0.1", "/metrics/job/a", "m 1\n", 429, "0.1 pushes per second"},
	} {
		t.Run(c.flag, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.flag)
			p.push(t, "PUT", "/metrics/job/z", "z 1\n")
			a := p.do(t, "PUT", c.path, c.body)
			if a.status != c.want || !strings.Contains(a.body, c.text) {
				t.Errorf("%d %s, want %d and %q", a.status, a.body, c.want, c.text)
			}
			wantText(t, p.get(t, "/status"), c.text[strings.Index(c.text, "(")+1:])
			metrics := p.get(t, "/metrics")
			if strings.Count(metrics, "pushgateway_pushes_rejected_total{") != strings.Count(metrics, "} 0\n")+1 &&
				!strings.Contains(metrics, "} 1\n") {
				t.Errorf("the rejection is not counted: %s", metrics)
			}
		})
	}
}

func TestLimitsByRuleAndReload(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "limits.yml")
	_, printed := operating.block(t, "file", "limits.yml")
	writeFile(t, file, []byte(printed))
	p := start(t, "--config.file="+file, "--push.max-series=50")
	p.push(t, "PUT", "/metrics/job/a/team/checkout", seriesText(50))
	if a := p.do(t, "PUT", "/metrics/job/b/team/checkout", strings.Repeat("\n", 5<<20)); a.status != 413 {
		t.Errorf("a large body: %d %s", a.status, a.body)
	}
	if a := p.do(t, "PUT", "/metrics/job/b/team/checkout", seriesText(51)); a.status != 400 {
		t.Errorf("the flag counts where the rule says nothing: %d %s", a.status, a.body)
	}

	// Lowered limits delete nothing.
	writeFile(t, file, []byte("rules:\n- match: '{team=\"checkout\"}'\n  groups_limit: 1\n  series_total_limit: 10\n  series_limit: 0\n"))
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	until(t, "the rules are reloaded", func() bool { return strings.Contains(p.log.String(), "rules reloaded") })
	wantText(t, p.get(t, "/api/v1/groups/job/a/team/checkout"), `"series":52`)
	p.push(t, "PUT", "/metrics/job/a/team/checkout", seriesText(50))
	a := p.do(t, "PUT", "/metrics/job/a/team/checkout", seriesText(60))
	if a.status != 429 || !strings.Contains(a.body, "series_total_limit") {
		t.Errorf("growing: %d %s", a.status, a.body)
	}
	if a := p.do(t, "PUT", "/metrics/job/c/team/checkout", "m 1\n"); a.status != 429 || !strings.Contains(a.body, "groups_limit") {
		t.Errorf("another group: %d %s", a.status, a.body)
	}
	p.push(t, "PUT", "/metrics/job/a/team/other", seriesText(40))
	wantText(t, p.get(t, "/status"), "groups_limit=1", "series_total_limit=10", "body_size_limit=64MiB")
	wantText(t, p.get(t, "/groups/job/a/team/checkout"), "series_total_limit", ">quota<")
}

func TestProbesWithoutAuth(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "web.yml")
	writeFile(t, file, []byte("basic_auth_users:\n  a: $2y$04$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi\n"))
	for _, c := range []struct {
		args          []string
		path          string
		probes, other int
	}{
		{nil, "", 401, 401},
		{[]string{"--web.probes-without-auth"}, "", 200, 401},
		{[]string{"--web.probes-without-auth", "--web.route-prefix=/pg"}, "/pg", 200, 401},
	} {
		p := start(t, append(c.args, "--web.config.file="+file)...)
		for path, want := range map[string]int{
			c.path + "/-/healthy": c.probes, c.path + "/-/ready": c.probes, c.path + "/metrics": c.other,
			c.path + "/": c.other, c.path + "/-/healthy/": c.other, c.path + "/x/../-/healthy": c.other,
		} {
			if a := p.do(t, "GET", path, ""); a.status != want {
				t.Errorf("%v: GET %s: %d, want %d", c.args, path, a.status, want)
			}
		}
	}
}

func TestWrongLimitsStopTheStart(t *testing.T) {
	t.Parallel()
	for _, flag := range []string{"--push.max-body-size=x", "--push.max-series=-1", "--storage.max-bytes=1XB", "--storage.max-groups=1k"} {
		cmd := exec.Command(gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file=", flag)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(string(out), flag) {
			t.Errorf("%s: %v %s", flag, err, out)
		}
	}
}
