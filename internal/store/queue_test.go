package store_test

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"pushgateway/internal/store"
)

// stepping is a journal that commits a batch once the test lets it.
type stepping struct {
	store.Memory
	begun chan int // gets the number of groups of a batch
	free  chan struct{}
}

func (j *stepping) Commit(c store.Changes) error {
	j.begun <- len(c.Groups)
	<-j.free
	return nil
}

// TestNextBatchPrecedesAnswers: the next batch is committed while the pushes of the one before still
// wait to be answered.
func TestNextBatchPrecedesAnswers(t *testing.T) {
	j := &stepping{begun: make(chan int), free: make(chan struct{})}
	pacing, paced := make(chan struct{}), make(chan struct{})
	s := store.New(store.Config{Journal: j, Pace: func() { pacing <- struct{}{}; <-paced }})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var answered atomic.Int32
	var pushes sync.WaitGroup
	push := func(n int) {
		pushes.Go(func() {
			if err := pushText(s, jobKey(fmt.Sprint(n)), []string{"m 1\n"}, true, time.Unix(1, 0)); err != nil {
				t.Error(err)
			}
			answered.Add(1)
		})
	}
	await := func(waiting int) {
		for s.Waiting() < waiting {
			runtime.Gosched()
		}
	}
	commit := func(groups int) {
		t.Helper()
		if n := <-j.begun; n != groups {
			t.Errorf("a batch of %d groups, want %d", n, groups)
		}
	}
	push(0)
	commit(1)
	for n := range 3 {
		push(1 + n)
		await(1 + n)
	}
	j.free <- struct{}{}
	commit(3)
	push(4)
	await(1)
	j.free <- struct{}{}
	<-pacing // before the second of three is answered
	commit(1)
	if n := answered.Load(); n > 2 { // those that led
		t.Errorf("%d pushes are answered", n)
	}
	j.free <- struct{}{}
	paced <- struct{}{}
	<-pacing // the third comes after the second
	paced <- struct{}{}
	pushes.Wait()
	if n := s.Totals().Groups; n != 5 {
		t.Errorf("%d groups", n)
	}
}

// TestPanicReachesOneCaller: if a decision panics, the others of its batch get an error, and later ones
// are served.
func TestPanicReachesOneCaller(t *testing.T) {
	j := &stepping{begun: make(chan int), free: make(chan struct{})}
	s := store.New(store.Config{Journal: j})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	push := func(name string) error {
		return pushText(s, jobKey(name), []string{"m 1\n"}, true, time.Unix(1, 0))
	}
	results := make(chan error, 3)
	go func() { results <- push("first") }()
	<-j.begun
	panicked := make(chan any)
	go func() {
		defer func() { panicked <- recover() }()
		s.Decide(func() { panic("in a decision") })
	}()
	for s.Waiting() < 1 {
		runtime.Gosched()
	}
	go func() { results <- push("beside") }()
	for s.Waiting() < 2 {
		runtime.Gosched()
	}
	j.free <- struct{}{}
	if err := <-results; err != nil {
		t.Errorf("the push before: %v", err)
	}
	if <-j.begun != 0 { // the turn that the panic ends
		t.Error("the batch with the panic is committed")
	}
	j.free <- struct{}{}
	if r := <-panicked; r != "in a decision" {
		t.Errorf("recovered %v", r)
	}
	if err := <-results; err == nil {
		t.Error("a push of the batch that panicked is accepted")
	}
	go func() { results <- push("after") }()
	if <-j.begun != 1 {
		t.Error("the batch after the panic is another one")
	}
	j.free <- struct{}{}
	if err := <-results; err != nil {
		t.Errorf("a push after the panic: %v", err)
	}
}
