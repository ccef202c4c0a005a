package test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

const jobsPage document = "docs/JOBS.md"

// script writes an executable shell script. No process is forked meanwhile: it would have the file
// open for writing for a moment, in which the script cannot be run.
func script(t *testing.T, path, text string) string {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestJobsPage runs the job of the page, and that of its CronJob.
func TestJobsPage(t *testing.T) {
	t.Parallel()
	p := start(t)
	dir := t.TempDir()
	backup := script(t, filepath.Join(dir, "backup"), "echo done\n")
	out := jobsPage.runWith(t, "backup", dir, printedAddr, p.Addr, "/usr/local/bin/backup", backup)
	if out != "done" {
		t.Errorf("the job printed %q", out)
	}
	wantText(t, p.pushed(t), `job_last_exit_code{instance="",job="backup"} 0`)

	_, text := jobsPage.block(t, "file", "cronjob.yml")
	var container struct{ Command, Args []string }
	if err := yaml.Unmarshal([]byte(jobsPage.replaced(t, text,
		"/bin/pushgateway", gatewayBinary(t), "http://pushgateway:9091", p.URL, "/usr/local/bin/cleanup", backup)), &container); err != nil {
		t.Fatal(err)
	}
	result(t, command(t, container.Command[0], append(container.Command[1:], container.Args...)...))
	wantText(t, p.pushed(t), `job_last_exit_code{instance="",job="cleanup"} 0`)
}

// TestCrontab has cron run the printed line, at the next full minute.
func TestCrontab(t *testing.T) {
	t.Parallel()
	if os.Getuid() != 0 {
		t.Fatal("run this test as root: cron reads only files of root")
	}
	p := start(t)
	dir := t.TempDir()
	spool := makeDir(t, dir, "spool")
	_, line := jobsPage.block(t, "file", "crontab")
	line = jobsPage.replaced(t, line, "http://"+printedAddr, p.URL, "0 3 * * *", "* * * * *",
		"/var/lock/backup", filepath.Join(dir, "lock"), "/var/spool/backup", spool,
		"/usr/local/bin/backup", script(t, filepath.Join(dir, "backup"), "echo 'backup_bytes 4096' > $PUSHGATEWAY_TEXTFILE\n"))
	path := "PATH=" + filepath.Dir(gatewayBinary(t)) + ":/usr/bin:/bin\n"
	writeFile(t, filepath.Join(makeDir(t, dir, "crontabs"), "root"), []byte(path+line))

	// A cron with only this crontab. Nobody else sees what is mounted.
	cron := begin(t, exec.Command("unshare", "--mount", "sh", "-e", "-c", `
		mount --bind /dev/null /etc/crontab
		mount -t tmpfs none /etc/cron.d
		mount -t tmpfs none /run
		mount --bind "$0" /var/spool/cron/crontabs
		exec cron -f`, filepath.Join(dir, "crontabs")))
	cron.wantCode = -1
	untilWithin(t, time.Minute+patience, "cron has run the job", func() bool {
		select {
		case <-cron.ended:
			t.Fatalf("cron ended: %v\n%s", cron.cmd.ProcessState, cron.log)
		default:
		}
		return strings.Contains(p.get(t, "/metrics"), "job_runs_total{")
	})
	wantText(t, p.pushed(t), `job_last_exit_code{instance="",job="backup"} 0`, `backup_bytes{instance="",job="backup"} 4096`,
		`job_schedule_interval_seconds{instance="",job="backup"} 86400`,
		`job_runs_total{instance="",job="backup",result="success",totals="run"} `)
	if left := names(t, spool); len(left) > 0 {
		t.Errorf("unsent results: %v", left)
	}
}
