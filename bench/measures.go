package main

import (
	"errors"
	"fmt"
	"iter"
	"time"
)

// measure is one thing to measure. It starts the processes it needs and ends
// them, so that measures can run alone and in any order.
type measure struct {
	name string
	take func(*lab) ([]row, error)
}

func measures() []measure {
	return []measure{
		{"push-latency", pushLatency},
		{"push-rate", pushRate},
		{"push-many-groups", pushManyGroups},
		{"scrape-unchanged", scrapeUnchanged},
		{"scrape-changed", scrapeChanged},
		{"push-under-scrape", pushUnderScrape},
		{"memory", memory},
		{"durable", durable},
		{"push-summed", pushSummed},
		{"push-at-once", pushAtOnce},
		{"expire", allExpire},
	}
}

const (
	// fewGroups is what the original can check in about a millisecond.
	fewGroups = 100
	// someGroups is what scrapes and memory are measured with: 23 MB of text.
	someGroups = 10_000
	// manyGroups is where a cost that grows with the store would show.
	manyGroups = 100_000
)

// rounds counts the rounds of a measure, in each of which all its subjects
// have their turn. On a busy machine there are fewer of them, but never less
// than three, so that the whole run ends in time.
func (l *lab) rounds(n int) iter.Seq[int] {
	budget := 25 * time.Second
	if l.short {
		n, budget = max(3, n/8), 5*time.Second
	}
	return func(yield func(int) bool) {
		start := time.Now()
		for r := range n {
			if r >= 3 && time.Since(start) > budget {
				return
			}
			if !yield(r) {
				return
			}
		}
	}
}

// slice returns how long one subject is under load in one round.
func (l *lab) slice(d time.Duration) time.Duration {
	if l.short {
		return d / 4
	}
	return d
}

// subject is a server that holds its groups, and connections that push to it.
type subject struct {
	*process
	crowd
	scraper *client
}

func (s subject) stop() {
	s.crowd.close()
	s.scraper.close()
	s.process.stop()
}

// subject starts a server, gives it its groups and connects to it. Gateways
// are scraped once, which proves that they hold all of them.
func (l *lab) subject(start func() (*process, error), groups, connections int) (s subject, err error) {
	p, err := start()
	if err != nil {
		return subject{}, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, p.lastWords())
			p.stop()
		}
	}()
	if err := fill(p, l.bodies, groups); err != nil {
		return subject{}, err
	}
	if p.gateway {
		if _, err := verify(p, groups); err != nil {
			return subject{}, err
		}
	}
	all, err := crowdTo(p, l.through, l.bodies, groups, connections)
	if err != nil {
		return subject{}, err
	}
	scraper, err := dial(p.addr)
	if err != nil {
		all.close()
		return subject{}, err
	}
	return subject{p, all, scraper}, nil
}

// pair starts the original, without its check, and ours with 10,000 groups.
func (l *lab) pair() (original, ours subject, err error) {
	original, err = l.subject(l.originalUnchecked, someGroups, 1)
	if err != nil {
		return subject{}, subject{}, err
	}
	ours, err = l.subject(l.ours, someGroups, 1)
	if err != nil {
		original.stop()
		return subject{}, subject{}, err
	}
	return original, ours, nil
}

// push returns the latencies of pushes over one connection, after a warm-up.
func (s subject) push(d time.Duration) ([]float64, error) {
	if _, err := s.crowd[0].pushFor(d / 5); err != nil {
		return nil, err
	}
	return s.crowd[0].pushFor(d)
}

// medianPush returns the median of push.
func (s subject) medianPush(d time.Duration) (float64, error) {
	latencies, err := s.push(d)
	return median(latencies), err
}

// pushRate returns the pushes per second of all connections, after a warm-up.
func (s subject) pushRate(d time.Duration) (float64, error) {
	if _, err := s.crowd.rate(d / 5); err != nil {
		return 0, err
	}
	return s.crowd.rate(d)
}

// medianScrape returns the median time of n scrapes and the size of the last
// as sent. Before each it pushes to as many random groups as changes says.
func (s subject) medianScrape(how coding, n, changes int) (seconds float64, size int64, err error) {
	var times []float64
	for range n {
		if err := s.crowd[0].pushSome(changes); err != nil {
			return 0, 0, err
		}
		took, bytes, err := s.scraper.scrape(how, nil)
		if err != nil {
			return 0, 0, err
		}
		times, size = append(times, took.Seconds()), bytes
	}
	return median(times), size, nil
}

