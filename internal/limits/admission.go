package limits

import (
	"context"
	"sync/atomic"
	"time"

	"pushgateway/internal/metric"
)

const (
	// maxTurnWait is how long a push waits, once its body has arrived, until others are
	// done.
	maxTurnWait = 5 * time.Second
	// waitersPerTurn is how many pushes may wait for each that may run.
	waitersPerTurn = 4
	// maxClients bounds how many clients are told apart by a rate limit.
	maxClients = 50_000
	// overloadRetry is after how long a client should retry a push that was rejected
	// because too many others were waiting.
	overloadRetry = time.Second
)

// Admission decides which pushes are accepted for now. A push counts from the moment when
// its body has arrived until it is answered, so a slow sender does not keep others out. It is
// safe for concurrent use.
type Admission struct {
	clients *Clients // nil if pushes are not limited by client
	perSec  float64
	turns   chan struct{} // holds a value for each push that runs; nil if any number may
	waiting atomic.Int64
}

// NewAdmission returns an admission of maxConcurrency pushes at the same time, and perSec
// pushes per second of each client, with bursts of ten seconds' worth. 0 means no limit.
func NewAdmission(maxConcurrency int, perSec float64) *Admission {
	a := &Admission{perSec: perSec}
	if maxConcurrency > 0 {
		a.turns = make(chan struct{}, maxConcurrency)
	}
	if perSec > 0 {
		// A client may send the pushes of ten seconds at once.
		a.clients = NewClients(perSec, int(10*perSec), maxClients)
	}
	return a
}

// Arrive rejects a push, before its body is read, if too many others wait or its client has
// sent too many. client returns who sends it, and is called only if pushes are limited by
// client. The error is a *TemporaryRejection. Arrive never waits.
func (a *Admission) Arrive(client func() string, now time.Time) error {
	if a.turns != nil && a.waiting.Load() >= int64(waitersPerTurn*cap(a.turns)) {
		return overloaded(cap(a.turns))
	}
	if a.clients == nil {
		return nil
	}
	if _, wait := a.clients.Take(client(), now); wait > 0 {
		return &TemporaryRejection{
			metric.Reject(metric.RateLimited, "this client has sent more than the limit of %g pushes per second (push.rate-limit): "+
				"push less often, or many groups in one request", a.perSec),
			wait,
		}
	}
	return nil
}

// Enter waits, for at most 5 seconds, for the turn of a push whose body has arrived. The
// caller must call leave once the push is applied. The error is a *TemporaryRejection, or the
// cause of ctx if that ends first.
func (a *Admission) Enter(ctx context.Context) (leave func(), err error) {
	if a.turns == nil {
		return func() {}, nil
	}
	leave = func() { <-a.turns }
	select {
	case a.turns <- struct{}{}:
		return leave, nil
	default:
	}
	a.waiting.Add(1)
	defer a.waiting.Add(-1)
	timeout := time.NewTimer(maxTurnWait)
	defer timeout.Stop()
	select {
	case a.turns <- struct{}{}:
		return leave, nil
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	case <-timeout.C:
		return nil, overloaded(cap(a.turns))
	}
}

// Running returns the number of pushes whose turn it is: 0 if any number may be applied.
func (a *Admission) Running() int { return len(a.turns) }

// Waiting returns the number of pushes that wait for their turn.
func (a *Admission) Waiting() int { return int(a.waiting.Load()) }

func overloaded(concurrency int) error {
	return &TemporaryRejection{
		metric.Reject(metric.Overloaded, "the gateway has more pushes than it can take at the moment: %d are being applied "+
			"(push.max-concurrency), and others wait; try again", concurrency),
		overloadRetry,
	}
}

// TemporaryRejection is the rejection of a push that may be accepted later. Its reason is
// metric.RateLimited or metric.Overloaded.
type TemporaryRejection struct {
	*metric.RejectionError
	RetryAfter time.Duration // after how long the client should retry
}

// Unwrap returns the rejection itself.
func (e *TemporaryRejection) Unwrap() error { return e.RejectionError }
