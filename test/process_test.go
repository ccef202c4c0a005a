package test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

func TestPortInUse(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	addr := l.Addr().String()
	wantText(t, startFails(t, "--web.listen-address="+addr), addr, "address already in use")
}

// TestHangupWithoutRules: without a rules file, SIGHUP ends the gateway as it ends
// upstream, for instance when its terminal is closed.
func TestHangupWithoutRules(t *testing.T) {
	t.Parallel()
	p := start(t)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	p.wantCode = -1 // a signal
	p.wait(t)
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGHUP {
		t.Errorf("after SIGHUP: %v", p.cmd.ProcessState)
	}
}

// halfPush sends the headers of a push, and returns once the gateway waits for its
// body.
func halfPush(t *testing.T, addr string, length int) (net.Conn, *bufio.Reader) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	// A server answers 100 when the handler first reads the body.
	fmt.Fprintf(conn, "PUT /metrics/job/late HTTP/1.1\r\nHost: gateway\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", length)
	r := bufio.NewReader(conn)
	for line := ""; line != "\r\n"; {
		if line, err = r.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(line, "HTTP/") && !strings.HasPrefix(line, "HTTP/1.1 100 ") {
			t.Fatalf("got %q, want 100 Continue", line)
		}
	}
	return conn, r
}

func TestTermFinishesRequestInFlight(t *testing.T) {
	t.Parallel()
	const body = "late 1\n"
	p := start(t)
	conn, r := halfPush(t, p.Addr, len(body))

	p.terminate(t)
	until(t, "the gateway accepts no more connections", func() bool {
		c, err := net.Dial("tcp", p.Addr)
		if err == nil {
			c.Close()
		}
		return errors.Is(err, syscall.ECONNREFUSED)
	})
	if _, err := io.WriteString(conn, body); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("status %d, want 200", resp.StatusCode)
	}
	p.wait(t)
}

// TestTermCutsOffEndlessRequest: a client that never finishes its request does not
// keep the gateway from stopping. The exit code reports that a request was cut off.
func TestTermCutsOffEndlessRequest(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.wantCode = 1
	halfPush(t, p.Addr, 1000)
	p.terminate(t)
	p.wait(t)
}

func TestQuit(t *testing.T) {
	t.Parallel()
	for _, method := range []string{http.MethodPut, http.MethodPost} {
		t.Run(method, func(t *testing.T) {
			p := start(t, "--web.enable-lifecycle")
			if a := p.do(t, http.MethodGet, "/-/quit", ""); a.status != http.StatusMethodNotAllowed {
				t.Errorf("GET: status %d, want 405", a.status)
			}
			if a := p.do(t, method, "/-/quit", ""); a.status != http.StatusOK {
				t.Errorf("%s: status %d, want 200", method, a.status)
			}
			p.wait(t)
		})
	}
}

func TestTwoListenAddresses(t *testing.T) {
	t.Parallel()
	p := start(t, "--web.listen-address=127.0.0.1:0") // a second one
	addrs := p.addresses(t, 2)
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
	p.URL = "http://" + addrs[1]
	wantText(t, p.pushed(t), `m{instance="",job="a"} 1`)
}

func TestSystemdSocket(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	file, err := l.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	// LISTEN_PID names the process that the sockets are for. The shell knows its
	// own process id, which the gateway then gets.
	cmd := exec.Command("sh", "-c", `LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@"`,
		gatewayBinary(t), "--web.systemd-socket", "--persistence.file=")
	cmd.ExtraFiles = []*os.File{file}
	p := launch(t, cmd)
	if want := l.Addr().String(); p.Addr != want {
		t.Errorf("listens on %s, want the socket %s", p.Addr, want)
	}
	p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
}

// TestOneWarningPerRejectedPush: the log has who pushed what and why it was rejected,
// as client libraries often hide the answer.
func TestOneWarningPerRejectedPush(t *testing.T) {
	t.Parallel()
	p := start(t)
	p.push(t, http.MethodPut, "/metrics/job/fine", "# TYPE m counter\nm 1\n")
	for _, body := range []string{
		"stamped 1 1700000000000\n",
		"# TYPE m gauge\nm 2\n",
		"not a metric\n",
	} {
		t.Run(strings.TrimSpace(body), func(t *testing.T) {
			before := p.log.String()
			a := p.do(t, http.MethodPut, "/metrics/job/rejected/zone/north", body)
			if a.status != http.StatusBadRequest {
				t.Errorf("status %d, want 400", a.status)
			}
			var warnings []string
			until(t, "the rejection is logged", func() bool {
				warnings = levelWarn.FindAllString(strings.TrimPrefix(p.log.String(), before), -1)
				return len(warnings) > 0
			})
			if len(warnings) != 1 {
				t.Errorf("%d warnings, want 1:\n%s", len(warnings), strings.Join(warnings, "\n"))
			}
			reason := strings.TrimSpace(strings.SplitN(a.body, "\n", 2)[0])
			wantText(t, unquoted(warnings[0]), "127.0.0.1:", "rejected", "north", unquoted(reason))
		})
	}
}