// perRound collects one figure per round.
type perRound []float64

// step returns a step of a round that takes one more figure.
func (s *perRound) step(take func() (float64, error)) func() error {
	return func() error {
		v, err := take()
		*s = append(*s, v)
		return err
	}
}

// inTurn takes the steps forwards in even rounds and backwards in odd ones
// (A B, B A, A B …), so that a drift of the machine hits all of them alike.
func inTurn(round int, steps ...func() error) error {
	for i := range steps {
		if round%2 == 1 {
			i = len(steps) - 1 - i
		}
		if err := steps[i](); err != nil {
			return err
		}
	}
	return nil
}

// medianPushes returns the median push to each of two subjects in each of n rounds, in
// which either has its turn for a while.
func (l *lab) medianPushes(n int, turn time.Duration, first, second subject) (a, b perRound, err error) {
	turn = l.slice(turn)
	for r := range l.rounds(n) {
		if err := inTurn(r,
			a.step(func() (float64, error) { return first.medianPush(turn) }),
			b.step(func() (float64, error) { return second.medianPush(turn) }),
		); err != nil {
			return nil, nil, err
		}
	}
	return a, b, nil
}

func pushLatency(l *lab) ([]row, error) {
	floor, original, ours, err := l.trio(1)
	if err != nil {
		return nil, err
	}
	defer floor.stop()
	defer original.stop()
	defer ours.stop()

	// Many short rounds: the speed of a shared machine changes within seconds.
	// The original is not among them, as its collector works on after a push.
	f, o, err := l.medianPushes(400, 25*time.Millisecond, floor, ours)
	if err != nil {
		return nil, err
	}
	var g perRound
	for range l.rounds(10) {
		err := g.step(func() (float64, error) { return original.medianPush(l.slice(200 * time.Millisecond)) })()
		if err != nil {
			return nil, err
		}
	}
	return []row{{
			what:     "checked push, 1 connection, median latency, 100 groups",
			floor:    duration(median(f)),
			original: duration(median(g)),
			ours:     duration(median(o)),
			ratios:   ratios(o, f),
			of:       "× floor",
			goal:     atMost(1.6),
		}}, l.profile("push-latency", ours.process, func(d time.Duration) error {
			_, err := ours.push(d)
			return err
		})
}

func pushRate(l *lab) ([]row, error) {
	floor, original, ours, err := l.trio(8)
	if err != nil {
		return nil, err
	}
	defer floor.stop()
	defer original.stop()
	defer ours.stop()

	d := l.slice(100 * time.Millisecond)
	var f, o perRound
	cpuPerPush := func(s subject) func() (float64, error) {
		before, errBefore := s.cpu()
		return func() (float64, error) {
			after, err := s.cpu()
			return (after - before) / float64(s.pushed()), errors.Join(errBefore, err)
		}
	}
	floorCPU, ourCPU := cpuPerPush(floor), cpuPerPush(ours)
	for r := range l.rounds(80) {
		if err := inTurn(r,
			f.step(func() (float64, error) { return floor.pushRate(d) }),
			o.step(func() (float64, error) { return ours.pushRate(d) }),
		); err != nil {
			return nil, err
		}
	}
	a, errFloor := floorCPU()
	b, errOurs := ourCPU()
	if err := errors.Join(errFloor, errOurs); err != nil {
		return nil, err
	}
	l.note("Processor time that the server takes per push with 8 connections: floor %s, ours %s. Unlike the rates it leaves out waiting for a busy machine.",
		duration(a), duration(b))

	var g perRound
	for range l.rounds(10) {
		err := g.step(func() (float64, error) { return original.pushRate(l.slice(200 * time.Millisecond)) })()
		if err != nil {
			return nil, err
		}
	}
	return []row{{
			what:     "checked pushes per second, 8 connections, 100 groups",
			floor:    rate(median(f)),
			original: rate(median(g)),
			ours:     rate(median(o)),
			ratios:   ratios(o, f),
			of:       "× floor",
			goal:     atLeast(0.6),
		}}, l.profile("push-rate", ours.process, func(d time.Duration) error {
			_, err := ours.pushRate(d)
			return err
		})
}

