package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// defaultPushTimeout is how long a push may take.
const defaultPushTimeout = 10 * time.Second

const pushHelp = `Push metrics from a file, the standard input or the command line.

The metrics are checked before they are sent. The push is tried again until the gateway answers or the time of --push-timeout is over. However often it is sent, it is applied once.

--ttl, --ttl-keep, --merge, --gauges, --timestamps and --drop-labels are options of this Pushgateway. If another server answers, such as the Prometheus Pushgateway, VictoriaMetrics or Vector, a push with one of them is not sent.

Exit status: 0 pushed; 1 the metrics are wrong, or the gateway rejected them; 2 the command line is wrong; 3 the gateway was not reached or cannot accept pushes now.

Examples:

  pushgateway push --job=backup --metric=backup_bytes=4096
  pushgateway push --job=backup --label=database=orders --ttl=48h metrics.prom
  echo 'rows 3' | pushgateway push --job=import --replace
  pushgateway push --job=shop --metric=orders_total=3 --metric-type=counter --merge=sum
`

func pushCommand() command { return command{"push", pushHelp, declarePush} }

// pushFlags are the flags and arguments of push.
type pushFlags struct {
	client  *clientFlags
	group   *groupFlags
	options *metric.Options
	source  bodySource
	replace bool
	dryRun  bool
	verbose bool
}

func declarePush(app *kingpin.Application) action {
	f := &pushFlags{
		client:  addClientFlags(app, "push-timeout", defaultPushTimeout),
		group:   addGroupFlags(app),
		options: addOptionFlags(app, "ttl", "ttl_keep", "merge", "gauges", "timestamps", "drop_labels"),
	}
	app.Flag("replace", "Replace the whole group, not only metrics of the same names.").BoolVar(&f.replace)
	f.source.addFlags(app)
	app.Flag("dry-run", "Check the metrics, but do not push them.").BoolVar(&f.dryRun)
	app.Flag("verbose", "Print what was pushed, and each failed attempt.").Short('v').BoolVar(&f.verbose)
	return f.push
}

func (f *pushFlags) push(call *invocation) error {
	group, err := f.group.group()
	if err != nil {
		return err
	}
	if !pushoptions.Compatible(*f.options) {
		return usageError("--gauges needs --merge=sum")
	}
	if f.replace && f.options.Merge != metric.MergeDefault && f.options.Merge != metric.MergeGroup {
		return usageError("--replace does not go with --merge=%v", f.options.Merge)
	}
	gateway, err := f.client.client(func(err error, wait time.Duration) {
		if f.verbose {
			fmt.Fprintf(call.errOut, "%v; trying again in %v\n", err, wait.Round(time.Millisecond))
		}
	})
	if err != nil {
		return err
	}
	body, err := f.source.read(call.in)
	if err != nil {
		return err
	}
	if err := body.check(group, *f.options); err != nil {
		return err
	}
	if f.dryRun {
		fmt.Fprintf(call.out, "%s: ok\n", body.name)
		return nil
	}
	return f.send(call, gateway, group, body)
}

// send pushes the body and reports what became of it.
func (f *pushFlags) send(call *invocation, gateway *client.Client, group metric.GroupingKey, body *pushBody) error {
	ctx := context.Background()
	if err := body.fit(ctx, gateway); err != nil {
		return requestError(err)
	}
	result, err := gateway.Push(ctx, client.Push{
		Group: group, Replace: f.replace, Options: *f.options, Body: body.content, ContentType: body.contentType(),
	})
	if err != nil {
		return requestError(err)
	}
	if f.verbose {
		fmt.Fprintf(call.out, "pushed %d bytes to %s%s, attempts: %d\n", len(body.content), gateway.URL(), group.Path(), result.Attempts)
	}
	return nil
}

// bodySource says where the metrics of a push come from.
type bodySource struct {
	file       string
	format     string
	oneLiners  []string
	metricType string
	metricHelp string
}

// formats are the values of --format, and auto.
var formats = []string{"auto", "text", "openmetrics", "protobuf"}

func (s *bodySource) addFlags(app *kingpin.Application) {
	app.Flag("format", "Format of the metrics: auto, text, openmetrics or protobuf (delimited). auto looks at them.").
		Default("auto").EnumVar(&s.format, formats...)
	app.Flag("metric", "Push this metric instead of a file, such as x=1 or 'x{a=\"b\"}=1'; can be repeated.").
		PlaceHolder("NAME=VALUE").StringsVar(&s.oneLiners)
	app.Flag("metric-type", "Type of the metrics of --metric: gauge, counter or untyped.").
		Default("gauge").EnumVar(&s.metricType, "gauge", "counter", "untyped")
	app.Flag("metric-help", "Help text of the metrics of --metric.").PlaceHolder("TEXT").StringVar(&s.metricHelp)
	app.Arg("file", "File with the metrics; - or none for the standard input.").StringVar(&s.file)
}

// read returns the metrics.
func (s *bodySource) read(in io.Reader) (*pushBody, error) {
	if len(s.oneLiners) > 0 {
		if s.file != "" {
			return nil, usageError("give either --metric or a file")
		}
		return oneLiners(s.oneLiners, s.metricType, s.metricHelp)
	}
	name := s.file
	var content []byte
	var err error
	if s.file == "" || s.file == "-" {
		name = "standard input"
		content, err = io.ReadAll(in)
	} else {
		content, err = os.ReadFile(s.file)
	}
	if err != nil {
		return nil, err
	}
	if len(content) == 0 {
		return nil, errors.New(name + " is empty: nothing was pushed")
	}
	return newPushBody(name, content, s.format), nil
}
