package test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// bootScript starts systemd in namespaces of its own. It sees this machine's files, but what it
// writes is lost with it; it has folders for devices and processes, and a cgroup.
const bootScript = `
	mount -t tmpfs none "$1"
	mkdir "$1/upper" "$1/work" "$1/root"
	mount -t overlay overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" "$1/root"
	cd "$1/root"
	mount -t tmpfs none tmp
	mount -t tmpfs none run
	mount -t proc proc proc
	mount --bind proc/sys proc/sys
	mount -o remount,ro,bind proc/sys
	mount -t sysfs -o ro sysfs sys
	if [ -d /sys/fs/cgroup/systemd ]; then
		mount -t tmpfs -o mode=755 none sys/fs/cgroup
		mkdir sys/fs/cgroup/systemd
		mount -t cgroup -o none,name=systemd cgroup sys/fs/cgroup/systemd
	else
		mount -t cgroup2 cgroup sys/fs/cgroup
	fi
	mount -t tmpfs -o mode=755 none dev
	for d in null zero full random urandom tty; do mknod -m 666 dev/$d c $(stat -c '0x%t 0x%T' /dev/$d); done
	mkdir dev/shm dev/pts
	mount -t devpts -o newinstance,ptmxmode=0666 devpts dev/pts
	ln -s pts/ptmx dev/ptmx
	ln -s /proc/self/fd dev/fd
	ip link set lo up
	rm -f usr/sbin/policy-rc.d # which may forbid to start services
	cp "$2" root/pushgateway.deb
	pivot_root . mnt
	export container=test
	exec chroot . sh -c 'umount -l /mnt; exec /lib/systemd/systemd --unit=sysinit.target --log-target=console --show-status=false'`

// booted is a systemd that manages services on a copy of this machine.
type booted struct {
	*program
	pid string // of systemd
}

// boot starts systemd, and copies a package to /root/pushgateway.deb.
func boot(t *testing.T, deb string) *booted {
	t.Helper()
	groups := "/sys/fs/cgroup"
	if _, err := os.Stat(groups + "/systemd"); err == nil {
		groups += "/systemd"
	}
	group := filepath.Join(groups, fmt.Sprint("pushgateway-boot-", os.Getpid()))
	t.Cleanup(func() {
		until(t, group+" is empty", func() bool {
			_, code := runToEnd(t, exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", "+"))
			return code == 0
		})
	})
	b := &booted{program: begin(t, exec.Command("sh", "-e", "-c", `
		mkdir "$0"
		echo $$ > "$0/cgroup.procs"
		exec unshare --mount --pid --net --uts --ipc --cgroup --fork --kill-child sh -e -c "$3" sh "$1" "$2"`,
		group, t.TempDir(), deb, bootScript))}
	t.Cleanup(func() {
		if t.Failed() && b.pid != "" {
			log, _ := runToEnd(t, b.enter(t, "journalctl --no-pager --unit=pushgateway --unit=prometheus-pushgateway"))
			t.Log(log)
		}
		b.kill(t)
	})
	until(t, "systemd runs", func() bool {
		select {
		case <-b.ended:
			t.Fatalf("%s ended: %v\n%s", b.cmd, b.cmd.ProcessState, b.log)
		default:
		}
		unshare := b.cmd.Process.Pid
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", unshare, unshare))
		if b.pid = strings.TrimSpace(string(children)); b.pid == "" {
			return false
		}
		out, _ := runToEnd(t, b.enter(t, "systemctl is-active sysinit.target"))
		return out == "active\n"
	})
	return b
}

// enter returns a shell command on the booted machine.
func (b *booted) enter(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	return exec.Command("nsenter", "--target", b.pid, "--mount", "--pid", "--net", "--uts", "--ipc", "--cgroup", "--root", "--wd",
		"--", "sh", "-e", "-c", line)
}

// run runs a shell command on the booted machine, which must succeed, and returns its output.
func (b *booted) run(t *testing.T, line string) string {
	t.Helper()
	return result(t, b.enter(t, line))
}

// checkService installs a package where systemd runs Debian's gateway, and then does with the
// service what an administrator does.
func checkService(t *testing.T, deb string) {
	b := boot(t, deb)
	const url = "http://localhost:9091"
	settings := func(flags string) {
		b.run(t, `echo 'ARGS="`+flags+`"' > /etc/default/prometheus-pushgateway`)
	}
	wantOld := func(when string) {
		t.Helper()
		until(t, when+", what was pushed to Debian's gateway is there", func() bool {
			out, _ := runToEnd(t, b.enter(t, "curl --silent "+url+"/metrics"))
			return strings.Contains(out, "\nold{instance=\"\",job=\"a\"} 1\n")
		})
	}
	wantState := func(when, want string) {
		t.Helper()
		got, _ := runToEnd(t, b.enter(t, "systemctl is-enabled pushgateway; systemctl is-active pushgateway"))
		if got := strings.Join(strings.Fields(got), " "); got != want {
			t.Errorf("%s, the service is %s, want %s", when, got, want)
		}
	}
	install := func() string {
		return b.run(t, "apt-get install --yes --reinstall --no-install-recommends /root/pushgateway.deb 2>&1")
	}

	settings("--persistence.file=/var/lib/prometheus/pushgateway.data --persistence.interval=10ms")
	b.run(t, "systemctl start prometheus-pushgateway")
	b.run(t, "echo old 1 | curl --silent --retry 20 --retry-connrefused --fail --data-binary @- "+url+"/metrics/job/a")
	install()
	wantState("after the first install", "enabled active")
	wantOld("after the first install")
	if name := b.run(t, "systemctl show --property=Id --value prometheus-pushgateway"); name != "pushgateway.service" {
		t.Errorf("the service prometheus-pushgateway is %s", name)
	}
	b.run(t, "systemctl reload pushgateway")
	before := b.run(t, "systemctl show --property=MainPID pushgateway")
	wantState("after a reload", "enabled active")
	install()
	wantState("after an upgrade", "enabled active")
	if after := b.run(t, "systemctl show --property=MainPID pushgateway"); before == after {
		t.Error("an upgrade does not restart the service")
	}
	wantOld("after an upgrade")

	b.run(t, "systemctl disable --now pushgateway")
	install()
	if got, _ := runToEnd(t, b.enter(t, "systemctl is-active pushgateway")); got != "inactive\n" {
		t.Errorf("an upgrade starts a service that was stopped: %s", got)
	}
	b.run(t, "dpkg --remove pushgateway")
	settings("--no-such-flag")
	wantText(t, install(), "pushgateway.service does not start")
	settings("--web.systemd-socket --persistence.file=/var/lib/prometheus/pushgateway.data")
	b.run(t, "systemctl stop pushgateway; systemctl reset-failed pushgateway; systemctl enable --now pushgateway.socket")
	wantOld("through the socket")
	wantState("with the socket", "enabled active")
	b.run(t, "systemctl restart --no-block pushgateway; for i in 1 2 3 4 5; do curl --silent --fail "+url+"/-/healthy; done")
	b.run(t, "dpkg --purge pushgateway")
	if got, _ := runToEnd(t, b.enter(t, "systemctl is-active pushgateway.service pushgateway.socket")); got != "inactive\ninactive\n" {
		t.Errorf("after a removal: %s", got)
	}
}
