// Package limits bounds what clients may ask of the gateway: how often and how many at the
// same time, and how large a push and what is stored may be.
package limits

import (
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Clients limits how often each client may do something. It is safe for concurrent
// use, and its memory is bounded however many clients there are.
type Clients struct {
	limit rate.Limit
	burst int
	half  int // clients in each of recent and older, at most

	// Clients move to recent when they ask. Once recent is full it becomes older,
	// and those in older that have not asked since are forgotten.
	mu     sync.Mutex // guards all below
	recent map[string]*rate.Limiter
	older  map[string]*rate.Limiter
}

// NewClients returns a limit of perSecond requests of each client, with bursts of up
// to burst. It remembers maxClients clients; one that is forgotten starts anew.
func NewClients(perSecond float64, burst, maxClients int) *Clients {
	return &Clients{limit: rate.Limit(perSecond), burst: max(burst, 1), half: max(maxClients/2, 1), recent: map[string]*rate.Limiter{}}
}

// Take takes one request off what the client may send at the given time. If there is
// none left, it takes nothing and returns after how long there is one again. giveBack
// undoes the taking.
func (c *Clients) Take(client string, now time.Time) (giveBack func(), wait time.Duration) {
	r := c.limiter(client).ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return func() {}, wait
	}
	return func() { r.CancelAt(now) }, 0
}

func (c *Clients) limiter(client string) *rate.Limiter {
	c.mu.Lock()
	defer c.mu.Unlock()
	if l, ok := c.recent[client]; ok {
		return l
	}
	l, ok := c.older[client]
	if !ok {
		l = rate.NewLimiter(c.limit, c.burst)
	}
	if len(c.recent) >= c.half {
		c.older, c.recent = c.recent, make(map[string]*rate.Limiter, c.half)
	}
	c.recent[client] = l
	return l
}

// Source names a client by its address. The addresses of one IPv6 network of 64 bits
// are one client, since whoever has one of them has them all.
func Source(address netip.Addr) string {
	if address = address.Unmap(); address.Is6() {
		if network, err := address.WithZone("").Prefix(64); err == nil {
			return network.String()
		}
	}
	return address.String()
}
