package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"testing"
)

// sandbox runs docker and podman with a storage, a network and mounts of their own, so that
// the machine keeps none of their containers, volumes, bridges and firewall rules.
type sandbox struct {
	*builder
	holder *program // the process whose namespaces these are
}

func newSandbox(t *testing.T) *sandbox {
	t.Helper()
	s := &sandbox{builder: newBuilder(t)}
	// Limits that need no right to raise them, and no cgroups.
	s.setFile(t, "CONTAINERS_CONF", `[containers]
default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
cgroups = "disabled"
[engine]
runtime = "crun"
`)
	s.env = append(s.env, "DISABLE_HC_SYSTEMD=true", "DOCKER_HOST=unix://"+filepath.Join(s.dir, "docker.sock"))
	// crun does not run where both versions of cgroups are in use, so one is hidden from it.
	s.holder = begin(t, exec.Command("unshare", "--mount", "--net", "sh", "-e", "-c", `
		if [ -d /sys/fs/cgroup/unified ]; then umount /sys/fs/cgroup/unified; fi
		ip link set lo up
		echo ready
		exec sleep infinity`))
	s.holder.wantCode = -1
	until(t, "the namespaces are there", func() bool { return s.holder.log.String() == "ready\n" })
	t.Cleanup(func() { s.run(t, "podman", "rm", "--all", "--force", "--volumes") })
	return s
}

// enter returns a command that runs in the sandbox, at the root of the checkout.
func (s *sandbox) enter(t *testing.T, name string, args ...string) *exec.Cmd {
	t.Helper()
	dir, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	args = append([]string{"--target", strconv.Itoa(s.holder.cmd.Process.Pid), "--mount", "--net", "--wd=" + dir, "--", name}, args...)
	cmd := exec.Command("nsenter", args...)
	cmd.Env = append(os.Environ(), s.env...)
	return cmd
}

// run runs a command in the sandbox and returns its output.
func (s *sandbox) run(t *testing.T, name string, args ...string) string {
	t.Helper()
	return result(t, s.enter(t, name, args...))
}

var memoryGroup = regexp.MustCompile(`(?m)^\d+:memory:/(.*)$`)

// startDocker starts a docker daemon.
func (s *sandbox) startDocker(t *testing.T) {
	t.Helper()
	settings := filepath.Join(s.dir, "daemon.json")
	writeFile(t, settings, []byte("{}\n"))
	args := []string{"--log-level=warn", "--config-file=" + settings, "--storage-driver=vfs", "--data-root=" + filepath.Join(s.dir, "docker"),
		"--exec-root=" + filepath.Join(s.dir, "exec"), "--pidfile=" + filepath.Join(s.dir, "docker.pid"),
		"--host=unix://" + filepath.Join(s.dir, "docker.sock")}
	if m := memoryGroup.FindStringSubmatch(string(readFile(t, "/proc/self/cgroup"))); m != nil {
		// The memory of containers counts as that of the tests.
		group := fmt.Sprint("pushgateway-test-", os.Getpid())
		args = append(args, "--cgroup-parent="+filepath.Join("/", m[1], group))
		t.Cleanup(func() {
			result(t, exec.Command("find", "/sys/fs/cgroup", "-ignore_readdir_race", "-depth", "-type", "d", "-path", "*/"+group+"*",
				"-exec", "rmdir", "{}", ";"))
		})
	}
	daemon := begin(t, s.enter(t, "dockerd", args...))
	until(t, "docker answers", func() bool {
		select {
		case <-daemon.ended:
			t.Fatalf("%s ended: %v\n%s", daemon.cmd, daemon.cmd.ProcessState, daemon.log)
		default:
		}
		_, code := runToEnd(t, s.enter(t, "docker", "version"))
		return code == 0
	})
}

// curl sends a request from the sandbox's network, and returns the response.
func (s *sandbox) curl(t *testing.T, args ...string) string {
	t.Helper()
	return s.run(t, "curl", append([]string{"--silent", "--show-error", "--fail-with-body"}, args...)...)
}

