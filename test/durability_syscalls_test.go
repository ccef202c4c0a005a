package test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"pushgateway/internal/journal"
)

// traced starts the gateway under strace, which writes what it sees to output.
// The gateway is the direct child, so that signals and the exit code are its own.
func traced(t *testing.T, file, output string, options []string, args ...string) *program {
	t.Helper()
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatalf("install strace, as scripts/setup does: %v", err)
	}
	all := slices.Concat([]string{"-D", "-f", "-y", "-o", output}, options,
		[]string{gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file=" + file}, args)
	return launch(t, exec.Command(strace, all...))
}

// A call is a system call as strace wrote it down. begin and end are lines of its
// output: what ends on an earlier line than another begins was over by then.
type call struct {
	name       string
	args       string
	begin, end int
	ok         bool
}

var (
	wholeCall  = regexp.MustCompile(`^(\d+) +(\w+)\((.*)\) += (-?\d+)`)
	begunCall  = regexp.MustCompile(`^(\d+) +(\w+)\((.*) <unfinished \.\.\.>$`)
	resumeCall = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)`)
)

func readTrace(t *testing.T, path string) []call {
	t.Helper()
	var calls []call
	under := map[string]int{} // by thread, the call that it is in
	for i, line := range strings.Split(string(readFile(t, path)), "\n") {
		if m := resumeCall.FindStringSubmatch(line); m != nil {
			at, ok := under[m[1]]
			if !ok {
				t.Fatalf("line %d of the trace ends a call that did not begin: %.200s", i+1, line)
			}
			c := &calls[at]
			c.args, c.end, c.ok = c.args+m[3], i, m[4][0] != '-'
			delete(under, m[1])
		} else if m := begunCall.FindStringSubmatch(line); m != nil {
			under[m[1]] = len(calls)
			calls = append(calls, call{name: m[2], args: m[3], begin: i, end: 1 << 60})
		} else if m := wholeCall.FindStringSubmatch(line); m != nil {
			calls = append(calls, call{m[2], m[3], i, i, m[4][0] != '-'})
		}
	}
	return calls
}

// on reports whether the call is one on this file, by what strace says behind the
// descriptor.
func (c call) on(file string) bool {
	_, rest, _ := strings.Cut(c.args, "<")
	name, _, _ := strings.Cut(rest, ">")
	return name == file
}

func (c call) syncs(file string) bool {
	return (c.name == "fdatasync" || c.name == "fsync") && c.ok && c.on(file)
}

// position is the offset of a pwrite64, its last argument.
func (c call) position(t *testing.T) int64 {
	t.Helper()
	n, err := strconv.ParseInt(strings.TrimSpace(c.args[strings.LastIndex(c.args, ",")+1:]), 10, 64)
	if err != nil {
		t.Fatalf("offset of %.100s…: %v", c.args, err)
	}
	return n
}

// data is what a pwrite64 writes.
func (c call) data(t *testing.T) []byte {
	t.Helper()
	from, to := strings.Index(c.args, `"`), strings.LastIndex(c.args, `"`)
	if from < 0 || to <= from {
		t.Fatalf("no data in %.100s…", c.args)
	}
	if strings.HasPrefix(c.args[to:], `"...`) {
		t.Fatal("strace cut the data of a write short")
	}
	hex := strings.Split(c.args[from+1:to], `\x`)[1:]
	data := make([]byte, len(hex))
	for i, h := range hex {
		b, err := strconv.ParseUint(h, 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		data[i] = byte(b)
	}
	return data
}

// exchange is a request as the trace shows it.
type exchange struct {
	marker       string
	read, answer int // lines; answer is far behind the end where none came
}

var (
	// The server reads the first bytes of a connection by themselves, to see whether it is HTTP/2.
	firstBytes = regexp.MustCompile(`^(\d+)<[^>]*>, "([A-Z][^"]*)", 14$`)
	// It may have read the first letter by itself, to see whether the client is still there.
	requestLine  = regexp.MustCompile(`^(\d+)<[^>]*>, "[A-Z]+ /metrics/job/([\w-]+)[/ ]`)
	responseLine = regexp.MustCompile(`^(\d+)<[^>]*>, "HTTP/1\.1 (\d+)`)
)

