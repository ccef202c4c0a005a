package pgtest

import (
	"errors"
	"net"
	"sync"
	"time"
)

// A Proxy is a network with faults between a client of PostgreSQL and a server. It ends
// with its test. Its methods are safe for concurrent use.
type Proxy struct {
	listener net.Listener
	target   string // host:port

	mu     sync.Mutex // guards all below
	links  map[*link]bool
	delay  time.Duration
	down   bool
	thawed chan struct{} // closed while traffic flows
	cut    *commitCut    // nil if none is due
}

// StartProxy runs a proxy in front of target, a host:port.
func StartProxy(t TB, target string) *Proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &Proxy{listener: l, target: target, links: map[*link]bool{}, thawed: make(chan struct{})}
	close(p.thawed)
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return // closed at the end of the test
			}
			serving.Go(func() { p.serve(client) })
		}
	})
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		p.Down()
		p.Thaw()
		serving.Wait()
	})
	return p
}

// Addr returns the proxy's host:port.
func (p *Proxy) Addr() string { return p.listener.Addr().String() }

// Delay makes all bytes arrive this much later, in both directions. Bytes that are still
// underway when a connection is cut never arrive.
func (p *Proxy) Delay(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
}

// Cut closes all connections. New ones can be made.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.close()
	}
}

// Down closes all connections and rejects new ones until Up is called.
func (p *Proxy) Down() {
	p.mu.Lock()
	p.down = true
	p.mu.Unlock()
	p.Cut()
}

// Up undoes Down.
func (p *Proxy) Up() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.down = false
}

// Freeze holds all bytes back, also those of new connections, until Thaw is called.
func (p *Proxy) Freeze() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
		p.thawed = make(chan struct{})
	default:
	}
}

// Thaw undoes Freeze.
func (p *Proxy) Thaw() {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-p.thawed:
	default:
		close(p.thawed)
	}
}

// HalfOpen drops what is sent on the present connections, in both directions, without
// closing them, as if one end had lost its power. New connections are not affected.
func (p *Proxy) HalfOpen() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for l := range p.links {
		l.halfOpen = true
	}
}

// Moment is a moment of a commit.
type Moment int

const (
	BeforeCommit Moment = iota // the server does not get the COMMIT
	DuringCommit               // the server gets the COMMIT, and then loses its client
	AfterCommit                // the server has committed, and the client is not told
)

// String returns the moment's name.
func (m Moment) String() string { return [...]string{"before", "during", "after"}[m] + " COMMIT" }

// CutCommit cuts the connection of the next client that commits what it has written, at this
// moment. done is closed once that has happened.
func (p *Proxy) CutCommit(m Moment) (done <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cut = &commitCut{moment: m, done: make(chan struct{})}
	return p.cut.done
}

// commitCut is a fault that is to happen once.
type commitCut struct {
	moment Moment
	done   chan struct{}
	link   *link // whose COMMIT was forwarded; nil until then
}

// A link is one connection through the proxy.
type link struct {
	client, server net.Conn
	halfOpen       bool // guarded by Proxy.mu
	unanswered     bool // the client gets no more messages; guarded by Proxy.mu
	closing        sync.Once
	closed         chan struct{} // by closing
}

// close resets both ends.
func (l *link) close() { l.closing.Do(l.reset) }

func (l *link) reset() {
	close(l.closed)
	for _, conn := range []net.Conn{l.client, l.server} {
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.SetLinger(0) // it may be closed already
		}
		_ = conn.Close()
	}
}

// serve forwards one connection until either end closes it.
func (p *Proxy) serve(client net.Conn) {
	p.mu.Lock()
	down := p.down
	p.mu.Unlock()
	if down {
		_ = client.Close()
		return
	}
	server, err := net.DialTimeout("tcp", p.target, patience)
	if err != nil {
		_ = client.Close()
		return
	}
	l := &link{client: client, server: server, closed: make(chan struct{})}
	p.mu.Lock()
	if p.down {
		l.close()
	}
	p.links[l] = true
	p.mu.Unlock()

	var directions sync.WaitGroup
	directions.Go(func() { p.forward(l, server, client, &frames{startup: true}, p.clientSent) })
	directions.Go(func() { p.forward(l, client, server, &frames{}, p.serverSent) })
	directions.Wait()
	p.mu.Lock()
	delete(p.links, l)
	p.mu.Unlock()
}

// errCut means that a link is to be cut now, errCutAfter that the message is forwarded first.
var (
	errCut      = errors.New("cut")
	errCutAfter = errors.New("cut after the message")
)

// forward copies messages from one end to the other until it fails, and then closes
// both. sent sees each message before it is forwarded.
func (p *Proxy) forward(l *link, to, from net.Conn, messages *frames, sent func(*link, *frames, message) error) {
	defer l.close()
	queue := make(chan parcel, 1024)
	delivered := make(chan struct{})
	go func() {
		defer close(delivered)
		p.deliver(l, to, queue)
	}()
	defer func() { <-delivered }()
	defer close(queue)

	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		messages.add(buffer[:n])
		p.mu.Lock()
		due := time.Now().Add(p.delay)
		p.mu.Unlock()
		for {
			m, ok := messages.next()
			if !ok {
				break
			}
			cut := sent(l, messages, m)
			if cut != nil && cut != errCutAfter {
				return
			}
			select {
			case queue <- parcel{m.all, due}:
			case <-l.closed:
				return
			}
			if cut != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// A parcel is a message on its way.
type parcel struct {
	content []byte
	due     time.Time
}

// deliver writes parcels once they are due, until the queue or the link is closed.
func (p *Proxy) deliver(l *link, to net.Conn, queue <-chan parcel) {
	for parcel := range queue {
		select {
		case <-l.closed:
			return
		case <-time.After(time.Until(parcel.due)):
		}
		p.mu.Lock()
		thawed := p.thawed
		p.mu.Unlock()
		select {
		case <-l.closed:
			return
		case <-thawed:
		}
		p.mu.Lock()
		halfOpen := l.halfOpen
		p.mu.Unlock()
		if halfOpen {
			continue
		}
		if _, err := to.Write(parcel.content); err != nil {
			l.close()
			return
		}
	}
}

// clientSent looks for a COMMIT.
func (p *Proxy) clientSent(l *link, messages *frames, m message) error {
	if !messages.commits(m) {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cut == nil || p.cut.link != nil {
		return nil
	}
	switch p.cut.moment {
	case BeforeCommit:
		p.finish()
		return errCut
	case DuringCommit:
		l.unanswered = true // the answer may come before the link is cut
		p.finish()
		return errCutAfter
	default:
		p.cut.link = l
		return nil
	}
}

// serverSent looks for the answer to a COMMIT.
func (p *Proxy) serverSent(l *link, _ *frames, m message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if l.unanswered {
		return errCut
	}
	if !m.committed() || p.cut == nil || p.cut.link != l {
		return nil
	}
	p.finish()
	return errCut
}

// finish ends the fault that was due. The caller has locked mu.
func (p *Proxy) finish() {
	close(p.cut.done)
	p.cut = nil
}
