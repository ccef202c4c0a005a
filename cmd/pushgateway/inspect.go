package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pushgateway/internal/exposition"
	"pushgateway/internal/journal"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
)

// The subcommands that look into a file, beside the flags of the gateway itself.
const (
	checkCommand  = "check"
	dumpCommand   = "dump"
	configCommand = "check-config"
)

// inspect carries out a subcommand, if args are one, and returns the exit code: 1
// where the file is damaged or wrong, or cannot be read.
func inspect(args []string, out, errOut io.Writer) (status int, done bool) {
	commands := []string{checkCommand, dumpCommand, configCommand}
	if len(args) == 0 || !slices.Contains(commands, args[0]) {
		return 0, false
	}
	if len(args) != 2 {
		fmt.Fprintf(errOut, "usage: pushgateway %s FILE\n", strings.Join(commands, "|"))
		return 2, true
	}
	path := args[1]
	if args[0] == configCommand {
		return checkConfig(path, out, errOut), true
	}
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
	totals := store.InMemory(found.Groups...).Totals()
	format := fmt.Sprintf("version %d", found.Version)
	if found.Upstream {
		format = "Prometheus Pushgateway; a gateway imports it when it starts with this file"
	}
	var size int64
	if info, err := os.Stat(path); err == nil {
		size = info.Size()
	}
	fmt.Fprintf(out, "%s: ok\nformat: %s\ngroups: %d\nmetrics: %d\nmetric data: %d bytes\nfile: %d bytes\n",
		path, format, totals.Groups, totals.Series, totals.Bytes, size)
}

// checkConfig says which rules are in a file, or what is wrong with them.
func checkConfig(path string, out, errOut io.Writer) (status int) {
	read, err := rules.Load(path)
	if err != nil {
		fmt.Fprintln(errOut, err)
		return 1
	}
	noun := "rules"
	if read.Len() == 1 {
		noun = "rule"
	}
	fmt.Fprintf(out, "%s: %d %s\n", path, read.Len(), noun)
	for i, rule := range read.All() {
		fmt.Fprintf(out, "%d: %s\n", i+1, rule)
	}
	return 0
}

// dump writes groups in the text format.
func dump(out io.Writer, groups []*store.Group) error {
	writer, err := exposition.NewWriter()
	if err != nil {
		return err
	}
	_, err = writer.Write(out, store.InMemory(groups...).Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.NoEscaping), exposition.Identity)
	return err
}
