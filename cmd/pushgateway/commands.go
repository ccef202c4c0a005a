package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/alecthomas/kingpin/v2"
)

// Exit statuses of subcommands. Those of run are the command's own.
const (
	exitFailed      = 1 // what was asked for cannot be done; trying again does not help
	exitUsage       = 2 // the command line has a mistake
	exitUnavailable = 3 // the gateway was not reached, or cannot answer now; trying again may help
)

// A command is a subcommand: what to do instead of serving.
type command struct {
	name string
	help string // what it does: a line, and then paragraphs and examples, if there are any
	// declare adds the command's flags and arguments to app. It returns what to do once they
	// are parsed.
	declare func(app *kingpin.Application) action
}

// An action carries out a command. Its error is printed; see exitStatus.
type action func(*invocation) error

// An invocation is a call of a command.
type invocation struct {
	selected        string // the name of the subcommand, if the command has some, as hash in auth hash
	in, out, errOut *os.File
}

// commands returns all subcommands, in the order in which --help lists them.
func commands() []command {
	return []command{
		pushCommand(), runCommand(),
		checkCommand(), dumpCommand(), migrateCommand(), checkConfigCommand(), authCommand(),
		groupsCommand(), showCommand(), deleteCommand(), wipeCommand(), backupCommand(), reloadCommand(), statusCommand(),
		healthcheckCommand(),
		completionCommand(), manCommand(),
	}
}

// findCommand returns the command that the arguments begin with. There is none if they are
// empty or begin with a flag: then the gateway serves.
func findCommand(args []string) (found command, ok bool) {
	if len(args) == 0 {
		return command{}, false
	}
	for _, c := range commands() {
		if c.name == args[0] {
			return c, true
		}
	}
	return command{}, false
}

// application returns the parser of the command's flags and arguments, and its action.
func (c command) application() (*kingpin.Application, action) {
	app := kingpin.New("pushgateway "+c.name, c.help)
	app.HelpFlag.Help("Show this help.").Short('h')
	return app, c.declare(app)
}

// run runs the command with its arguments and returns the exit status of the process.
func (c command) run(args []string, call invocation) (status int) {
	app, act := c.application()
	app.UsageWriter(call.out) // only --help prints it
	app.ErrorWriter(call.errOut)
	var err error
	if call.selected, err = app.Parse(args); err != nil {
		err = usageError("pushgateway %s: %w\nusage: %s\npushgateway %[1]s --help explains it", c.name, err, usage(app))
	} else {
		err = act(&call)
	}
	if text := errorText(err); text != "" {
		fmt.Fprintln(call.errOut, text)
	}
	return exitStatus(err)
}

// usage returns a line that shows what the arguments of the application are.
func usage(app *kingpin.Application) string {
	model := app.Model()
	words := []string{model.Name}
	if flags := model.FlagSummary(); flags != "" {
		words = append(words, flags)
	}
	if len(model.Args) > 0 {
		words = append(words, model.ArgSummary())
	}
	if len(model.Commands) > 0 {
		words = append(words, "<command> [<args> ...]")
	}
	return strings.Join(words, " ")
}

// commandList describes all commands for the help of the server.
func commandList() string {
	var list strings.Builder
	for _, c := range commands() {
		line, _, _ := strings.Cut(c.help, "\n")
		fmt.Fprintf(&list, "\n  %-12s %s", c.name, line)
	}
	return list.String()
}

// exitError ends the process with a status of its own choice.
type exitError struct {
	status int
	err    error // to be printed; nil if there is nothing to say
}

func (e *exitError) Error() string { return fmt.Sprint(e.err) }
func (e *exitError) Unwrap() error { return e.err }

// usageError returns an error about the command line.
func usageError(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// exitStatus returns the exit status of a command that ended with err, which may be nil.
func exitStatus(err error) int {
	if err == nil {
		return 0
	}
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.status
	}
	return exitFailed
}

// errorText returns what to print about err, or "" if there is nothing to say.
func errorText(err error) string {
	if err == nil {
		return ""
	}
	if exit, ok := errors.AsType[*exitError](err); ok && exit.err == nil {
		return ""
	}
	return err.Error()
}
