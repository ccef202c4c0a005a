package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/common/expfmt"
)

// A side starts what it measures and returns a function that measures it once,
// for one round. The figure is in seconds, pushes per second or bytes.
type side func(*lab) (figure func() (float64, error), err error)

// of is the side that measures one server.
func of(s server, figure func(*instance) (float64, error)) side {
	return func(l *lab) (func() (float64, error), error) {
		i, err := l.start(s)
		return func() (float64, error) { return figure(i) }, err
	}
}

// constant is a side that always has the same figure.
func constant(v float64) side {
	return func(*lab) (func() (float64, error), error) {
		return func() (float64, error) { return v, nil }, nil
	}
}

// sum is the side whose figure is that of a, times factor, plus that of b.
func sum(factor float64, a, b side) side {
	return func(l *lab) (func() (float64, error), error) {
		figureA, errA := a(l)
		figureB, errB := b(l)
		return func() (float64, error) {
			valueA, errA := figureA()
			valueB, errB := figureB()
			return factor*valueA + valueB, errors.Join(errA, errB)
		}, errors.Join(errA, errB)
	}
}

// perGroup divides by the number of groups.
func perGroup(of side, groups float64) side { return sum(1/groups, of, constant(0)) }

// pushLatency is the quantile of the latencies of pushes over one connection.
func pushLatency(q float64, s server) side {
	return of(s, func(i *instance) (float64, error) {
		d := pushTurn
		if s.file || s.replicas > 0 {
			d = rateTurn // a disk is slower
		}
		took, err := timed(d, i.pushRandom)
		return quantile(took, q), err
	})
}

// pushRate is the pushes per second over so many connections.
func pushRate(connections int, s server) side {
	return of(s, func(i *instance) (float64, error) {
		counts := make([]int, connections)
		start := time.Now()
		err := i.parallel(connections, func(n int, p *pusher) error {
			for time.Since(start) < rateTurn {
				if err := p.push(p.rng.IntN(i.groups)); err != nil {
					return err
				}
				counts[n]++
			}
			return nil
		})
		total := 0
		for _, n := range counts {
			total += n
		}
		return float64(total) / time.Since(start).Seconds(), err
	})
}

// pacedLatency is the quantile of the latencies of so many pushes per second, over 64
// connections. A push that begins late, because the one before took long, counts from when it was due.
func pacedLatency(q float64, perSecond int, s server) side {
	const connections = 64
	return of(s, func(i *instance) (float64, error) {
		took := make([][]float64, connections)
		interval := time.Second * connections / time.Duration(perSecond)
		start := time.Now()
		err := i.parallel(connections, func(n int, p *pusher) error {
			for due := start.Add(interval * time.Duration(n) / connections); due.Sub(start) < pacedTurn; due = due.Add(interval) {
				if err := sleep(i.lab.ctx, time.Until(due)); err != nil {
					return err
				}
				if err := p.push(p.rng.IntN(i.groups)); err != nil {
					return err
				}
				took[n] = append(took[n], time.Since(due).Seconds())
			}
			return nil
		})
		return quantile(slices.Concat(took...), q), err
	})
}

// scrapes is the median time of a scrape. Before the first one is timed,
// two others prove that all groups are there.
func scrapes(encoding string, format expfmt.Format, s server) side {
	verified := false
	return of(s, func(i *instance) (float64, error) {
		if !verified {
			if err := errors.Join(i.verify(encoding, format), i.verify(encoding, format)); err != nil {
				return 0, err
			}
			verified = true
		}
		took, err := timed(scrapeTurn, func() error {
			return scrape(io.Discard, i.addr, encoding, format)
		})
		return quantile(took, 0.5), err
	})
}

// scrapesAfterPushes is the median time of a scrape that comes after pushes to
// random groups.
func scrapesAfterPushes(pushes int, encoding string, s server) side {
	return of(s, func(i *instance) (float64, error) {
		var took []float64
		for start := time.Now(); len(took) == 0 || time.Since(start) < 2*scrapeTurn; {
			for range pushes {
				if err := i.pushRandom(); err != nil {
					return 0, err
				}
			}
			start := time.Now()
			if err := scrape(io.Discard, i.addr, encoding, asText); err != nil {
				return 0, err
			}
			took = append(took, time.Since(start).Seconds())
		}
		return quantile(took, 0.5), i.verify(encoding, asText)
	})
}

