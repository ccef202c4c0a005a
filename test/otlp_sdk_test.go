package test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

const otlpPath = "/api/v1/otlp/v1/metrics"

// buildExporter builds the job in test/otlp, which is instrumented with the OpenTelemetry SDK for Go.
var buildExporter = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "otlp-")
	if err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "exporter")
	build := exec.Command("go", "build", "-o", binary, ".")
	build.Dir = "otlp"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s", build, err, out)
	}
	return binary, nil
})

// An otlpJob is a job that exports metrics with a real SDK.
type otlpJob struct {
	name    string
	command func(t *testing.T) *exec.Cmd
	env     []string
}

func goSDK(t *testing.T) *exec.Cmd {
	t.Helper()
	binary, err := buildExporter()
	if err != nil {
		t.Fatal(err)
	}
	return command(t, binary)
}

// javaScriptSDK returns a job in test/otlp/export.js with the exporter for the protocol.
func javaScriptSDK(protocol string) func(t *testing.T) *exec.Cmd {
	return func(t *testing.T) *exec.Cmd {
		t.Helper()
		modules, err := filepath.Abs(filepath.Join(root, "dist", "otel", "node_modules"))
		if err != nil {
			t.Fatal(err)
		}
		cmd := command(t, "node", filepath.Join("otlp", "export.js"), "@opentelemetry/exporter-metrics-otlp-"+protocol)
		cmd.Env = append(os.Environ(), "NODE_PATH="+modules)
		return cmd
	}
}

// run runs the job to its end. It exports to the address.
func (j otlpJob) run(t *testing.T, address string) {
	t.Helper()
	cmd := j.command(t)
	if cmd.Env == nil {
		cmd.Env = os.Environ()
	}
	cmd.Env = append(cmd.Env, "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT="+address+otlpPath, "OTEL_SERVICE_NAME="+j.name)
	cmd.Env = append(cmd.Env, j.env...)
	result(t, cmd)
}

// otlpJobs are jobs with all SDKs, encodings, compressions and temporalities.
var otlpJobs = []otlpJob{
	{"go", goSDK, nil},
	{"go-delta", goSDK, []string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip"}},
	{"go-lowmemory", goSDK, []string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=lowmemory"}},
	{"js", javaScriptSDK("proto"), nil},
	{"js-json", javaScriptSDK("http"), nil},
	{"js-json-delta", javaScriptSDK("http"), []string{
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip",
	}},
}

// An exported request is one that an SDK has sent.
type exported struct {
	body   string
	header http.Header
}

// capture runs the jobs and returns what they export, in order.
func capture(t *testing.T, jobs []otlpJob) []exported {
	t.Helper()
	var mu sync.Mutex
	var all []exported
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", r.Header.Get("Content-Type"))
		if r.Header.Get("Content-Type") == "application/json" {
			fmt.Fprint(w, "{}")
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, exported{string(body), r.Header.Clone()})
	}))
	defer server.Close()
	for _, j := range jobs {
		j.run(t, server.URL)
	}
	return all
}

// sendTo sends what SDKs have exported to a server.
func sendTo(t *testing.T, p *program, all []exported) {
	t.Helper()
	for _, e := range all {
		a := p.do(t, http.MethodPost, otlpPath, e.body,
			"Content-Type", e.header.Get("Content-Type"), "Content-Encoding", e.header.Get("Content-Encoding"))
		if a.status != http.StatusOK {
			t.Fatalf("%s: %d %s", p.cmd.Path, a.status, a.body)
		}
	}
}

// TestOTLPRetriedAfterCrash: an export with deltas that is sent again after the gateway was killed adds
// nothing.
func TestOTLPRetriedAfterCrash(t *testing.T) {
	t.Parallel()
	all := capture(t, []otlpJob{{"go-delta", goSDK, []string{"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta"}}})
	file := filepath.Join(t.TempDir(), "db")
	p := gateway(t, file)
	sendTo(t, p, all)
	before := p.pushedTo(t, "go-delta")
	p.kill(t)
	p = gateway(t, file)
	p.awaitReady(t)
	sendTo(t, p, all)
	if after := p.pushedTo(t, "go-delta"); len(before) == 0 || !slices.Equal(after, before) {
		t.Errorf("before\n%s\nafter\n%s", strings.Join(before, "\n"), strings.Join(after, "\n"))
	}
}

// TestOTLPRetriedBySDK: an SDK sends an export again that was applied but answered with 503. It adds nothing
// twice.
func TestOTLPRetriedBySDK(t *testing.T) {
	t.Parallel()
	for _, j := range otlpJobs {
		if !strings.HasSuffix(j.name, "-delta") {
			continue
		}
		t.Run(j.name, func(t *testing.T) {
			t.Parallel()
			p := start(t)
			target, err := url.Parse(p.URL)
			if err != nil {
				t.Fatal(err)
			}
			forward := httputil.NewSingleHostReverseProxy(target)
			var exports atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if exports.Add(1) > 1 {
					forward.ServeHTTP(w, r)
					return
				}
				forward.ServeHTTP(httptest.NewRecorder(), r) // the answer is lost
				w.Header().Set("Retry-After", "1")
				w.WriteHeader(http.StatusServiceUnavailable)
			}))
			defer server.Close()
			j.run(t, server.URL)
			orders := fmt.Sprintf(`orders_total{instance="",job=%q,kind="a"} `, j.name)
			wantText(t, p.get(t, "/metrics"), orders+"7\n", "\npushgateway_pushes_replayed_total 1\n")
		})
	}
}
