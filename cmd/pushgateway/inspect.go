package main

import (
	"fmt"
	"io"
	"os"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pushgateway/internal/exposition"
	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

// The subcommands that look into a file, beside the flags of the gateway itself.
const (
	checkCommand = "check"
	dumpCommand  = "dump"
)

// inspect carries out a subcommand, if args are one, and returns the exit code: 1
// where the file is damaged or cannot be read.
func inspect(args []string, out, errOut io.Writer) (status int, done bool) {
	if len(args) == 0 || args[0] != checkCommand && args[0] != dumpCommand {
		return 0, false
	}
	if len(args) != 2 {
		fmt.Fprintf(errOut, "usage: pushgateway %s|%s FILE\n", checkCommand, dumpCommand)
		return 2, true
	}
	path := args[1]
	found, err := journal.Inspect(path)
	if args[0] == dumpCommand {
		if dumpErr := dump(out, found.Groups); dumpErr != nil {
			fmt.Fprintln(errOut, dumpErr)
			status = 1
		}
		if found.Guessed {
			fmt.Fprintf(errOut, "of a damaged file these are the %d groups that can still be read; groups deleted since may be among them\n", len(found.Groups))
		}
	} else if err == nil {
		describe(out, path, found)
	}
	if err != nil {
		fmt.Fprintln(errOut, err)
		status = 1
	}
	return status, true
}

// describe says what is in a file.
func describe(out io.Writer, path string, found journal.Inspection) {
	held := store.New(store.Memory{})
	held.Load(found.Groups)
	totals := held.Totals()
	format := "this program"
	if found.Original {
		format = "the original Pushgateway, to be taken over when a gateway starts with it"
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	fmt.Fprintf(out, "%s: good\nformat: of %s\ngroups: %d\nmetrics: %d\nbytes of metrics: %d\nbytes of the file: %d\n",
		path, format, totals.Groups, totals.Series, totals.Bytes, size)
}

// dump writes groups in the text format.
func dump(out io.Writer, groups []*store.Group) error {
	held := store.New(store.Memory{})
	held.Load(groups)
	writer, err := exposition.NewWriter()
	if err != nil {
		return err
	}
	_, err = writer.Write(out, held.View(), nil, expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.NoEscaping), exposition.Identity)
	return err
}
