package test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestComposeUp starts the compose files with docker. Where no registry is at hand, the servers
// beside the gateway are those that are installed on this machine, in an image without files of
// its own. Grafana is left out.
func TestComposeUp(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.startDocker(t)
	s.run(t, "make", "image", "IMAGE_TOOL=docker")
	t.Run("Prometheus", s.composesPrometheus)
	t.Run("replicas", s.composesReplicas)
}

// composesPrometheus: Prometheus scrapes what is pushed, and evaluates all rules without an error.
func (s *sandbox) composesPrometheus(t *testing.T) {
	p := s.composeProject(t, filepath.Join("deploy", "compose"), map[string]service{"prometheus": {
		User:       "nobody",
		Entrypoint: []string{"prometheus", "--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus"},
	}})
	p.do(t, "up", "--detach", "pushgateway", "prometheus")
	s.awaitGateway(t, "http://localhost:9091", s.holder)
	s.push(t, "http://localhost:9091")
	until(t, "Prometheus has scraped the push", func() bool {
		out, _ := runToEnd(t, s.enter(t, "curl", "--silent", "--get", "--data-urlencode", `query=m{job="contained",instance=""}`,
			"http://localhost:9090/api/v1/query"))
		return strings.Contains(out, `"value":[`)
	})
	var rules struct {
		Data struct {
			Groups []struct {
				Rules []struct{ Name, LastError string }
			}
		}
	}
	if err := json.Unmarshal([]byte(s.curl(t, "http://localhost:9090/api/v1/rules")), &rules); err != nil {
		t.Fatal(err)
	}
	if len(rules.Data.Groups) == 0 {
		t.Error("Prometheus has no rules")
	}
	for _, group := range rules.Data.Groups {
		for _, rule := range group.Rules {
			if rule.LastError != "" {
				t.Errorf("%s: %s", rule.Name, rule.LastError)
			}
		}
	}
}

