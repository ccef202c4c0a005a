package main

import (
	"context"
	"io"
	"os"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
	"pushgateway/internal/metric"
)

// defaultPushTimeout is how long a push may take.
const defaultPushTimeout = 10 * time.Second

func pushCommand() command {
	return command{"push", "Push metrics from a file or the standard input.", declarePush}
}

func declarePush(app *kingpin.Application) action {
	flags := addClientFlags(app, "push-timeout", defaultPushTimeout)
	job := app.Flag("job", "Value of the label job of the group.").Required().String()
	replace := app.Flag("replace", "Replace the whole group, not only metrics of the same names.").Bool()
	file := app.Arg("file", "File with the metrics; - for the standard input.").Default("-").String()
	return func(call *invocation) error {
		c, err := flags.client(nil)
		if err != nil {
			return err
		}
		var body []byte
		if *file == "-" {
			body, err = io.ReadAll(call.in)
		} else {
			body, err = os.ReadFile(*file)
		}
		if err != nil {
			return err
		}
		_, err = c.Push(context.Background(), client.Push{
			Group: metric.NewGroupingKey([]metric.Label{{Name: metric.JobLabel, Value: *job}}), Replace: *replace, Body: body,
		})
		return requestError(err)
	}
}
