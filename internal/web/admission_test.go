package web

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/metric"
)

func named(client string) func() string { return func() string { return client } }

// TestAdmission has more pushes than may be applied: some wait, and others are rejected
// before their bodies are read, until those before them are done.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(2, 0)
		var leave []func()
		for range 2 {
			l, err := a.enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			leave = append(leave, l)
		}
		results := make(chan error)
		waiting := 2 * waitersPerTurn
		ctx, cancel := context.WithCancel(t.Context())
		for range waiting {
			go func() {
				l, err := a.enter(ctx)
				if err == nil {
					l()
				}
				results <- err
			}()
		}
		synctest.Wait()
		err := a.arrive(named("c"), time.Now())
		rejected, ok := errors.AsType[*temporaryRejection](err)
		if !ok || statusOf(err) != 503 || rejected.retryAfter != overloadRetry || reasonOf(err) != metric.Overloaded {
			t.Errorf("a push that comes when enough others wait: %v", err)
		}
		leave[0]()
		for range waiting {
			if err := <-results; err != nil {
				t.Errorf("one that waited: %v", err)
			}
		}
		if err := a.arrive(named("c"), time.Now()); err != nil {
			t.Errorf("afterwards: %v", err)
		}

		// One that waits for too long, and one whose client goes.
		l, err := a.enter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := a.enter(ctx); reasonOf(err) != metric.Overloaded || time.Since(began) != maxTurnWait {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		go func() {
			_, err := a.enter(ctx)
			results <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that goes: %v", err)
		}
		l()
		leave[1]()
		if len(a.turns) != 0 || a.waiting.Load() != 0 {
			t.Errorf("%d turns are taken, %d pushes wait", len(a.turns), a.waiting.Load())
		}
	})
}

func TestRateLimitIsPerClient(t *testing.T) {
	a := newAdmission(0, 2)
	now := time.Now()
	for i := range 20 {
		if err := a.arrive(named("a"), now); err != nil {
			t.Fatalf("push %d of the burst: %v", i+1, err)
		}
	}
	err := a.arrive(named("a"), now)
	rejected, ok := errors.AsType[*temporaryRejection](err)
	if !ok || statusOf(err) != 429 || rejected.retryAfter != 500*time.Millisecond || reasonOf(err) != metric.RateLimited {
		t.Errorf("beyond the rate: %v", err)
	}
	if err := a.arrive(named("b"), now); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := a.arrive(named("a"), now.Add(time.Second)); err != nil {
		t.Errorf("a second later: %v", err)
	}
}

// TestSlowSendersLoseTheirMemory has a slow push hold all memory when another one comes.
func TestSlowSendersLoseTheirMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &budget{size: 100 * minPushMemory, free: 100 * minPushMemory, strict: true}
		slow, fast, other := b.reserve(1), b.reserve(1), b.reserve(1)
		interrupted := make(chan struct{})
		slowDone := slow.receiving(func() { close(interrupted) })
		fastDone := fast.receiving(func() { t.Error("the fast one was interrupted") })
		if err := errors.Join(slow.grow(t.Context(), 60*minPushMemory), fast.grow(t.Context(), 40*minPushMemory)); err != nil {
			t.Fatal(err)
		}
		fast.received.Store(20 * minPushMemory)
		slow.received.Store(10)
		go func() {
			<-interrupted
			slow.release()
		}()
		began := time.Now()
		if err := other.grow(t.Context(), 50*minPushMemory); err != nil || time.Since(began) != evictAfter {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		if !slowDone() || fastDone() {
			t.Error("the slow one must have been evicted, and no other")
		}
		fast.release()
		other.release()
		if b.free != b.size || len(b.receiving) != 0 {
			t.Errorf("%d of %d bytes are free, %d are receiving", b.free, b.size, len(b.receiving))
		}
	})
}