// composesReplicas: pushes are accepted while replicas stop, and after they have started again
// under other addresses.
func (s *sandbox) composesReplicas(t *testing.T) {
	const url = "http://localhost:9091"
	p := s.composeProject(t, filepath.Join("examples", "replicas"), map[string]service{
		"balancer": {Entrypoint: []string{"haproxy", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"}},
		"db": {User: "postgres", Entrypoint: []string{"sh", "-e", "-c", `
			cd /var/lib/postgresql/data
			PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
			initdb -D . -U "$POSTGRES_USER" --pwfile="$POSTGRES_PASSWORD_FILE" --auth=scram-sha-256
			echo host all all all scram-sha-256 >> pg_hba.conf
			echo "CREATE DATABASE $POSTGRES_USER" | postgres --single -D . postgres
			exec postgres -D . -k /tmp -c listen_addresses='*'`}},
	})
	writeFile(t, filepath.Join(p.dir, "password.txt"), []byte("secret\n"))
	if err := os.Chmod(filepath.Join(p.dir, "password.txt"), 0o644); err != nil {
		t.Fatal(err)
	}
	p.do(t, "up", "--detach")
	s.awaitGateway(t, url, s.holder)
	s.push(t, url)
	old := p.address(t, "gateway-a")
	p.do(t, "stop", "gateway-a")
	for range 5 {
		s.push(t, url)
	}

	s.run(t, "docker", "run", "--detach", "--name=other", "--network="+p.name+"_default", "--ip="+old, "pushgateway:"+version(t))
	p.do(t, "start", "gateway-a")
	if now := p.address(t, "gateway-a"); now == old {
		t.Errorf("gateway-a still has the address %s", old)
	}
	p.do(t, "stop", "gateway-b", "gateway-c")
	// Before HAProxy has looked gateway-a up again, the other gateway, which has its old address, may
	// accept a push. That one has not got what was pushed before.
	pushed := []string{`m{instance="",job="contained"} 1`, `n{instance="",job="contained"} 2`}
	until(t, "gateway-a accepts a push", func() bool {
		_, code := runToEnd(t, s.enter(t, "curl", "--silent", "--fail", "--data-binary", "n 2\n", url+"/metrics/job/contained"))
		if code != 0 {
			return false
		}
		text, _ := runToEnd(t, s.enter(t, "curl", "--silent", url+"/metrics"))
		return strings.Contains(text, pushed[0]) && strings.Contains(text, pushed[1])
	})
	p.do(t, "start", "gateway-b", "gateway-c")
	s.awaitGateway(t, url, s.holder)
	wantText(t, s.curl(t, url+"/metrics"), pushed...)
}

// service is what differs in a service whose image cannot be had.
type service struct {
	User       string   `json:"user,omitempty"`
	Entrypoint []string `json:"entrypoint"`
	Volumes    []string `json:"volumes"`
}

// composeProject is a compose file in the sandbox.
type composeProject struct {
	*sandbox
	name string
	dir  string // a copy of the file's folder
}

// composeProject prepares the compose file in a folder of the checkout. The services given run
// programs of this machine. Everything is removed when the test ends.
func (s *sandbox) composeProject(t *testing.T, folder string, services map[string]service) *composeProject {
	t.Helper()
	checkout := filepath.Join(t.TempDir(), "checkout")
	for _, copied := range []string{"deploy", "examples"} {
		if err := os.CopyFS(filepath.Join(checkout, copied), os.DirFS(filepath.Join(root, copied))); err != nil {
			t.Fatal(err)
		}
	}
	p := &composeProject{s, filepath.Base(folder), filepath.Join(checkout, folder)}
	var file struct {
		Services map[string]struct{ Image string }
	}
	if err := yaml.Unmarshal(readFile(t, filepath.Join(p.dir, "compose.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	for name, changed := range services {
		s.importImage(t, file.Services[name].Image)
		for _, shared := range []string{"/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/share"} {
			if _, err := os.Stat(shared); err == nil {
				changed.Volumes = append(changed.Volumes, shared+":"+shared+":ro")
			}
		}
		for i, word := range changed.Entrypoint {
			changed.Entrypoint[i] = strings.ReplaceAll(word, "$", "$$")
		}
		services[name] = changed
	}
	override, err := json.Marshal(map[string]any{
		"services": services,
		// Only in a network that is set up like this, an address can be asked for.
		"networks": map[string]any{"default": map[string]any{"ipam": map[string]any{"config": []map[string]string{{"subnet": "10.91.0.0/24"}}}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(p.dir, "override.json"), override)
	t.Cleanup(func() {
		if t.Failed() {
			log, _ := runToEnd(t, p.command(t, "logs", "--no-color"))
			t.Log(log)
		}
		runToEnd(t, s.enter(t, "docker", "rm", "--force", "--volumes", "other"))
		p.do(t, "down", "--volumes", "--timeout=5")
	})
	return p
}

// command returns a docker-compose command.
func (p *composeProject) command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	args = append([]string{"--project-name=" + p.name, "--file=" + filepath.Join(p.dir, "compose.yaml"),
		"--file=" + filepath.Join(p.dir, "override.json")}, args...)
	return p.enter(t, "docker-compose", args...)
}

// do runs a docker-compose command, which must succeed.
func (p *composeProject) do(t *testing.T, args ...string) {
	t.Helper()
	if out, code := runToEnd(t, p.command(t, args...)); code != 0 {
		t.Fatalf("docker-compose %s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
}

// address returns the address that a service has.
func (p *composeProject) address(t *testing.T, service string) string {
	t.Helper()
	return p.run(t, "docker", "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
		result(t, p.command(t, "ps", "--quiet", service)))
}

// importImage makes an image whose programs are to be mounted.
func (s *sandbox) importImage(t *testing.T, name string) {
	t.Helper()
	s.run(t, "sh", "-e", "-c", `
		cd "$1"
		mkdir -p usr etc tmp prometheus var/lib/postgresql/data
		for name in bin sbin lib lib64; do ln -sf usr/$name $name; done
		cp -r /etc/passwd /etc/group /etc/nsswitch.conf /etc/ld.so.* etc
		chmod 1777 tmp
		chown nobody prometheus
		chown postgres var/lib/postgresql/data
		chmod 700 var/lib/postgresql/data
		tar -c . | docker import - "$0"`, name, t.TempDir())
}

// version returns the version of this checkout.
func version(t *testing.T) string {
	t.Helper()
	return strings.TrimSpace(string(readFile(t, filepath.Join(root, "VERSION"))))
}