// trio starts all three with 100 groups, the original with its check.
func (l *lab) trio(connections int) (floor, original, ours subject, err error) {
	starts := []func() (*process, error){l.floor, l.original, l.ours}
	var up []subject
	for _, start := range starts {
		s, err := l.subject(start, fewGroups, connections)
		if err != nil {
			for _, s := range up {
				s.stop()
			}
			return subject{}, subject{}, subject{}, err
		}
		up = append(up, s)
	}
	return up[0], up[1], up[2], nil
}

func pushManyGroups(l *lab) ([]row, error) {
	few, err := l.subject(l.ours, fewGroups, 1)
	if err != nil {
		return nil, err
	}
	defer few.stop()
	many, err := l.subject(l.ours, manyGroups, 1)
	if err != nil {
		return nil, err
	}
	defer many.stop()

	a, b, err := l.medianPushes(250, 40*time.Millisecond, few, many)
	if err != nil {
		return nil, err
	}
	return []row{{
			what:   "the same median, 100,000 groups against 100",
			ours:   duration(median(b)) + " against " + duration(median(a)),
			ratios: ratios(b, a),
			of:     "× 100 groups",
			goal:   atMost(1.25),
		}}, l.profile("push-many-groups", many.process, func(d time.Duration) error {
			_, err := many.push(d)
			return err
		})
}

