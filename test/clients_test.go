package test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// The tests whose names start with TestClients run the examples of docs/CLIENTS.md with the
// clients that they are for: make test-clients.

// A clientTask is what the page shows with each client, in the examples TASK-CLIENT.
type clientTask struct {
	name    string
	clients []string // those whose examples run
	replays []string // those whose requests are replayed, since the client may not be there
	secured bool     // the gateway has the auth file of the page
}

var clientTasks = []clientTask{
	{
		name:    "keys",
		clients: []string{"curl", "wget", "python", "go", "javascript", "cpp", "ruby"},
		replays: []string{"powershell", "java"},
	},
	{
		name:    "auth",
		clients: []string{"curl", "wget", "python", "go", "javascript", "cpp", "ruby"},
		replays: []string{"powershell", "java"},
		secured: true,
	},
	{
		name:    "gzip",
		clients: []string{"curl", "wget", "python", "go", "javascript", "ruby"},
		replays: []string{"java"},
	},
}

// begin starts the gateway of the task.
func (c clientTask) begin(t *testing.T) *program {
	t.Helper()
	if !c.secured {
		return start(t)
	}
	file := filepath.Join(t.TempDir(), "auth.yml")
	_, text := clientExamples.block(t, "file", "auth.yml")
	writeFile(t, file, []byte(text))
	return start(t, "--auth.file="+file)
}

// end checks what the example of the client has pushed.
func (c clientTask) end(t *testing.T, p *program, client string) {
	t.Helper()
	const job = "/metrics/job/backup"
	token := []string{"Authorization", "Bearer pgw_example_ci"}
	switch c.name {
	case "keys":
		_, want := clientExamples.block(t, "result", "keys")
		wantLines(t, client, samplesOf(t, p.get(t, "/metrics")), samplesOf(t, want))
		p.wantPaths(t, client, job+"/database@base64/=", job+"/database@base64/L3Nydi9kYXRh",
			job+"/database/two%20words", job+"/database/K%C3%B6ln")
	case "auth":
		want := []string{job + "/database/basic", job + "/database/bearer"}
		switch client {
		case "cpp": // sends no tokens
			want = want[:1]
		case "ruby":
			want = []string{job + "/instance/basic", job + "/instance/bearer"}
		}
		var got []string
		for _, g := range p.groups(t, token...) {
			got = append(got, g.Path)
		}
		slices.Sort(got)
		wantLines(t, client, got, want)
	case "gzip":
		wantLines(t, client, samplesOf(t, p.get(t, "/metrics")), []string{`backup_bytes{instance="",job="backup"} 4096`})
	}
}

// onlyGzip starts a proxy for the gateway that accepts only bodies with gzip, and returns its
// address.
func onlyGzip(t *testing.T, p *program) (addr string) {
	t.Helper()
	target, err := url.Parse(p.URL)
	if err != nil {
		t.Fatal(err)
	}
	forward := httputil.NewSingleHostReverseProxy(target)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Encoding") != "gzip" {
			http.Error(w, "the body has no gzip", http.StatusUnsupportedMediaType)
			return
		}
		forward.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

// addrFor returns the address that the examples of the task push to.
func (c clientTask) addrFor(t *testing.T, p *program) string {
	t.Helper()
	if c.name == "gzip" {
		return onlyGzip(t, p)
	}
	return p.Addr
}

func TestClients(t *testing.T) {
	t.Parallel()
	for _, task := range clientTasks {
		for _, client := range task.clients {
			if client == "go" { // TestClientsGo
				continue
			}
			t.Run(task.name+"-"+client, func(t *testing.T) {
				t.Parallel()
				p := task.begin(t)
				clientExamples.run(t, task.name+"-"+client, t.TempDir(), task.addrFor(t, p))
				task.end(t, p, client)
			})
		}
	}
}

// TestClientsGo builds all Go programs together.
func TestClientsGo(t *testing.T) {
	t.Parallel()
	gateways, programs := make([]*program, len(clientTasks)), map[string]string{}
	for i, task := range clientTasks {
		gateways[i] = task.begin(t)
		programs[task.name] = clientExamples.goExample(t, task.name+"-go", task.addrFor(t, gateways[i]))
	}
	dir := buildPrinted(t, programs)
	for i, task := range clientTasks {
		result(t, command(t, filepath.Join(dir, task.name)))
		task.end(t, gateways[i], "go")
	}
}

// TestClientsNotice: each client fails with a wrong password.
func TestClientsNotice(t *testing.T) {
	t.Parallel()
	for _, task := range clientTasks {
		if !task.secured {
			continue
		}
		for _, client := range task.clients {
			if client == "go" || client == "cpp" { // slow to build, and TestClients runs the same code
				continue
			}
			t.Run(client, func(t *testing.T) {
				t.Parallel()
				p := task.begin(t)
				cmd := clientExamples.command(t, task.name+"-"+client, t.TempDir(), p.Addr)
				replaceArg(cmd, "secret", "wrong")
				if out, code := runToEnd(t, cmd); code == 0 {
					t.Errorf("exit code 0 with a wrong password; it printed:\n%s", out)
				}
				if groups := p.groups(t, "Authorization", "Bearer pgw_example_ci"); len(groups) > 0 {
					t.Errorf("there are groups: %v", groups)
				}
			})
		}
	}
}

// replaceArg replaces text in the arguments of a command.
func replaceArg(cmd *exec.Cmd, from, to string) {
	for i := range cmd.Args {
		cmd.Args[i] = strings.ReplaceAll(cmd.Args[i], from, to)
	}
}