// TestSyncBeforeAnswer looks at the order of system calls: between reading a
// request and writing its 200 or 202, the push or delete is written, and then a sync
// begins and ends. A power failure is then tried at every one of these calls.
func TestSyncBeforeAnswer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file, output := filepath.Join(dir, "f.db"), filepath.Join(dir, "trace")
	gateway(t, file).end(t) // makes the file, which is durable from the beginning
	image := readFile(t, file)
	p := traced(t, file, output, []string{"-s", "1048576", "-e", "trace=read,write,pwrite64,fdatasync,fsync,ftruncate"})
	p.awaitReady(t)

	pushes := map[string][]int{} // by group, the values in order; 0 for a delete
	var mu sync.Mutex            // guards pushes
	request := func(group string, value int) {
		mu.Lock()
		pushes[group] = append(pushes[group], value)
		mu.Unlock()
		method, body, want := http.MethodPut, groupBody("mn", value)+"# "+marker(group, value)+"\n", http.StatusOK
		if value == 0 {
			method, body, want = http.MethodDelete, "", http.StatusAccepted
		}
		if a, err := p.try(method, "/metrics/job/"+group, body); err != nil || a.status != want {
			t.Errorf("%s %s: %v %d %s", method, group, err, a.status, a.body)
		}
	}
	for value := range 4 {
		request("alone-a", value+1)
		request("alone-b", (value+1)%3)
	}
	var clients sync.WaitGroup
	for c := range 6 {
		clients.Go(func() {
			for value := range 3 {
				request(fmt.Sprintf("together-%d", c), 100*c+value+1)
			}
		})
	}
	clients.Wait()
	p.end(t)

	calls := readTrace(t, hexTrace(t, output))
	var exchanges []exchange
	first := map[string]string{} // bytes of a connection by descriptor
	open := map[string]int{}     // by descriptor
	seen := map[string]int{}     // requests by group
	for _, c := range calls {
		args := c.args
		if c.name == "read" && c.ok {
			if m := firstBytes.FindStringSubmatch(args); m != nil {
				first[m[1]] = m[2]
				continue
			}
			descriptor, _, _ := strings.Cut(args, "<")
			args = strings.Replace(args, `, "`, `, "`+first[descriptor], 1)
			delete(first, descriptor)
			if m := requestLine.FindStringSubmatch(args); m != nil {
				open[m[1]] = len(exchanges)
				exchanges = append(exchanges, exchange{marker(m[2], seen[m[2]]), c.end, 1 << 60})
				seen[m[2]]++
			}
		} else if c.name == "write" {
			if m := responseLine.FindStringSubmatch(args); m != nil {
				if at, ok := open[m[1]]; ok && m[2][0] == '2' {
					exchanges[at].answer = c.begin
					delete(open, m[1])
				}
			}
		}
	}
	if len(exchanges) != 26 {
		t.Fatalf("the trace has %d requests, want 26", len(exchanges))
	}
	for _, x := range exchanges {
		if x.answer == 1<<60 {
			t.Fatalf("the trace has no answer to %s", x.marker)
		}
		group, _, _ := strings.Cut(x.marker, "#")
		var wrote, synced bool
		written := 0
		for _, c := range calls {
			if c.begin < x.read || c.end >= x.answer {
				continue
			}
			if c.name == "pwrite64" && c.on(file) && strings.Contains(string(c.data(t)), group) {
				wrote, synced, written = true, false, c.end
			}
			if wrote && c.syncs(file) && c.begin > written {
				synced = true
				break
			}
		}
		if !synced {
			t.Errorf("%s was answered before it was on disk: it was written: %v, then synced: %v", x.marker, wrote, synced)
		}
	}
	powerFailures(t, file, image, calls, exchanges, pushes)
}

// marker names the n-th request for a group.
func marker(group string, n int) string { return fmt.Sprintf("%s#%d", group, n) }

func requestNumber(marker string) int {
	_, n, _ := strings.Cut(marker, "#")
	number, err := strconv.Atoi(n)
	if err != nil {
		panic(err)
	}
	return number
}

// hexTrace rewrites the data of writes to the file in hexadecimal, all of it, which
// strace itself does only for all calls or none.
func hexTrace(t *testing.T, path string) string {
	t.Helper()
	lines := strings.Split(string(readFile(t, path)), "\n")
	for i, line := range lines {
		if !strings.Contains(line, " pwrite64(") {
			continue
		}
		from, to := strings.Index(line, `, "`), strings.LastIndex(line, `"`)
		if from < 0 || to <= from+2 {
			continue
		}
		var hex strings.Builder
		for _, b := range unescape(line[from+3 : to]) {
			fmt.Fprintf(&hex, `\x%02x`, b)
		}
		lines[i] = line[:from+3] + hex.String() + line[to:]
	}
	out := path + ".hex"
	writeFile(t, out, []byte(strings.Join(lines, "\n")))
	return out
}

