package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"time"
)

// client speaks HTTP/1.1 over one kept connection: request bytes made
// beforehand go out in one write, and only what must be known of the answer is
// read. net/http's client would take more processor time than the servers.
type client struct {
	conn net.Conn
	in   *bufio.Reader
}

// dial connects to a server. The client is good for ten minutes, so that a
// server that stops answering fails the run instead of hanging it.
func dial(addr string) (*client, error) {
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(10 * time.Minute)); err != nil {
		return nil, err
	}
	return &client{conn: conn, in: bufio.NewReaderSize(conn, 256<<10)}, nil
}

func (c *client) close() { c.conn.Close() }

// answer is what is known of a response once its body was read to the end.
type answer struct {
	status int
	gzip   bool  // Content-Encoding: gzip
	size   int64 // bytes of body as sent, without the framing of chunks
}

// exchange sends a whole request and reads the whole answer. The body goes to
// sink, or nowhere if sink is nil.
func (c *client) exchange(request []byte, sink io.Writer) (answer, error) {
	if _, err := c.conn.Write(request); err != nil {
		return answer{}, err
	}
	return readAnswer(c.in, sink)
}

// readAnswer reads one response up to the last byte of its body. It rejects
// answers that end the connection, as all measures are of kept connections.
func readAnswer(in *bufio.Reader, sink io.Writer) (answer, error) {
	var a answer
	line, err := readLine(in)
	if err != nil {
		return a, fmt.Errorf("read status: %w", err)
	}
	if len(line) < len("HTTP/1.1 200") || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return a, fmt.Errorf("not a status line: %q", line)
	}
	if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return a, fmt.Errorf("not a status line: %q", line)
	}

	length, chunked := int64(-1), false
	for {
		if line, err = readLine(in); err != nil {
			return a, fmt.Errorf("read headers: %w", err)
		}
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		value = bytes.TrimSpace(value)
		switch {
		case isHeader(name, "Content-Length"):
			if length, err = strconv.ParseInt(string(value), 10, 64); err != nil || length < 0 {
				return a, fmt.Errorf("bad header: %q", line)
			}
		case isHeader(name, "Transfer-Encoding"):
			chunked = bytes.EqualFold(value, []byte("chunked"))
		case isHeader(name, "Content-Encoding"):
			a.gzip = bytes.EqualFold(value, []byte("gzip"))
		case isHeader(name, "Connection"):
			if bytes.EqualFold(value, []byte("close")) {
				return a, fmt.Errorf("status %d, and the server ends the connection", a.status)
			}
		}
	}

	switch {
	case chunked:
		a.size, err = readChunks(in, sink)
	case length >= 0:
		a.size, err = length, readExactly(in, length, sink)
	default:
		err = errors.New("neither Content-Length nor chunks")
	}
	if err != nil {
		return a, fmt.Errorf("read body: %w", err)
	}
	return a, nil
}

// isHeader compares without regard to case; bytes.EqualFold on converted
// strings would allocate.
func isHeader(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}

// readLine returns a line without its end. It is valid until the next read.
func readLine(in *bufio.Reader) ([]byte, error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(line[:len(line)-1], []byte("\r")), nil
}

func readChunks(in *bufio.Reader, sink io.Writer) (total int64, err error) {
	for {
		line, err := readLine(in)
		if err != nil {
			return total, err
		}
		size, err := strconv.ParseInt(string(line), 16, 64)
		if err != nil || size < 0 {
			return total, fmt.Errorf("not a chunk size: %q", line)
		}
		if err := readExactly(in, size, sink); err != nil {
			return total, err
		}
		// The empty line that ends a chunk, or the empty trailer of the last.
		if line, err = readLine(in); err != nil {
			return total, err
		}
		if len(line) != 0 {
			return total, fmt.Errorf("bytes after a chunk: %q", line)
		}
		if size == 0 {
			return total, nil
		}
		total += size
	}
}

func readExactly(in *bufio.Reader, n int64, sink io.Writer) error {
	if sink == nil {
		_, err := in.Discard(int(n))
		return err
	}
	_, err := io.CopyN(sink, in, n)
	return err
}

// pusher pushes to a server that holds the groups 0 to groups-1, over one
// connection.
type pusher struct {
	transport
	bodies [][]byte
	groups int
	status int // of a push that was taken: 200 if checked, 202 if not
	rng    *rand.Rand
	first  int // the body that it begins with
	sent   int
	took   []float64 // see pushFor
}