// firstByte is the median time to the first byte of a page that comes after a push to a
// random group.
func firstByte(page string, s server) side {
	return of(s, func(i *instance) (float64, error) {
		var took []float64
		for range 10 {
			if err := i.pushRandom(); err != nil {
				return 0, err
			}
			start := time.Now()
			resp, err := scraper.Get("http://" + i.addr + page)
			if err != nil {
				return 0, err
			}
			took = append(took, time.Since(start).Seconds()) // the headers and the first bytes have arrived
			body, err := io.ReadAll(resp.Body)
			resp.Body.Close()
			if err != nil || resp.StatusCode != http.StatusOK || !bytes.Contains(body, []byte("data-key=")) {
				return 0, fmt.Errorf("%s: %s, %d bytes without a group: %w", page, resp.Status, len(body), err)
			}
		}
		return quantile(took, 0.5), nil
	})
}

// whileScraped measures a side while its last server is scraped without pause.
func whileScraped(encoding string, of side) side {
	return func(l *lab) (func() (float64, error), error) {
		figure, err := of(l)
		if err != nil {
			return nil, err
		}
		scraped := l.running[len(l.running)-1]
		return func() (float64, error) {
			// It is not a goroutine of this process, where the pushes would wait for it in the scheduler.
			scraper, err := scraped.startRole(nil, roleScraper, scraped.addr, encoding)
			if err != nil {
				return 0, err
			}
			defer scraper.stop()
			return figure()
		}, nil
	}
}

// residentMemory is the memory that a filled server keeps, before or after
// text scrapes.
func residentMemory(scraped bool, s server) side {
	return of(s, func(i *instance) (float64, error) {
		for range 3 {
			if !scraped {
				break
			}
			if err := errors.Join(i.verify(plain, asText), i.verify(gzipped, asText)); err != nil {
				return 0, err
			}
		}
		return i.settledMemory()
	})
}

// peakOfPush is the peak of the resident memory during one push, less what is
// stored after it. Of upstream, which does not report what it stores, nothing
// is subtracted. The gateway may reject the push.
func peakOfPush(push func() upload, s server) side {
	return memoryOfPush(push, s, func(i *instance) (float64, error) { return i.memory("VmHWM") })
}

// settledAfterPush is peakOfPush for the resident memory that remains.
func settledAfterPush(push func() upload, s server) side {
	return memoryOfPush(push, s, (*instance).settledMemory)
}

func memoryOfPush(push func() upload, s server, memory func(*instance) (float64, error)) side {
	return of(s, func(i *instance) (float64, error) {
		u := push()
		status, answer, err := i.request(http.MethodPut, "/metrics/job/large", bytes.NewReader(u.content), u.headers...)
		if err != nil || status >= 500 {
			return 0, fmt.Errorf("push: status %d: %.300s: %v", status, answer, err)
		}
		used, err := memory(i)
		if err != nil || s.kind == kindUpstream {
			return used, err
		}
		stored, err := i.selfMetric("pushgateway_stored_bytes")
		return used - stored, err
	})
}

// bodySize is the decompressed size of a push.
func bodySize(push func() upload) side {
	return func(*lab) (func() (float64, error), error) {
		return func() (float64, error) { return float64(push().size), nil }, nil
	}
}

// fileSize is the size of the file after each group was pushed to so many times more.
func fileSize(overwrites int, s server) side {
	return of(s, func(i *instance) (float64, error) {
		for range overwrites {
			if err := s.fill(i); err != nil {
				return 0, err
			}
		}
		// What is synced at intervals is written by then.
		if err := sleep(i.lab.ctx, 3*time.Second); err != nil {
			return 0, err
		}
		info, err := os.Stat(i.storage)
		if err != nil {
			return 0, err
		}
		return float64(info.Size()), nil
	})
}

// startTime is the time from start to readiness, divided by the number of groups.
func startTime(groups float64, s server) side {
	return of(s, func(i *instance) (float64, error) {
		i.stop()
		start := time.Now()
		err := i.run()
		return time.Since(start).Seconds() / groups, err
	})
}