// unescape reads a string as strace writes it, much as C would.
func unescape(s string) []byte {
	simple := map[byte]byte{'n': '\n', 't': '\t', 'r': '\r', 'v': '\v', 'f': '\f', 'a': '\a', 'b': '\b', 'e': 27, '"': '"', '\\': '\\'}
	out := make([]byte, 0, len(s)/2)
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out = append(out, s[i])
			continue
		}
		i++
		if c, ok := simple[s[i]]; ok {
			out = append(out, c)
			continue
		}
		value, end := 0, i
		for end < len(s) && end < i+3 && s[end] >= '0' && s[end] <= '7' {
			value = value*8 + int(s[end]-'0')
			end++
		}
		out = append(out, byte(value))
		i = end - 1
	}
	return out
}

// powerFailures cuts the power at every system call on the file: of what was
// written since the last sync, some sectors reach the disk and some do not. What
// was answered by then must be there, and no request that had not begun.
func powerFailures(t *testing.T, file string, image []byte, calls []call, exchanges []exchange, pushes map[string][]int) {
	t.Helper()
	random := rand.New(rand.NewPCG(21, 22))
	path := filepath.Join(t.TempDir(), "failed.db")
	durable := slices.Clone(image)
	type sector struct {
		at   int64
		data []byte
	}
	var volatile []sector
	grow := func(b []byte, size int64) []byte {
		if int64(len(b)) < size {
			b = append(b, make([]byte, size-int64(len(b)))...)
		}
		return b
	}
	put := func(b []byte, s sector) []byte {
		b = grow(b, s.at+int64(len(s.data)))
		copy(b[s.at:], s.data)
		return b
	}
	tried := 0
	try := func(line int, kept func(i int) bool) {
		tried++
		b := slices.Clone(durable)
		for i, s := range volatile {
			if kept(i) {
				b = put(b, s)
			}
		}
		writeFile(t, path, b)
		found, err := openFile(path)
		if err != nil {
			t.Errorf("power failure at line %d of the trace: %v", line, err)
			return
		}
		for group, values := range pushes {
			first, last := -1, -1 // requests of the group: the last answered, the last begun
			for _, x := range exchanges {
				if name, _, _ := strings.Cut(x.marker, "#"); name != group {
					continue
				}
				n := requestNumber(x.marker)
				if x.answer <= line {
					first = max(first, n)
				}
				if x.read <= line {
					last = max(last, n)
				}
			}
			ok := first < 0 && found[group] == ""
			for n := max(first, 0); n <= last; n++ {
				want := fmt.Sprintf("m=%d n=%d", values[n], values[n])
				if values[n] == 0 {
					want = ""
				}
				ok = ok || found[group] == want
			}
			if !ok {
				t.Errorf("power failure at line %d of the trace: group %s is %q; answered were %v of %v, begun %d",
					line, group, found[group], first+1, values, last+1)
			}
		}
	}
	for _, c := range calls {
		if !c.on(file) || !c.ok {
			continue
		}
		switch {
		case c.name == "pwrite64":
			data, at := c.data(t), c.position(t)
			for i := 0; i < len(data); i += 512 {
				volatile = append(volatile, sector{at + int64(i), data[i:min(i+512, len(data))]})
			}
		case c.name == "ftruncate":
			durable = grow(durable, c.position(t))
		case c.syncs(file):
			// Right before the sync ends: none, all, and some of the sectors.
			try(c.begin, func(int) bool { return false })
			try(c.begin, func(int) bool { return true })
			for range 4 {
				odds := 1 + random.IntN(4)
				try(c.begin, func(int) bool { return random.IntN(odds+1) > 0 })
			}
			for _, s := range volatile {
				durable = put(durable, s)
			}
			volatile = nil
			try(c.end, func(int) bool { return false })
		}
		if t.Failed() {
			return
		}
	}
	try(1<<59, func(int) bool { return false })
	t.Logf("%d power failures", tried)
	if tried < 100 {
		t.Errorf("only %d power failures were tried", tried)
	}
}

// openFile returns the state of the groups in a file.
func openFile(path string) (map[string]string, error) {
	j := journal.New(journal.Options{Path: path, Logger: slog.New(slog.DiscardHandler)})
	groups, err := j.Load(context.Background(), nil)
	if err != nil {
		return nil, err
	}
	found := map[string]string{}
	for _, g := range groups {
		job, _ := g.Key.Value("job")
		var values []string
		for _, name := range []string{"m", "n"} {
			c := g.Family(name)
			if c == nil {
				continue
			}
			metrics := c.Metrics()
			for _, m := range metrics {
				if m.Value != metrics[0].Value {
					err = errors.Join(err, fmt.Errorf("group %s is half old and half new", job))
				}
			}
			values = append(values, fmt.Sprintf("%s=%v", name, metrics[0].Value))
		}
		found[job] = strings.Join(values, " ")
	}
	return found, errors.Join(err, j.Close(context.Background()))
}