// awaitGateway waits until a gateway in the sandbox is ready, which p runs.
func (s *sandbox) awaitGateway(t *testing.T, url string, p *program) {
	t.Helper()
	until(t, url+" is ready", func() bool {
		select {
		case <-p.ended:
			t.Fatalf("%s ended: %v", p.cmd, p.cmd.ProcessState)
		default:
		}
		_, code := runToEnd(t, s.enter(t, "curl", "--silent", "--fail", url+"/-/ready"))
		return code == 0
	})
}

// TestRunImage: what the pages say runs the image with docker and podman.
func TestRunImage(t *testing.T) {
	for _, tool := range []string{"podman", "docker"} {
		t.Run(tool, func(t *testing.T) {
			t.Parallel()
			s := newSandbox(t)
			if tool == "docker" {
				s.startDocker(t)
			}
			s.run(t, "make", "image", "IMAGE_TOOL="+tool) // what follows is waited for, and finds all built
			t.Run("volume", func(t *testing.T) { s.keepsData(t, tool) })
			t.Run("confined", func(t *testing.T) { s.runsConfined(t, tool) })
		})
	}
}

// keepsData: what was pushed is still there after the container was stopped and run again.
func (s *sandbox) keepsData(t *testing.T, tool string) {
	_, code := readme.block(t, "run", "image")
	const url = "http://" + printedAddr
	for _, restarted := range []bool{false, true} {
		p := begin(t, s.enter(t, "env", "IMAGE_TOOL="+tool, "sh", "-e", "-c", code))
		s.awaitGateway(t, url, p)
		if restarted {
			wantText(t, s.curl(t, url+"/metrics"), `m{instance="",job="contained"} 1`)
		}
		s.push(t, url)
		s.run(t, tool, "stop", s.run(t, tool, "ps", "--quiet"))
		p.wait(t)
		p.noWarnings(t)
	}
	// Each tool names the image by the checksum that make image computed.
	want := strings.TrimSpace(string(readFile(t, filepath.Join(s.dir, "image-"+runtime.GOARCH, "id"))))
	got := s.run(t, tool, "images", "--no-trunc", "--format", "{{.ID}}")
	if !strings.HasPrefix(want, "sha256:") || got != want {
		t.Errorf("the image's ID is %s, want %s", got, want)
	}
}

// runsConfined: the image runs with a read-only root, as a user that it does not know, without
// capabilities, and is found healthy only if it answers at the URL that it was given.
func (s *sandbox) runsConfined(t *testing.T, tool string) {
	_, line := installPage.block(t, "run", "docker")
	for prefix, want := range map[string]string{"/gate": "healthy", "/other": "unhealthy"} {
		code := installPage.replaced(t, strings.TrimSpace(line), "docker run", tool+" run --name gate"+
			" --read-only --user 1000680000 --cap-drop ALL --health-interval 1s --health-retries 1"+
			" --env PUSHGATEWAY_URL=http://"+printedAddr+"/gate", "pushgateway-data:", want+":")
		url := "http://" + printedAddr + prefix
		p := begin(t, s.enter(t, "sh", "-e", "-c", "exec "+code+" --web.route-prefix="+prefix))
		s.awaitGateway(t, url, p)
		s.push(t, url)
		until(t, "the container is "+want, func() bool {
			if tool == "podman" { // which leaves it to systemd to check again and again
				runToEnd(t, s.enter(t, tool, "healthcheck", "run", "gate"))
			}
			return s.run(t, tool, "inspect", "--format", "{{.State.Health.Status}}", "gate") == want
		})
		s.run(t, tool, "stop", "gate")
		p.wait(t)
		p.noWarnings(t)
	}
}

// push pushes the metric m to a gateway in the sandbox.
func (s *sandbox) push(t *testing.T, url string) {
	t.Helper()
	s.curl(t, "--data-binary", "m 1\n", url+"/metrics/job/contained")
}

// noWarnings checks that a gateway has logged nothing but information.
func (p *program) noWarnings(t *testing.T) {
	t.Helper()
	if log := p.log.String(); !strings.Contains(log, "Listening on") || strings.Contains(log, "level=warn") {
		t.Errorf("%s logs\n%s", p.cmd, log)
	}
}
