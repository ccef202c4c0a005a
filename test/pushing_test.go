package test

import (
	"bytes"
	"encoding/json"
	"go/format"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// The tests here run everything that the first two pages print.
const (
	pushing        document = "docs/PUSHING.md"
	clientExamples document = "docs/CLIENTS.md" // the examples of pushing in Python and Go, and those of each client
	operating      document = "docs/OPERATING.md"
)

// A topic is a task that the pages show in each language, with the same outcome: the
// blocks TOPIC-curl and so on, and a block of the kind result with what the gateway
// then exposes.
type topic struct {
	name   string
	start  string // the block with the gateway's command line; empty for one without flags
	before string // an example to run first; may be empty
	lossy  bool   // the first answer of the gateway gets lost
	// check replaces the block with the result.
	check func(t *testing.T, p *program)
}

var languages = []string{"curl", "python", "go"}

var topics = []topic{
	{name: "ways", check: func(t *testing.T, p *program) {
		p.wantTTLs(t, map[string]string{
			"/metrics/job/backup/database/orders": "48h0m0s",
			"/metrics/job/backup/database/items":  "48h0m0s",
			"/metrics/job/backup/database/users":  "48h0m0s",
		})
	}},
	{name: "ttl", check: func(t *testing.T, p *program) {
		p.wantTTLs(t, map[string]string{"/metrics/job/backup": "48h0m0s"})
	}},
	{name: "merge"},
	{name: "sum"},
	{name: "retry", lossy: true},
	{name: "bulk"},
	{name: "delete", start: "admin", before: "bulk-curl"},
	{name: "timestamps"},
	{name: "own", start: "own", check: checkOwn},
}

// begin starts the gateway of the topic. The examples push to addr.
func (c topic) begin(t *testing.T) (p *program, addr string) {
	t.Helper()
	p = start(t, flagsPrinted(t, c.start)...)
	if c.before != "" {
		pushing.run(t, c.before, t.TempDir(), p.Addr)
	}
	if c.lossy {
		return p, lossyProxy(t, p)
	}
	return p, p.Addr
}

// end checks the result of the examples of the topic.
func (c topic) end(t *testing.T, p *program) {
	t.Helper()
	if c.check != nil {
		c.check(t, p)
	} else {
		wantResult(t, p, c.name)
	}
	if c.lossy {
		wantText(t, p.get(t, "/metrics"), "\npushgateway_pushes_replayed_total 1\n")
	}
}

func TestPushingCurlAndPython(t *testing.T) {
	t.Parallel()
	for _, c := range topics {
		for _, language := range []string{"curl", "python"} {
			t.Run(c.name+"-"+language, func(t *testing.T) {
				t.Parallel()
				p, addr := c.begin(t)
				pageOf(language).run(t, c.name+"-"+language, t.TempDir(), addr)
				c.end(t, p)
			})
		}
	}
}

// TestPushingGo builds all Go programs together. They name the addresses of their gateways,
// so these are started first.
func TestPushingGo(t *testing.T) {
	t.Parallel()
	gateways, programs := make([]*program, len(topics)), map[string]string{}
	for i, c := range topics {
		var addr string
		gateways[i], addr = c.begin(t)
		programs[c.name] = clientExamples.goExample(t, c.name+"-go", addr)
	}
	dir := buildPrinted(t, programs)
	for i, c := range topics {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			result(t, command(t, filepath.Join(dir, c.name)))
			c.end(t, gateways[i])
		})
	}
}

// goExample returns an example as a whole Go program.
func (d document) goExample(t *testing.T, name, addr string) string {
	t.Helper()
	_, code := d.example(t, name, addr)
	if formatted, err := format.Source([]byte(code)); err != nil || string(formatted) != code {
		t.Errorf("%s is not as gofmt has it: %v", name, err)
	}
	return d.goProgram(t, code)
}

