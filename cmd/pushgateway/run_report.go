package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"pushgateway/internal/client"
	"pushgateway/internal/job"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
	"pushgateway/internal/wire"
)

// totalsLabel tells the group of the metrics that add up from the one that is replaced.
const totalsLabel = "totals"

// reporter pushes how a command goes, and writes it to a textfile. It never fails: what goes
// wrong is printed.
type reporter struct {
	gateway       *client.Client // nil if nothing is pushed
	group, totals metric.GroupingKey
	options       metric.Options
	metrics       job.Metrics
	timeout       time.Duration
	spool         *job.Spool // may be nil
	textfile      string     // may be empty
	sumTextfile   bool       // add up what the command writes
	startPush     bool
	errOut        io.Writer

	cancelStart context.CancelFunc
	startDone   chan struct{} // closed when the push of the start is over
}

func (r *reporter) warn(err error) { fmt.Fprintf(r.errOut, "pushgateway run: %v\n", err) }

// started pushes that the command starts, in the background, after what is in the spool.
func (r *reporter) started() {
	if r.gateway == nil || !r.startPush {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	r.cancelStart, r.startDone = cancel, make(chan struct{})
	push := r.newPush(r.group, r.metrics.AtStart(time.Now()), metric.Options{})
	go func() {
		defer close(r.startDone)
		// The push at the end has the same errors, and prints them.
		if r.sendSpooled(ctx) == nil {
			_ = r.try(ctx, push)
		}
	}()
}

// ended pushes how the command went, and what it has written to its textfile. That takes no
// longer than the timeout.
func (r *reporter) ended(o job.Outcome, written []byte) {
	content := r.checkWritten(written)
	if r.textfile != "" {
		if err := r.writeTextfile(o, content); err != nil {
			r.warn(fmt.Errorf("--textfile: %w", err))
		}
	}
	if r.gateway == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), r.timeout)
	defer cancel()
	if r.startDone != nil {
		select {
		case <-r.startDone:
		case <-ctx.Done():
		}
		r.cancelStart()
		<-r.startDone
	}
	r.pushAll(ctx, r.pushes(o, content))
}

// pushes returns what to push, in order.
func (r *reporter) pushes(o job.Outcome, written []byte) []job.Push {
	var list []job.Push
	if written != nil {
		if r.sumTextfile {
			list = append(list, r.newPush(r.totals, written, metric.Options{Merge: metric.MergeSum}))
		} else {
			list = append(list, r.newPush(r.group, written, metric.Options{}))
		}
	}
	totals := r.newPush(r.totals, r.metrics.Totals(o), metric.Options{Merge: metric.MergeSum})
	totals.AddedUp = true
	return append(list, totals, r.newPush(r.group, r.metrics.AtEnd(o), metric.Options{}))
}

func (r *reporter) newPush(group metric.GroupingKey, body []byte, options metric.Options) job.Push {
	return job.Push{
		Labels: group.Labels(), Options: pushoptions.Format(options.Or(r.options)),
		Body: body, IdempotencyKey: client.NewIdempotencyKey(),
	}
}

// pushAll sends what is in the spool, and then the pushes. Those that cannot be sent now go to
// the spool.
func (r *reporter) pushAll(ctx context.Context, list []job.Push) {
	err := r.sendSpooled(ctx)
	for err == nil && len(list) > 0 {
		if err = r.send(ctx, list[0]); err == nil {
			list = list[1:]
		}
	}
	if err == nil {
		return
	}
	if r.spool == nil {
		r.warn(fmt.Errorf("not pushed: %w", err))
		return
	}
	for _, push := range list {
		if failed := r.spool.Add(push); failed != nil {
			r.warn(fmt.Errorf("not pushed: %w; nor kept for later: %w", err, failed))
			return
		}
	}
	r.warn(fmt.Errorf("kept in %s for the next run: %w", r.spool.Dir, err))
}

func (r *reporter) sendSpooled(ctx context.Context) error {
	if r.spool == nil {
		return nil
	}
	wait := r.timeout
	if deadline, ok := ctx.Deadline(); ok {
		wait = time.Until(deadline)
	}
	return r.spool.Send(wait, func(p job.Push) error { return r.send(ctx, p) })
}

// send sends a push. It returns an error if that may succeed later. Other errors are printed.
func (r *reporter) send(ctx context.Context, p job.Push) error {
	err := r.try(ctx, p)
	if err == nil || client.Temporary(err) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
		return err
	}
	r.warn(err)
	return nil
}

// try sends a push, unless it is for servers that add up and this is none.
func (r *reporter) try(ctx context.Context, p job.Push) error {
	if p.AddedUp {
		server, err := r.gateway.Server(ctx)
		if err != nil {
			return err
		}
		if !slices.Contains(server.Options, "merge") {
			return nil // it would show the last run as if it were all of them
		}
	}
	options, err := parseOptions(p.Options)
	if err != nil {
		return err
	}
	_, err = r.gateway.Push(ctx, client.Push{
		Group: metric.NewGroupingKey(slices.Clone(p.Labels)), Options: options, Body: p.Body, ContentType: contentTypes[wire.Text],
		IdempotencyKey: p.IdempotencyKey,
	})
	return err
}

// parseOptions parses what pushoptions.Format returned.
func parseOptions(list []string) (metric.Options, error) {
	var options metric.Options
	for _, text := range list {
		name, value, _ := strings.Cut(text, "=")
		if !pushoptions.Known(name) {
			return options, fmt.Errorf("unknown push option %s", text)
		}
		option, err := pushoptions.Parse(name, value)
		if err != nil {
			return options, err
		}
		options = option.Or(options)
	}
	return options, nil
}

// checkWritten returns what the command has written in the text format, nil if that is nothing
// or wrong.
func (r *reporter) checkWritten(written []byte) []byte {
	if written == nil {
		return nil
	}
	body := newPushBody("$PUSHGATEWAY_TEXTFILE", written, "auto")
	group, options := r.group, metric.Options{}
	if r.sumTextfile {
		group, options.Merge = r.totals, metric.MergeSum
	}
	err := body.check(group, options)
	if err == nil {
		err = body.toText()
	}
	if err != nil {
		r.warn(fmt.Errorf("metrics of the command not used: %w", err))
		return nil
	}
	return body.content
}

// writeTextfile writes the file of --textfile, if need be without what the command has written.
func (r *reporter) writeTextfile(o job.Outcome, written []byte) error {
	err := r.metrics.WriteTextfile(r.textfile, r.group, o, written)
	if err != nil && written != nil {
		r.warn(fmt.Errorf("--textfile: metrics of the command left out: %w", err))
		err = r.metrics.WriteTextfile(r.textfile, r.group, o, nil)
	}
	return err
}
