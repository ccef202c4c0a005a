package test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// An answer is what the tests look at in an HTTP response.
type answer struct {
	status int
	header http.Header
	body   string
}

// do sends one request, which must be answered. Headers come in pairs of name and
// value; a name may occur more than once.
func (p *program) do(t *testing.T, method, path, body string, headers ...string) answer {
	t.Helper()
	a, err := p.try(method, path, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// try is do for a program that may exit before it answers.
func (p *program) try(method, path, body string, headers ...string) (answer, error) {
	req, err := http.NewRequest(method, p.URL+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// push is do for requests that must be answered with 200.
func (p *program) push(t *testing.T, method, path, body string, headers ...string) {
	t.Helper()
	a := p.do(t, method, path, body, headers...)
	if a.status != http.StatusOK {
		t.Fatalf("%s %s: %d %s", method, path, a.status, a.body)
	}
}

// get returns a page that must exist.
func (p *program) get(t *testing.T, path string, headers ...string) string {
	t.Helper()
	a := p.do(t, http.MethodGet, path, "", headers...)
	if a.status != http.StatusOK {
		t.Fatalf("GET %s: %d %s", path, a.status, a.body)
	}
	return a.body
}

// newClient returns a client that shows each answer as it was sent: it follows no
// redirect and decompresses nothing.
func newClient(t *testing.T) *http.Client {
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{
		Transport: transport,
		Timeout:   patience,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
}

// rejected sends a push that must be rejected, and checks the reason.
func (p *program) rejected(t *testing.T, method, path, body string, because ...string) {
	t.Helper()
	a := p.do(t, method, path, body)
	if a.status != http.StatusBadRequest {
		t.Errorf("%s %s %.100q: status %d, want 400: %s", method, path, body, a.status, a.body)
	}
	wantText(t, a.body, because...)
}

// selfMetric returns the value of one of the gateway's own series, exposed at path.
func (p *program) selfMetric(t *testing.T, path, series string, headers ...string) float64 {
	t.Helper()
	for line := range strings.Lines(p.get(t, path, headers...)) {
		if text, ok := strings.CutPrefix(strings.TrimSpace(line), series+" "); ok {
			value, err := strconv.ParseFloat(text, 64)
			if err != nil {
				t.Fatal(err)
			}
			return value
		}
	}
	t.Fatalf("%s has no %s", path, series)
	return 0
}

// rejections returns how many pushes were rejected for a reason.
func (p *program) rejections(t *testing.T, reason string) float64 {
	t.Helper()
	return p.selfMetric(t, "/metrics", fmt.Sprintf("pushgateway_pushes_rejected_total{reason=%q}", reason))
}

// groupInfo is a group as the API describes it.
type groupInfo struct {
	Labels      map[string]string
	Path        string
	LastPush    *time.Time `json:"last_push"`
	LastFailure *time.Time `json:"last_failure"`
	Summed      bool
	Expired     bool
	ExpiresAt   *time.Time `json:"expires_at"`
}

// info returns the group with this path from the API, nil if there is none.
func (p *program) info(t *testing.T, path string) *groupInfo {
	t.Helper()
	a := p.do(t, http.MethodGet, "/api/v1/groups"+strings.TrimPrefix(path, "/metrics"), "")
	if a.status == http.StatusNotFound {
		return nil
	}
	var found struct{ Data *groupInfo }
	if err := json.Unmarshal([]byte(a.body), &found); err != nil || found.Data == nil {
		t.Fatalf("%s: %d %s %v", path, a.status, a.body, err)
	}
	return found.Data
}

// ttl returns how long after its last push the group expires: a duration, "never",
// or "none" if there is no group. For a group that was only rejected, it is rounded.
func (g *groupInfo) ttl() string {
	switch {
	case g == nil:
		return "none"
	case g.ExpiresAt == nil:
		return "never"
	case g.LastPush == nil:
		return g.ExpiresAt.Sub(*g.LastFailure).Round(time.Second).String()
	}
	return g.ExpiresAt.Sub(*g.LastPush).String()
}

// pushedTo returns the samples of the job's groups without their push times.
func (p *program) pushedTo(t *testing.T, job string) []string {
	t.Helper()
	label := fmt.Sprintf("job=%q", job)
	return slices.DeleteFunc(normalExposition(t, p.get(t, "/metrics")), func(line string) bool {
		return line[0] == '#' || !strings.Contains(line, label) || isPushTime(line[:strings.IndexByte(line, '{')])
	})
}

// wantPushed checks the samples of the job's groups, written without the labels job
// and instance.
func (p *program) wantPushed(t *testing.T, job string, want ...string) {
	t.Helper()
	bare := strings.NewReplacer(
		fmt.Sprintf(`,instance="",job=%q`, job), "",
		fmt.Sprintf(`{instance="",job=%q,`, job), "{",
		fmt.Sprintf(`{instance="",job=%q}`, job), "")
	var got []string
	for _, line := range p.pushedTo(t, job) {
		got = append(got, bare.Replace(line))
	}
	slices.Sort(got)
	slices.Sort(want)
	wantLines(t, "job "+job, got, want)
}

// exposedGroup returns the exposed samples of the job's groups, push times included.
func (p *program) exposedGroup(t *testing.T, job string) string {
	t.Helper()
	var group strings.Builder
	for line := range strings.Lines(p.get(t, "/metrics")) {
		if strings.Contains(line, fmt.Sprintf("job=%q", job)) {
			group.WriteString(line)
		}
	}
	return group.String()
}

// durable returns whether the gateway reports durable storage, and why not.
func (p *program) durable(t *testing.T) (durable bool, reason string) {
	t.Helper()
	var status struct {
		Data struct {
			Storage struct {
				Durable bool   `json:"durable"`
				Error   string `json:"error"`
			} `json:"storage"`
		} `json:"data"`
	}
	if err := json.Unmarshal([]byte(p.get(t, "/api/v1/status")), &status); err != nil {
		t.Fatal(err)
	}
	metric := "pushgateway_persistence_durable 0\n"
	if status.Data.Storage.Durable {
		metric = "pushgateway_persistence_durable 1\n"
	}
	wantText(t, p.get(t, "/metrics"), metric)
	return status.Data.Storage.Durable, status.Data.Storage.Error
}

// jobs returns the jobs that have any exposed sample, push times included.
func (p *program) jobs(t *testing.T) []string {
	t.Helper()
	var jobs []string
	for line := range strings.Lines(p.get(t, "/metrics")) {
		if _, rest, ok := strings.Cut(line, `job="`); ok && line[0] != '#' {
			job, _, _ := strings.Cut(rest, `"`)
			jobs = append(jobs, job)
		}
	}
	slices.Sort(jobs)
	return slices.Compact(jobs)
}

// wantJobs checks that exactly these jobs have groups.
func (p *program) wantJobs(t *testing.T, when string, want ...string) {
	t.Helper()
	slices.Sort(want)
	wantLines(t, "jobs "+when, p.jobs(t), want)
}

// awaitGone waits until none of the jobs has a group.
func (p *program) awaitGone(t *testing.T, jobs ...string) {
	t.Helper()
	until(t, fmt.Sprintf("the groups of %v are gone", jobs), func() bool {
		left := p.jobs(t)
		return !slices.ContainsFunc(jobs, func(job string) bool { return slices.Contains(left, job) })
	})
}

// groupsBody returns a bulk push of one gauge to each of n groups of a job, numbered
// from first.
func groupsBody(job string, first, n int) string {
	var b strings.Builder
	b.WriteString("# TYPE m gauge\n")
	for i := first; i < first+n; i++ {
		fmt.Fprintf(&b, "m{job=%q,instance=\"%d\"} %d\n", job, i, i)
	}
	return b.String()
}

// pushGroups creates the groups of groupsBody with one request.
func (p *program) pushGroups(t *testing.T, job string, first, n int) {
	t.Helper()
	a := p.do(t, http.MethodPost, bulkPath, groupsBody(job, first, n))
	if a.status != http.StatusOK {
		t.Fatalf("push to %d groups: %d %.500s", n, a.status, a.body)
	}
}

// groups returns the groups from the API. The headers can have a credential.
func (p *program) groups(t *testing.T, headers ...string) []groupInfo {
	t.Helper()
	var list struct {
		Data struct{ Groups []groupInfo }
	}
	if err := json.Unmarshal([]byte(p.get(t, "/api/v1/groups?limit=10000", headers...)), &list); err != nil {
		t.Fatal(err)
	}
	return list.Data.Groups
}

// wantPaths checks that exactly the groups with these paths exist.
func (p *program) wantPaths(t *testing.T, when string, paths ...string) {
	t.Helper()
	var got []string
	for _, g := range p.groups(t) {
		got = append(got, g.Path)
	}
	slices.Sort(got)
	slices.Sort(paths)
	wantLines(t, "groups "+when, got, paths)
}

// exposedPushed returns the exposed samples of all pushed metrics, with push times.
func (p *program) exposedPushed(t *testing.T) string {
	t.Helper()
	return strings.Join(withTimes(t, p.get(t, "/metrics")), "\n")
}
