package test

import (
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"strings"
	"testing"
)

// pythonPushes sends the same large push 20 times, each over a new connection, and prints the
// statuses. http.client sends the whole body before it reads anything.
const pythonPushes = `
import http.client, sys
for _ in range(20):
    c = http.client.HTTPConnection(sys.argv[1])
    try:
        c.request("POST", sys.argv[2], b"m 1\n" * 2_000_000)
        r = c.getresponse()
        print(r.status, len(r.read()) > 0)
    except OSError as e:
        print(e)
`

// TestRejectionReachesPython: a client that reads nothing before it has sent all of a body of
// 8 MB sees why it is rejected.
func TestRejectionReachesPython(t *testing.T) {
	p := start(t)
	for path, status := range map[string]int{
		"/metrics/job/a/l":           http.StatusBadRequest,
		"/metrics/job/a?ttl=soon":    http.StatusBadRequest,
		"/metrics/jobs/a":            http.StatusNotFound,
		"/metrics":                   http.StatusMethodNotAllowed,
		"/api/v1/push?unknown=x":     http.StatusBadRequest,
		"/with/ttl=1h/merge/metrics": http.StatusNotFound,
	} {
		t.Run(path, func(t *testing.T) {
			got := result(t, command(t, "python3", "-c", pythonPushes, p.Addr, path))
			if want := strings.Repeat(fmt.Sprintf("%d True\n", status), 20); strings.TrimSpace(got)+"\n" != want {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

const outOfDescriptors = "too many open files"

// TestFewDescriptors: with fewer descriptors than connections may be open, the gateway allows no more
// connections than it has descriptors for, and says so. Idle ones keep nobody out.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	p := launch(t, exec.Command("sh", "-c", `ulimit -n 256 && exec "$0" "$@"`, gatewayBinary(t), "--web.listen-address=127.0.0.1:0"))
	wantText(t, p.log.String(), "fewer connections than --web.max-connections", "connections=192 flag=8192 listeners=1 descriptors=256")
	for range 300 {
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	if open := p.value(t, "process_open_fds"); open > 256-32 {
		t.Errorf("%v descriptors are open", open)
	}
	if strings.Contains(p.log.String(), outOfDescriptors) {
		t.Error("descriptors ran out")
	}
}

// TestDescriptorsRunOut: a gateway that can accept no more connections says so in its log,
// without a line for each try, and goes on once it can.
func TestDescriptorsRunOut(t *testing.T) {
	p := launch(t, exec.Command("sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, gatewayBinary(t),
		"--web.listen-address=127.0.0.1:0", "--persistence.file=", "--web.max-connections=0"))
	var connections []net.Conn
	for range 100 {
		conn, err := net.Dial("tcp", p.Addr)
		if err != nil {
			t.Fatal(err)
		}
		connections = append(connections, conn)
	}
	until(t, "the lack of descriptors is logged", func() bool { return strings.Contains(p.log.String(), outOfDescriptors) })
	for line := range strings.Lines(p.log.String()) {
		if strings.Contains(line, outOfDescriptors) && !strings.Contains(line, "level=error") {
			t.Errorf("not logged as an error: %s", line)
		}
	}
	for _, conn := range connections {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	}
	until(t, "the gateway answers again", func() bool {
		a, err := p.try(http.MethodGet, "/-/healthy", "")
		return err == nil && a.status == http.StatusOK
	})
}

// TestOtherSites: nothing changes because a browser shows a page of another site, and clients
// that are not browsers notice nothing.
func TestOtherSites(t *testing.T) {
	p := start(t, "--web.enable-lifecycle", "--web.enable-admin-api")
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	changes := []struct {
		method, path string
		status       int // without the headers of a browser
	}{
		{http.MethodPost, "/metrics/job/a", http.StatusOK},
		{http.MethodPut, "/metrics/job@base64/YQ", http.StatusOK},
		{http.MethodPost, "/api/v1/push?group_by=job", http.StatusOK},
		{http.MethodPost, "/-/reload", http.StatusNotFound}, // there is no rules file
		{http.MethodPost, "/delete", http.StatusBadRequest},
		{http.MethodDelete, "/api/v1/groups?match[]=%7Bjob=%22b%22%7D", http.StatusOK},
		{http.MethodDelete, "/metrics/job/b", http.StatusAccepted},
		{http.MethodPut, "/api/v1/admin/wipe", http.StatusAccepted},
		{http.MethodPost, "/-/quit", http.StatusOK},
	}
	for _, c := range changes {
		for _, header := range [][]string{{"Sec-Fetch-Site", "cross-site"}, {"Sec-Fetch-Site", "same-site"}, {"Origin", "http://evil.example"}} {
			if a := p.do(t, c.method, c.path, "", header...); a.status != http.StatusForbidden {
				t.Errorf("%s %s with %s: status %d", c.method, c.path, header, a.status)
			}
		}
	}
	p.wantJobs(t, "after requests of other sites", "a")
	for _, c := range changes {
		if a := p.do(t, c.method, c.path, ""); a.status != c.status {
			t.Errorf("%s %s: status %d, want %d", c.method, c.path, a.status, c.status)
		}
	}
	p.wait(t)
}

// TestHugeURL: a path of 240 kB, which names 40,000 labels, is not looked at.
func TestHugeURL(t *testing.T) {
	p := start(t)
	var path strings.Builder
	path.WriteString("/metrics/job/a")
	for i := range 40_000 {
		fmt.Fprintf(&path, "/l%d/v", i)
	}
	a := p.do(t, http.MethodPut, path.String(), "m 1\n")
	if a.status != http.StatusRequestURITooLong {
		t.Errorf("status %d: %s", a.status, a.body)
	}
	wantText(t, a.body, "bytes")
}

// TestSuggestedURLs pushes to wrong URLs of a gateway with a route prefix, and then to the URL
// that the answer suggests.
func TestSuggestedURLs(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.route-prefix=/pg")
	for path, want := range map[string]string{
		"/pg":                           "/pg/metrics/job/my_job",
		"/pg/metrics":                   "/pg/metrics/job/my_job",
		"/pg/metrics/jobs/x":            "/pg/metrics/job/x",
		"/pg/metrics/job/x/instance/y/": "/pg/metrics/job/x/instance/y",
		"/metrics/job/x":                "/pg/metrics/job/x",
		"/PG/metrics/job/x%2Fy":         "/pg/metrics/job@base64/eC95",
	} {
		a := p.do(t, "POST", path, "m 1\n")
		if a.status < 400 || !strings.Contains(a.body, "use the URL '"+p.URL+want+"'") {
			t.Errorf("%s: %v, want %s", path, a, want)
		}
		p.push(t, "POST", want, "m 1\n")
	}
	for _, path := range []string{"//pg/metrics/job/x", "/pg//metrics/job/x", "//pg//metrics/job/x/path/a%2Fb"} {
		p.push(t, "POST", path, "m 1\n")
	}
}
