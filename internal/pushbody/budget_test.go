package pushbody

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
)

// reserve returns an empty reservation for a push that takes cost times its body.
func (b *Budget) reserve(cost Cost) *reservation { return &reservation{budget: b, cost: cost} }

func TestBudget(t *testing.T) {
	const unit = minPushMemory
	for _, c := range []struct {
		name string
		test func(t *testing.T, b *Budget)
	}{
		{"waits until there is room", func(t *testing.T, b *Budget) {
			first, second := b.reserve(1), b.reserve(1)
			if err := errors.Join(first.grow(t.Context(), 3*unit), second.grow(t.Context(), 1)); err != nil {
				t.Fatal(err)
			}
			go func() {
				time.Sleep(time.Second)
				first.release()
			}()
			begin := time.Now()
			if err := second.grow(t.Context(), 2*unit); err != nil || time.Since(begin) != time.Second {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			second.release()
			second.release()
		}},
		{"unavailable after a while", func(t *testing.T, b *Budget) {
			first, second, small := b.reserve(1), b.reserve(1), b.reserve(1)
			if err := first.grow(t.Context(), 3*unit); err != nil {
				t.Fatal(err)
			}
			small1 := make(chan error)
			go func() {
				time.Sleep(time.Second) // it comes later, and is let in once the other has given up
				small1 <- small.grow(t.Context(), 1)
			}()
			begin := time.Now()
			err := second.grow(t.Context(), 2*unit)
			if _, ok := errors.AsType[*limits.TemporaryRejection](err); !ok || time.Since(begin) != maxPushWait {
				t.Errorf("%v after %v", err, time.Since(begin))
			}
			if err := <-small1; err != nil {
				t.Error(err)
			}
			first.release()
			small.release()
		}},
		{"the client goes", func(t *testing.T, b *Budget) {
			first, second := b.reserve(1), b.reserve(1)
			if err := first.grow(t.Context(), 4*unit); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			if err := second.grow(ctx, 1); err == nil {
				t.Error("no error")
			}
			first.release()
		}},
		{"larger than all, alone", func(t *testing.T, b *Budget) {
			r := b.reserve(10)
			if err := errors.Join(r.grow(t.Context(), unit), r.grow(t.Context(), 9*unit)); err != nil {
				t.Error(err)
			}
			r.release()
		}},
		{"larger than all, with a memory limit", func(t *testing.T, b *Budget) {
			b.strict = true
			r := b.reserve(10)
			err := r.grow(t.Context(), unit)
			if reasonOf(err) != metric.TooLarge {
				t.Error(err)
			}
		}},
		{"memory goes back to the system", func(t *testing.T, b *Budget) {
			b.size, b.free = 10*largePush, 10*largePush
			for range 2 {
				r := b.reserve(1)
				if err := r.grow(t.Context(), largePush); err != nil {
					t.Fatal(err)
				}
				r.release()
			}
			planned := func() bool {
				b.mu.Lock()
				defer b.mu.Unlock()
				return b.freeing != nil
			}
			if !planned() {
				t.Error("nothing planned")
			}
			time.Sleep(freeAfter)
			synctest.Wait()
			if planned() {
				t.Error("still planned")
			}
			b.size, b.free = 4*unit, 4*unit
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &Budget{size: 4 * unit, free: 4 * unit}
				c.test(t, b)
				if b.free != b.size || b.waiting.Len() > 0 {
					t.Errorf("%d of %d free, %d waiting", b.free, b.size, b.waiting.Len())
				}
			})
		})
	}
}

// TestSlowSendersLoseTheirMemory has a slow push hold all memory when another one comes.
func TestSlowSendersLoseTheirMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Budget{size: 100 * minPushMemory, free: 100 * minPushMemory, strict: true}
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

// TestSilentSendersHoldNothing: a body of which little has arrived takes no memory from others,
// however large it is.
func TestSilentSendersHoldNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := NewBudget(50 * minPushMemory)
		body, send := io.Pipe()
		r := httptest.NewRequest(http.MethodPut, "/", body)
		r.ContentLength = b.size / int64(InBatches)
		received := make(chan error)
		go func() {
			_, err := b.Receive(r, InBatches, 0, func() {})
			received <- err
		}()
		if _, err := send.Write(make([]byte, firstRead-1)); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		if b.free != b.size {
			t.Errorf("%d of %d bytes are free", b.free, b.size)
		}
		_ = send.CloseWithError(errors.New("gone"))
		if err := <-received; err == nil {
			t.Error("a body that did not arrive was received")
		}
	})
}