// bulkPush is the time of one push to so many groups.
func bulkPush(groups int, s server) side {
	body := bulkBody(0, groups, gauges)
	return of(s, func(i *instance) (float64, error) {
		start := time.Now()
		err := i.pushBulk(body)
		return time.Since(start).Seconds(), err
	})
}

// longestWaitBesideLarge pushes very many metric families to one group, twice, each time with
// a scrape after it, while one client pushes to other groups, and another one to a bare server, the
// floor. When both wait at the same moment, the processors or the disk are busy, not the gateway.
func longestWaitBesideLarge(s, floor server) side {
	body := manyFamilies()
	return func(l *lab) (func() (float64, error), error) {
		i, err := l.start(s)
		if err != nil {
			return nil, err
		}
		control, err := l.start(floor)
		return func() (float64, error) {
			done := make(chan struct{})
			var ours, others []wait
			var errs [3]error
			var clients sync.WaitGroup
			clients.Go(func() { ours, errs[0] = i.waits(done) })
			clients.Go(func() { others, errs[1] = control.waits(done) })
			for range 2 {
				status, answer, err := i.request(http.MethodPut, "/metrics/job/large", bytes.NewReader(body))
				if err == nil && status != http.StatusOK {
					err = fmt.Errorf("push: status %d: %.300s", status, answer)
				}
				errs[2] = errors.Join(errs[2], err, scrape(io.Discard, i.addr, gzipped, asText))
			}
			close(done)
			clients.Wait()
			return longestAlone(ours, others).Seconds(), errors.Join(errs[:]...)
		}, err
	}
}

// wait is a push that took at least minWait.
type wait struct{ start, end time.Time }

const minWait = time.Millisecond

// waits pushes to random groups until done.
func (i *instance) waits(done <-chan struct{}) (waits []wait, err error) {
	for {
		select {
		case <-done:
			return waits, nil
		default:
		}
		w := wait{start: time.Now()}
		if err := i.pushRandom(); err != nil {
			return nil, err
		}
		if w.end = time.Now(); w.end.Sub(w.start) >= minWait {
			waits = append(waits, w)
		}
	}
}

// longestAlone returns the longest of the waits, each reduced by its largest overlap with one of
// the others.
func longestAlone(waits, others []wait) (longest time.Duration) {
	for _, w := range waits {
		common := time.Duration(0)
		for _, o := range others {
			start, end := w.start, w.end
			if o.start.After(start) {
				start = o.start
			}
			if o.end.Before(end) {
				end = o.end
			}
			common = max(common, end.Sub(start))
		}
		longest = max(longest, w.end.Sub(w.start)-common)
	}
	return longest
}

// longestWaitWhileExpiring lets 100,000 groups expire at the same moment, while one
// client pushes to others.
func longestWaitWhileExpiring(l *lab) (func() (float64, error), error) {
	// The groups with numbers under 100 are those that are pushed to.
	const expireOthers = "rules:\n- match: '{instance!~\"db-10000..\"}'\n  ttl: 1s\n"
	s := ours(fewGroups+manyGroups, selfMetrics, "--web.enable-lifecycle").withRules("rules: []\n")
	i, err := l.start(s)
	if err != nil {
		return nil, err
	}
	i.groups = fewGroups
	return func() (float64, error) {
		if err := os.WriteFile(i.rulesFile, []byte(expireOthers), 0o644); err != nil {
			return 0, err
		}
		if status, text, err := i.request(http.MethodPost, "/-/reload", nil); err != nil || status != http.StatusOK {
			return 0, fmt.Errorf("reload: status %d: %s: %v", status, text, err)
		}
		longest := time.Duration(0)
		for pushes := 1; ; pushes++ {
			start := time.Now()
			if err := i.pushRandom(); err != nil {
				return 0, err
			}
			longest = max(longest, time.Since(start))
			if pushes%100 > 0 {
				continue
			}
			left, err := i.selfMetric("pushgateway_groups")
			if err != nil || left == fewGroups {
				return longest.Seconds(), err
			}
		}
	}, nil
}
