package limits

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/metric"
)

func named(client string) func() string { return func() string { return client } }

// rejected returns the reason of a temporary rejection, and after how long the client should
// retry.
func rejected(err error) (metric.Reason, time.Duration) {
	if rejection, ok := errors.AsType[*TemporaryRejection](err); ok {
		return rejection.Reason, rejection.RetryAfter
	}
	return "", 0
}

func isOverloaded(err error) bool {
	reason, _ := rejected(err)
	return reason == metric.Overloaded
}

// TestAdmission has more pushes than may be applied: some wait, and others are rejected
// before their bodies are read, until those before them are done.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := NewAdmission(2, 0)
		var leave []func()
		for range 2 {
			l, err := a.Enter(t.Context())
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
				l, err := a.Enter(ctx)
				if err == nil {
					l()
				}
				results <- err
			}()
		}
		synctest.Wait()
		err := a.Arrive(named("c"), time.Now())
		if reason, retry := rejected(err); reason != metric.Overloaded || retry != overloadRetry {
			t.Errorf("a push that comes when enough others wait: %v", err)
		}
		leave[0]()
		for range waiting {
			if err := <-results; err != nil {
				t.Errorf("one that waited: %v", err)
			}
		}
		if err := a.Arrive(named("c"), time.Now()); err != nil {
			t.Errorf("afterwards: %v", err)
		}

		// One that waits for too long, and one whose client goes.
		l, err := a.Enter(ctx)
		if err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := a.Enter(ctx); !isOverloaded(err) || time.Since(began) != maxTurnWait {
			t.Errorf("got %v after %v", err, time.Since(began))
		}
		go func() {
			_, err := a.Enter(ctx)
			results <- err
		}()
		synctest.Wait()
		cancel()
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("a client that goes: %v", err)
		}
		l()
		leave[1]()
		if a.Running() != 0 || a.Waiting() != 0 {
			t.Errorf("%d turns are taken, %d pushes wait", a.Running(), a.Waiting())
		}
	})
}

func TestRateLimitIsPerClient(t *testing.T) {
	a := NewAdmission(0, 2)
	now := time.Now()
	for i := range 20 {
		if err := a.Arrive(named("a"), now); err != nil {
			t.Fatalf("push %d of the burst: %v", i+1, err)
		}
	}
	err := a.Arrive(named("a"), now)
	if reason, retry := rejected(err); reason != metric.RateLimited || retry != 500*time.Millisecond {
		t.Errorf("beyond the rate: %v", err)
	}
	if err := a.Arrive(named("b"), now); err != nil {
		t.Errorf("another client: %v", err)
	}
	if err := a.Arrive(named("a"), now.Add(time.Second)); err != nil {
		t.Errorf("a second later: %v", err)
	}
}
