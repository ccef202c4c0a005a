package web

import (
	"context"
	"net/http"
	"sync/atomic"
	"time"

	"pushgateway/internal/limits"
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

// admission decides which pushes are accepted for now. A push counts from the moment when
// its body has arrived until it is answered, so a slow sender does not keep others out.
type admission struct {
	clients *limits.Clients // nil if pushes are not limited by client
	perSec  float64
	turns   chan struct{} // holds a value for each push that runs; nil if any number may
	waiting atomic.Int64
}

// newAdmission returns an admission of maxConcurrency pushes at the same time, and perSec
// pushes per second of each client. 0 means no limit.
func newAdmission(maxConcurrency int, perSec float64) *admission {
	a := &admission{perSec: perSec}
	if maxConcurrency > 0 {
		a.turns = make(chan struct{}, maxConcurrency)
	}
	if perSec > 0 {
		// A client may send the pushes of ten seconds at once.
		a.clients = limits.NewClients(perSec, int(10*perSec), maxClients)
	}
	return a
}

// arrive rejects a push before its body is read. client returns who sends it.
func (a *admission) arrive(client func() string, now time.Time) error {
	if a.turns != nil && a.waiting.Load() >= int64(waitersPerTurn*cap(a.turns)) {
		return overloaded(cap(a.turns))
	}
	if a.clients == nil {
		return nil
	}
	if _, wait := a.clients.Take(client(), now); wait > 0 {
		return &temporaryRejection{
			metric.Reject(metric.RateLimited, "this client has sent more than the limit of %g pushes per second (push.rate-limit): "+
				"push less often, or many groups in one request", a.perSec),
			http.StatusTooManyRequests, wait,
		}
	}
	return nil
}

// enter waits for the turn of a push whose body has arrived. leave ends it.
func (a *admission) enter(ctx context.Context) (leave func(), err error) {
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

func overloaded(concurrency int) error {
	return &temporaryRejection{
		metric.Reject(metric.Overloaded, "the gateway has more pushes than it can take at the moment: %d are being applied (push.max-concurrency), "+
			"and others wait; try again", concurrency),
		http.StatusServiceUnavailable, overloadRetry,
	}
}

// temporaryRejection is a rejection of a push that may be accepted later.
type temporaryRejection struct {
	*metric.RejectionError
	status     int
	retryAfter time.Duration
}

func (e *temporaryRejection) Unwrap() error { return e.RejectionError }