// TestPushingExpiry: groups expire, and the API says when.
func TestPushingExpiry(t *testing.T) {
	t.Parallel()
	p := start(t)
	pushing.run(t, "ttl-curl", t.TempDir(), p.Addr)
	expires, err := time.Parse(`"expires_at":"`+time.RFC3339Nano+`"`, pushing.run(t, "expires", t.TempDir(), p.Addr))
	if left := time.Until(expires); err != nil || left < 47*time.Hour || left > 48*time.Hour {
		t.Errorf("the group expires in %v, want 48 hours (%v)", left, err)
	}

	pushing.run(t, "expire", t.TempDir(), p.Addr)
	until(t, "the groups have expired", func() bool {
		return !strings.Contains(p.get(t, "/metrics"), "\nx{")
	})
	metrics := p.pushed(t)
	wantText(t, metrics, `push_time_seconds{instance="",job="told"} NOW`, `push_failure_time_seconds{instance="",job="told"} 0`,
		`backup_bytes{instance="",job="backup"} 4096`)
	if strings.Contains(metrics, "short") {
		t.Errorf("push times of a group without ttl_keep are still there:\n%s", metrics)
	}
}

// TestPushingRules: the rules file applies to the unchanged examples of the README.
func TestPushingRules(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := filepath.Join(dir, "pushgateway.yml")
	_, rules := pushing.block(t, "file", "pushgateway.yml")
	writeFile(t, file, []byte(rules))
	_, check := pushing.block(t, "run", "check-config")
	pushing.wantAnswer(t, "check-config", shell(t, dir, "sh", "-e", "-c", check))

	args := append([]string{"--web.listen-address=127.0.0.1:0", "--persistence.file="}, flagsPrinted(t, "rules")...)
	cmd := exec.Command(gatewayBinary(t), args...)
	cmd.Dir = dir
	p := launch(t, cmd)
	pushing.run(t, "sum-by-rule", dir, p.Addr)
	wantResult(t, p, "sum-by-rule")

	p.push(t, http.MethodPut, "/metrics/job/legacy", "old 1 1700000000000\n")
	wantText(t, p.pushed(t), `old{instance="",job="legacy"} 1`)
	p.push(t, http.MethodPut, "/metrics/job/audit", "")
	for _, language := range languages {
		readme.run(t, language, root, p.Addr)
	}
	lifetimes := map[string]string{
		"/metrics/job/audit":                     "never",
		"/metrics/job/backup/database/orders":    "48h0m0s",
		"/metrics/job/checkout/env/prod":         "720h0m0s",
		"/metrics/job/import/table/customers":    "168h0m0s",
		"/metrics/job/legacy":                    "720h0m0s",
		"/metrics/job/myjob/instance/myinstance": "720h0m0s",
	}
	p.wantTTLs(t, lifetimes)

	writeFile(t, file, []byte(strings.Replace(rules, "ttl: 7d", "ttl: 1d", 1)))
	pushing.run(t, "reload", dir, p.Addr)
	lifetimes["/metrics/job/import/table/customers"] = "24h0m0s"
	p.wantTTLs(t, lifetimes)

	writeFile(t, file, []byte("rules:\n  - ttl: 1h\n"))
	if a := p.do(t, http.MethodPost, "/-/reload", ""); a.status != http.StatusInternalServerError {
		t.Errorf("reload of a bad file: %d %s", a.status, a.body)
	} else {
		wantText(t, a.body, "line 2: rule 1: match: missing")
	}
	p.wantTTLs(t, lifetimes)
	wantText(t, p.get(t, "/metrics"), "\npushgateway_config_last_reload_successful 0\n")
}

// TestPushingAnswers: the gateway answers as the page says.
func TestPushingAnswers(t *testing.T) {
	t.Parallel()
	p := start(t, flagsPrinted(t, "admin")...)
	pushing.wantAnswer(t, "bulk-curl", pushing.run(t, "bulk-curl", t.TempDir(), p.Addr))
	pushing.wantAnswer(t, "dry-run", pushing.run(t, "dry-run", t.TempDir(), p.Addr))
	wantText(t, pushing.run(t, "delete-old", t.TempDir(), p.Addr), `"count":0`)
	// The dry run has deleted nothing.
	wantResult(t, p, "bulk")
}

// TestPushingOwnNames: without a path for own metrics, the example is rejected.
func TestPushingOwnNames(t *testing.T) {
	t.Parallel()
	p := start(t)
	wantText(t, pushing.run(t, "own-curl", t.TempDir(), p.Addr), `"process_resident_memory_bytes"`, "gauge")
	if metrics := p.get(t, "/metrics"); strings.Contains(metrics, `process_resident_memory_bytes{`) {
		t.Errorf("the push was accepted:\n%s", metrics)
	}
}

