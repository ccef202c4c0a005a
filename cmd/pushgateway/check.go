package main

import (
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

const checkHelp = `Verify a persistence file and print what is in it.

Stop the gateway first, or check a backup: only one process can use a file.

Example:

  pushgateway check data/pushgateway.db
`

func checkCommand() command {
	return command{"check", checkHelp, func(app *kingpin.Application) action {
		file := app.Arg("file", "The persistence file.").Required().String()
		return func(call *invocation) error { return check(*file, call.out) }
	}}
}

// check verifies a persistence file and prints what is in it.
func check(path string, out io.Writer) error {
	found, err := journal.Inspect(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	format := fmt.Sprintf("version %d", found.Version)
	if found.Upstream {
		format = "Prometheus Pushgateway; a gateway imports it when it starts with this file"
	}
	totals := store.InMemory(found.Groups...).Totals()
	_, err = fmt.Fprintf(out, "%s: ok\nformat: %s\ngroups: %d\nmetrics: %d\nmetric data: %d bytes\nfile: %d bytes\n",
		path, format, totals.Groups, totals.Series, totals.Bytes, info.Size())
	return err
}