// pushTo connects a pusher. Pushers of different stream numbers choose
// different groups and begin with different bodies.
func pushTo(p *process, through transportKind, bodies [][]byte, groups, stream int) (*pusher, error) {
	t, err := through.connect(p.addr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.name, err)
	}
	return &pusher{
		transport: t,
		bodies:    bodies,
		groups:    groups,
		status:    p.pushStatus,
		rng:       rand.New(rand.NewPCG(seed, uint64(stream))),
		first:     stream * 17,
	}, nil
}

// push replaces one group and returns how long the answer took.
func (p *pusher) push(group int) (time.Duration, error) {
	body := p.bodies[(p.first+p.sent)%len(p.bodies)]
	p.sent++

	start := time.Now()
	status, err := p.put(group, body)
	took := time.Since(start)
	if err != nil {
		return 0, fmt.Errorf("push: %w", err)
	}
	if status != p.status {
		return 0, fmt.Errorf("push: status %d, want %d", status, p.status)
	}
	return took, nil
}

// pushSome pushes to n random groups.
func (p *pusher) pushSome(n int) error {
	for range n {
		if _, err := p.push(p.rng.IntN(p.groups)); err != nil {
			return err
		}
	}
	return nil
}

// pushFor pushes to random groups for a while, one push after the other, and
// returns the latency of each in seconds, valid until the next call.
func (p *pusher) pushFor(d time.Duration) ([]float64, error) {
	p.took = p.took[:0]
	for end := time.Now().Add(d); time.Now().Before(end); {
		took, err := p.push(p.rng.IntN(p.groups))
		if err != nil {
			return nil, err
		}
		p.took = append(p.took, took.Seconds())
	}
	return p.took, nil
}

// crowd is pushers that push at the same time.
type crowd []*pusher

// crowdTo connects n pushers.
func crowdTo(p *process, through transportKind, bodies [][]byte, groups, n int) (crowd, error) {
	var all crowd
	for i := range n {
		one, err := pushTo(p, through, bodies, groups, i)
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

func (c crowd) close() {
	for _, p := range c {
		p.close()
	}
}

// pushed returns how many pushes were sent since the crowd was connected.
func (c crowd) pushed() int {
	n := 0
	for _, p := range c {
		n += p.sent
	}
	return n
}

// each runs f for all pushers at the same time and joins their errors.
func (c crowd) each(f func(i int, p *pusher) error) error {
	errs := make([]error, len(c))
	var wg sync.WaitGroup
	for i, p := range c {
		wg.Go(func() { errs[i] = f(i, p) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// rate pushes for a while and returns the pushes per second of all together.
func (c crowd) rate(d time.Duration) (float64, error) {
	counts := make([]int, len(c))
	start := time.Now()
	err := c.each(func(i int, p *pusher) error {
		latencies, err := p.pushFor(d)
		counts[i] = len(latencies)
		return err
	})
	took := time.Since(start)
	total := 0
	for _, n := range counts {
		total += n
	}
	return float64(total) / took.Seconds(), err
}

// fill pushes every group once, over eight connections.
func fill(p *process, bodies [][]byte, groups int) error {
	all, err := crowdTo(p, throughRaw, bodies, groups, 8)
	if err != nil {
		return err
	}
	defer all.close()
	err = all.each(func(i int, one *pusher) error {
		for g := i; g < groups; g += len(all) {
			if _, err := one.push(g); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("fill %s with %d groups: %w", p.name, groups, err)
	}
	return nil
}

// coding is how a scrape is to be sent.
type coding int

const (
	plain coding = iota
	gzipped
)

func (c coding) String() string {
	if c == gzipped {
		return "gzip"
	}
	return "plain"
}

// scrapeRequest returns the bytes of a scrape.
func scrapeRequest(c coding) []byte {
	request := "GET /metrics HTTP/1.1\r\nHost: bench\r\nAccept: text/plain;version=0.0.4\r\n"
	if c == gzipped {
		request += "Accept-Encoding: gzip\r\n"
	}
	return []byte(request + "\r\n")
}

// scrape reads all of /metrics in the coding asked for. The body goes to sink
// as it comes, or nowhere if sink is nil: nothing is decompressed here.
func (c *client) scrape(how coding, sink io.Writer) (time.Duration, int64, error) {
	request := scrapeRequest(how)
	start := time.Now()
	a, err := c.exchange(request, sink)
	took := time.Since(start)
	switch {
	case err != nil:
		return 0, 0, fmt.Errorf("%s scrape: %w", how, err)
	case a.status != 200:
		return 0, 0, fmt.Errorf("%s scrape: status %d", how, a.status)
	case a.gzip != (how == gzipped):
		return 0, 0, fmt.Errorf("%s scrape: the answer has another Content-Encoding", how)
	}
	return took, a.size, nil
}
