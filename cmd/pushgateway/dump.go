package main

import (
	"errors"
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pushgateway/internal/exposition"
	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

const dumpHelp = `Print the metrics in a persistence file.

They are in the text format. From a damaged file, it prints every group that can still be read. Stop the gateway first, or dump a backup: only one process can use a file.

Example:

  pushgateway dump data/pushgateway.db > metrics.prom
`

func dumpCommand() command {
	return command{"dump", dumpHelp, func(app *kingpin.Application) action {
		file := app.Arg("file", "The persistence file.").Required().String()
		return func(call *invocation) error { return dump(*file, call.out, call.errOut) }
	}}
}

// dump prints the metrics in a persistence file in the text format. Of a damaged file it
// prints the groups that can still be read, and returns an error.
func dump(path string, out, errOut io.Writer) error {
	found, err := journal.Inspect(path)
	writer, writerErr := exposition.NewWriter(nil)
	if writerErr != nil {
		return errors.Join(writerErr, err)
	}
	format := expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.NoEscaping)
	_, writeErr := writer.Write(out, store.InMemory(found.Groups...).Snapshot(), nil, format, exposition.Identity)
	if found.Guessed {
		fmt.Fprintf(errOut, "the file is damaged: these are the %d groups that can still be read; some of them may have been deleted\n", len(found.Groups))
	}
	return errors.Join(writeErr, err)
}