func scrapeUnchanged(l *lab) ([]row, error) {
	original, ours, err := l.pair()
	if err != nil {
		return nil, err
	}
	defer original.stop()
	defer ours.stop()

	var rows []row
	for _, how := range []coding{plain, gzipped} {
		goal := atMost(1.0 / 20)
		if how == gzipped {
			goal = atMost(1.0 / 40)
			if err := errors.Join(l.verifyGzip(original.process, someGroups), l.verifyGzip(ours.process, someGroups)); err != nil {
				return rows, err
			}
		}
		r, err := l.scrapes(original, ours, how, 0)
		if err != nil {
			return rows, err
		}
		r.what = fmt.Sprintf("scrape of 10,000 groups, unchanged, %s", how)
		r.goal = goal
		rows = append(rows, r)
		if err := l.profile("scrape-unchanged-"+how.String(), ours.process, scrapeLoad(ours, how, 0)); err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func scrapeChanged(l *lab) ([]row, error) {
	original, ours, err := l.pair()
	if err != nil {
		return nil, err
	}
	defer original.stop()
	defer ours.stop()

	const changes = someGroups / 100
	r, err := l.scrapes(original, ours, gzipped, changes)
	if err != nil {
		return nil, err
	}
	r.what = "the same, 1 % of groups pushed between scrapes, gzip"
	r.goal = atMost(1.0 / 10)
	if err := l.profile("scrape-changed-gzip", ours.process, scrapeLoad(ours, gzipped, changes)); err != nil {
		return nil, err
	}
	// What was compressed in parts must still read as a whole.
	return []row{r}, l.verifyGzip(ours.process, someGroups)
}

// scrapes compares scrapes of the original with scrapes of ours, each after
// so many pushes to random groups. The original's take up to a second: it is
// scraped once per round, ours more often.
func (l *lab) scrapes(original, ours subject, how coding, changes int) (row, error) {
	var g, o perRound
	var originalSize, ourSize int64
	if _, _, err := ours.medianScrape(how, 2, changes); err != nil {
		return row{}, err
	}
	if _, _, err := original.medianScrape(how, 1, changes); err != nil {
		return row{}, err
	}
	for r := range l.rounds(8) {
		if err := inTurn(r,
			g.step(func() (s float64, err error) {
				s, originalSize, err = original.medianScrape(how, 1, changes)
				return s, err
			}),
			o.step(func() (s float64, err error) {
				s, ourSize, err = ours.medianScrape(how, 7, changes)
				return s, err
			}),
		); err != nil {
			return row{}, err
		}
	}
	l.note("Size of a %s scrape of 10,000 groups as sent: original %s, ours %s.", how, size(float64(originalSize)), size(float64(ourSize)))
	return row{
		original: duration(median(g)),
		ours:     duration(median(o)),
		ratios:   ratios(o, g),
		of:       "of original",
	}, nil
}

func scrapeLoad(s subject, how coding, changes int) func(time.Duration) error {
	return func(d time.Duration) error {
		for end := time.Now().Add(d); time.Now().Before(end); {
			if _, _, err := s.medianScrape(how, 1, changes); err != nil {
				return err
			}
		}
		return nil
	}
}

func pushUnderScrape(l *lab) ([]row, error) {
	ours, err := l.subject(l.ours, someGroups, 1)
	if err != nil {
		return nil, err
	}
	defer ours.stop()

	var rows []row
	for _, how := range []coding{gzipped, plain} {
		r, err := l.underScrape(ours, how)
		if err != nil {
			return rows, err
		}
		rows = append(rows, r)
		err = l.profile("push-under-scrape-"+how.String(), ours.process, func(d time.Duration) error {
			return l.whileScraped(ours.process, how, func() error {
				_, err := ours.push(d)
				return err
			}, new(int))
		})
		if err != nil {
			return rows, err
		}
	}
	return rows, nil
}

func (l *lab) underScrape(ours subject, how coding) (row, error) {
	d := l.slice(800 * time.Millisecond)
	var quiet, scraped perRound
	var allQuiet, allScraped []float64
	scrapes := 0
	for r := range l.rounds(10) {
		if err := inTurn(r,
			quiet.step(func() (float64, error) {
				latencies, err := ours.push(d)
				allQuiet = append(allQuiet, latencies...)
				return median(latencies), err
			}),
			scraped.step(func() (float64, error) {
				var latencies []float64
				err := l.whileScraped(ours.process, how, func() (err error) {
					latencies, err = ours.push(d)
					return err
				}, &scrapes)
				allScraped = append(allScraped, latencies...)
				return median(latencies), err
			}),
		); err != nil {
			return row{}, err
		}
	}
	// A median does not show pushes that wait for a whole scrape.
	l.note("Pushes under %s scrapes: 99th percentile %s, without scrapes %s; %d pushes, without scrapes %d; %d scrapes.",
		how, duration(quantile(allScraped, 0.99)), duration(quantile(allQuiet, 0.99)), len(allScraped), len(allQuiet), scrapes)
	return row{
		what:   fmt.Sprintf("median push while one client scrapes without pause, 10,000 groups, %s", how),
		ours:   duration(median(scraped)) + " against " + duration(median(quiet)),
		ratios: ratios(scraped, quiet),
		of:     "× no scrapes",
		goal:   atMost(2),
	}, nil
}

// whileScraped runs f while another process scrapes p without pause, and adds
// the number of its scrapes to scrapes.
func (l *lab) whileScraped(p *process, how coding, f func() error, scrapes *int) error {
	stop, err := l.startScraper(p, how)
	if err != nil {
		return err
	}
	err = f()
	n, stopErr := stop()
	*scrapes += n
	return errors.Join(err, stopErr)
}

func memory(l *lab) ([]row, error) {
	var g, o perRound
	for range 2 {
		original, ours, err := l.pair()
		if err != nil {
			return nil, err
		}
		a, b, err := l.residentAfterScrapes(original, ours)
		original.stop()
		ours.stop()
		if err != nil {
			return nil, err
		}
		g, o = append(g, a), append(o, b)
	}
	return []row{{
		what:     "resident memory with 10,000 groups",
		original: size(median(g)),
		ours:     size(median(o)),
		ratios:   ratios(o, g),
		of:       "of original",
		goal:     atMost(1.0 / 3),
	}}, nil
}

// residentAfterScrapes scrapes both a few times and returns their resident
// memory when neither falls any more.
func (l *lab) residentAfterScrapes(a, b subject) (inA, inB float64, err error) {
	for _, s := range []subject{a, b} {
		for range 3 {
			for _, how := range []coding{plain, gzipped} {
				if _, _, err := s.medianScrape(how, 1, 0); err != nil {
					return 0, 0, err
				}
			}
		}
	}
	// Go gives memory back slowly, in the background: as long as one of them
	// falls by more than 1 % in four seconds, it goes on.
	const patience = 4
	for quiet, tries := 0, 0; quiet < patience && tries < 30; tries++ {
		select {
		case <-l.ctx.Done():
			return 0, 0, l.ctx.Err()
		case <-time.After(time.Second):
		}
		nowA, errA := a.resident()
		nowB, errB := b.resident()
		if err := errors.Join(errA, errB); err != nil {
			return 0, 0, err
		}
		if tries == 0 || nowA < 0.99*inA || nowB < 0.99*inB {
			inA, inB, quiet = nowA, nowB, 0
			continue
		}
		quiet++
	}
	return inA, inB, nil
}