// TestFailingSystemCalls has writes and syncs fail in the running gateway. Whatever
// happens, what was acknowledged is there and nothing else is shown, then and after
// the gateway is killed.
func TestFailingSystemCalls(t *testing.T) {
	t.Parallel()
	for _, inject := range []string{
		"pwrite64:error=EIO:when=3+40",
		"pwrite64:error=ENOSPC:when=4+40",
		"fdatasync:error=EIO:when=3+40",
		"fdatasync:error=ENOSPC:when=4+40",
	} {
		t.Run(inject, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			file := filepath.Join(dir, "f.db")
			gateway(t, file).end(t)
			syscallName, _, _ := strings.Cut(inject, ":")
			// Counted by thread, so that it is never the same calls that fail. Seldom
			// enough that the file can be written anew in between.
			p := traced(t, file, os.DevNull, []string{"-e", "trace=" + syscallName, "-e", "inject=" + inject}, "--persistence.sync=push")
			p.awaitReady(t)
			l := newLedger(0)
			rejected := 0
			for n := 0; n < 300 && rejected < 2; n++ {
				a, err := l.step(p)
				if err != nil {
					t.Fatal(err)
				}
				if a.status/100 != 2 {
					rejected++
					if a.status != http.StatusServiceUnavailable {
						t.Errorf("status %d, want 503: %s", a.status, a.body)
					}
				}
				shown(t, p, l)
				if a.status/100 != 2 {
					p.awaitReady(t)
					shown(t, p, l)
					// The gateway took it back by then.
					for _, g := range l.groups {
						g.maybe = nil
					}
				}
			}
			if rejected == 0 {
				t.Error("nothing failed")
			}
			p.kill(t)
			p = gateway(t, file)
			audit(t, []*ledger{l}, states(t, p.get(t, "/metrics")), farFuture)
			if got := names(t, dir); !slices.Equal(got, []string{"f.db"}) {
				t.Errorf("left behind: %v", got)
			}
		})
	}
}

// shown checks that the gateway shows what was acknowledged, and nothing else.
func shown(t *testing.T, p *program, l *ledger) {
	t.Helper()
	found := states(t, p.get(t, "/metrics"))
	for name, g := range l.groups {
		if found[name] != g.now {
			t.Fatalf("group %s is shown as %q, acknowledged was %q", name, found[name], g.now)
		}
	}
}

// TestKilledAtSystemCall kills the gateway at its first writes and syncs, one after
// the other, from the making of the file on.
func TestKilledAtSystemCall(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"pwrite64", "fdatasync", "fsync", "ftruncate", "renameat"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for n := 1; n <= 6; n++ {
				file := filepath.Join(t.TempDir(), "f.db")
				l := newLedger(n)
				// A gateway that dies while it makes its file never listens, or only
				// for a moment.
				output := filepath.Join(filepath.Dir(file), "trace")
				strace := exec.Command("strace", "-D", "-f", "-o", output, "-e", "trace="+name,
					"-e", fmt.Sprintf("inject=%s:signal=KILL:when=%d", name, n),
					gatewayBinary(t), "--web.listen-address=127.0.0.1:0", "--persistence.file="+file)
				p := &program{cmd: strace, log: outputOf(t, strace), ended: make(chan struct{}), client: newClient(t), wantCode: -1}
				if err := strace.Start(); err != nil {
					t.Fatal(err)
				}
				go func() {
					_ = strace.Wait() // killed
					close(p.ended)
				}()
				alive := func() bool {
					select {
					case <-p.ended:
						return false
					default:
						return true
					}
				}
				until(t, "the gateway listens or is gone", func() bool {
					if m := listening.FindStringSubmatch(p.log.String()); m != nil {
						p.Addr, p.URL = m[1], "http://"+m[1]
					}
					return p.Addr != "" || !alive()
				})
				for steps := 0; p.Addr != "" && alive() && steps < 40; {
					if a, err := p.try(http.MethodGet, "/-/ready", ""); err != nil || a.status != http.StatusOK {
						continue
					}
					_, _ = l.step(p) // without an answer it is over
					steps++
				}
				if alive() { // there are no more such calls
					p.kill(t)
				}
				p = gateway(t, file)
				audit(t, []*ledger{l}, states(t, p.get(t, "/metrics")), farFuture)
				p.push(t, http.MethodPut, "/metrics/job/new", groupBody("m", 1))
				p.end(t)
				if got := names(t, filepath.Dir(file)); len(got) != 2 {
					t.Errorf("killed at %s %d: left behind: %v", name, n, got)
				}
			}
		})
	}
}
