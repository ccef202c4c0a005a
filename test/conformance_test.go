package test

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// A difference is a deliberate deviation from a recorded answer of upstream.
// docs/COMPATIBILITY.md lists the same.
type difference struct {
	reason     string
	status     []int    // nil: as recorded
	exposition []string // nil: as recorded
	api        string   // JSON; empty: as recorded
}

// differences is keyed by the name of the case.
var differences = map[string]difference{}

// A recording is one case of testdata/conformance.json; the README beside
// the file says what the fields mean.
type recording struct {
	Name  string
	Args  []string
	Steps []struct {
		Method, Path string
		Headers      map[string]string
		Text         string
		Body         []byte
	}
	Status []int
	State  *struct {
		Exposition []string
		API        []map[string]any
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("testdata/conformance.json")
	if err != nil {
		t.Fatal(err)
	}
	var recordings []recording
	if err := json.Unmarshal(text, &recordings); err != nil {
		t.Fatal(err)
	}
	for name := range differences {
		if !slices.ContainsFunc(recordings, func(r recording) bool { return r.Name == name }) {
			t.Errorf("the table of differences names %q, which is not a case", name)
		}
	}
	for _, r := range recordings {
		t.Run(r.Name, func(t *testing.T) {
			t.Parallel()
			conform(t, r)
		})
		t.Run(r.Name+", with rules and flags without effect", func(t *testing.T) {
			t.Parallel()
			rules := filepath.Join(t.TempDir(), "rules.yml")
			writeFile(t, rules, []byte("rules: []\n"))
			conform(t, r, "--config.file="+rules, "--push.ttl=0", "--push.timestamps=reject")
		})
	}
}

// conform runs the case on a gateway with the case's arguments and more.
func conform(t *testing.T, r recording, more ...string) {
	if d, ok := differences[r.Name]; ok {
		t.Log("differs from upstream:", d.reason)
		r.apply(t, d)
	}
	p := start(t, slices.Concat(r.Args, more)...)

	var status []int
	for _, step := range r.Steps {
		var headers []string
		for name, value := range step.Headers {
			headers = append(headers, name, value)
		}
		a := p.do(t, step.Method, step.Path, step.Text+string(step.Body), headers...)
		status = append(status, a.status)
		t.Logf("%s %s: %d %.200q", step.Method, step.Path, a.status, a.body)
	}
	if !slices.Equal(status, r.Status) {
		t.Errorf("status %v, want %v", status, r.Status)
	}

	metrics := p.do(t, http.MethodGet, "/metrics", "")
	api := p.do(t, http.MethodGet, "/api/v1/metrics", "")
	readable := metrics.status == http.StatusOK && api.status == http.StatusOK
	if r.State == nil {
		if readable {
			t.Error("metrics and API are at their usual paths, want them elsewhere")
		}
		return
	}
	if !readable {
		t.Fatalf("metrics: %d, API: %d", metrics.status, api.status)
	}
	wantLines(t, "/metrics", normalExposition(t, metrics.body), r.State.Exposition)

	var listing struct{ Data []map[string]any }
	if err := json.Unmarshal([]byte(api.body), &listing); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "/api/v1/metrics", normalAPI(t, listing.Data), normalAPI(t, r.State.API))
}

// apply replaces the recorded answer by ours.
func (r *recording) apply(t *testing.T, d difference) {
	if d.status != nil {
		r.Status = d.status
	}
	if d.exposition != nil {
		r.State.Exposition = d.exposition
	}
	if d.api != "" {
		r.State.API = nil
		if err := json.Unmarshal([]byte(d.api), &r.State.API); err != nil {
			t.Fatal(err)
		}
	}
}
