package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

const healthcheckHelp = `Check whether a gateway answers, for images without a shell.

It asks once. The exit status is 0 if the gateway is healthy, and otherwise 1, with the reason on
one line. With --ready, the gateway must also have loaded its file.

Examples:
  pushgateway healthcheck
  pushgateway healthcheck --ready --url=https://localhost:9091/prefix --tls.ca-file=ca.pem
`

func healthcheckCommand() command {
	return command{"healthcheck", healthcheckHelp, declareHealthcheck}
}

func declareHealthcheck(app *kingpin.Application) action {
	flags := addClientFlags(app, "timeout", 5*time.Second)
	ready := app.Flag("ready", "Check whether the gateway is ready, not only whether it is alive.").Bool()
	return func(call *invocation) error {
		// Whoever runs health checks repeats them, so the first failure counts. Of the time for
		// all attempts, the client leaves the first one half.
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		flags.timeout *= 2
		gateway, err := flags.client(func(error, time.Duration) { cancel() })
		if err != nil {
			return err
		}
		path, healthy := "/-/healthy", "healthy"
		if *ready {
			path, healthy = "/-/ready", "ready"
		}
		if _, err := gateway.Text(ctx, http.MethodGet, path, nil); err != nil {
			return errors.New(firstLine(err.Error()))
		}
		_, err = fmt.Fprintln(call.out, healthy)
		return err
	}
}

// firstLine returns the first line of a text.
func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return printable(line)
}