// checkOwn checks that /metrics has only the metrics of the process that pushed.
func checkOwn(t *testing.T, p *program) {
	t.Helper()
	const name = "\nprocess_resident_memory_bytes"
	metrics, own := p.get(t, "/metrics"), p.get(t, "/own")
	wantText(t, metrics, name+`{instance="",job="report"} `)
	if strings.Count(metrics, name) != 1 || strings.Contains(metrics, "pushgateway_") {
		t.Errorf("there are other metrics at /metrics:\n%s", metrics)
	}
	wantText(t, own, name+" ", "\npushgateway_groups 1\n")
}

// pageOf returns the page that has the examples in a language.
func pageOf(language string) document {
	if language == "curl" {
		return pushing
	}
	return clientExamples
}

// flagsPrinted returns the flags of a printed command line that starts the gateway.
func flagsPrinted(t *testing.T, name string) []string {
	t.Helper()
	if name == "" {
		return nil
	}
	_, line := pushing.block(t, "start", name)
	fields := strings.Fields(line)
	if fields[0] != "pushgateway" {
		t.Fatalf("the block %s does not start a gateway: %s", name, line)
	}
	return fields[1:]
}

// lossyProxy starts a proxy for the gateway that drops the connection instead of
// forwarding the first answer. It returns the proxy's address.
func lossyProxy(t *testing.T, p *program) (addr string) {
	t.Helper()
	target, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	var lost atomic.Bool
	proxy := httputil.NewSingleHostReverseProxy(target)
	proxy.ModifyResponse = func(r *http.Response) error {
		if lost.CompareAndSwap(false, true) {
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			panic(http.ErrAbortHandler)
		}
		return nil
	}
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// wantResult compares the pushed samples that the gateway exposes, without push times,
// with a block of the kind result.
func wantResult(t *testing.T, p *program, name string) {
	t.Helper()
	_, block := pushing.block(t, "result", name)
	if got, want := samplesOf(t, p.get(t, "/metrics")), samplesOf(t, block); !slices.Equal(got, want) {
		t.Errorf("the gateway has\n%s\nbut %s says\n%s", strings.Join(got, "\n"), pushing, strings.Join(want, "\n"))
	}
}

// samplesOf returns the pushed samples of an exposition, without push times.
func samplesOf(t *testing.T, text string) []string {
	t.Helper()
	return slices.DeleteFunc(normalExposition(t, text), func(line string) bool {
		return strings.HasPrefix(line, "#") || isPushTime(line[:strings.IndexByte(line, '{')])
	})
}

// wantTTLs checks how long after its last push each group expires.
func (p *program) wantTTLs(t *testing.T, want map[string]string) {
	t.Helper()
	var answer struct {
		Data struct {
			Groups []struct {
				Path     string     `json:"path"`
				LastPush time.Time  `json:"last_push"`
				Expires  *time.Time `json:"expires_at"`
			} `json:"groups"`
		} `json:"data"`
	}
	if err := json.NewDecoder(bytes.NewBufferString(p.get(t, "/api/v1/groups"))).Decode(&answer); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, g := range answer.Data.Groups {
		got[g.Path] = "never"
		if g.Expires != nil {
			got[g.Path] = g.Expires.Sub(g.LastPush).String()
		}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("groups stay after their last push: %v, want %v", got, want)
	}
}

// TestPushingDropLabels: what two processes push adds up without the label that tells them
// apart.
func TestPushingUTF8(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.enable-utf8-names")
	pushing.run(t, "utf8", t.TempDir(), p.Addr)
	wantText(t, p.get(t, "/metrics"), `http_requests{cloud_region="eu",http_method="GET",instance="",job="web"} 1`)
	a := p.do(t, "GET", "/metrics", "", "Accept", "text/plain;version=1.0.0;escaping=allow-utf-8")
	wantText(t, a.body, `{"http.requests","cloud.region"="eu","http.method"="GET",instance="",job="web"} 1`)
}

func TestPushingDropLabels(t *testing.T) {
	t.Parallel()
	p := start(t)
	pushing.run(t, "drop-labels", t.TempDir(), p.Addr)
	wantResult(t, p, "drop-labels")
}
