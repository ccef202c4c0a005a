package main

import (
	"fmt"
	"io"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/rules"
)

const checkConfigHelp = `Verify a rules file (--config.file) and print its rules.

Example:

  pushgateway check-config /etc/pushgateway/rules.yml
`

func checkConfigCommand() command {
	return command{"check-config", checkConfigHelp, func(app *kingpin.Application) action {
		file := app.Arg("file", "The rules file.").Required().String()
		return func(call *invocation) error { return checkConfig(*file, call.out) }
	}}
}

// checkConfig verifies a rules file and prints its rules.
func checkConfig(path string, out io.Writer) error {
	read, err := rules.Load(path)
	if err != nil {
		return err
	}
	noun := "rules"
	if read.Len() == 1 {
		noun = "rule"
	}
	fmt.Fprintf(out, "%s: %d %s\n", path, read.Len(), noun)
	for i, rule := range read.All() {
		fmt.Fprintf(out, "%d: %s\n", i+1, rule)
	}
	return nil
}
