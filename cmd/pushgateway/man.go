package main

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
)

func manCommand() command {
	return command{"man", `Print the man page.

Examples:
  pushgateway man | man -l -
  pushgateway man > pushgateway.1
`, func(*kingpin.Application) action {
		return func(call *invocation) error { return writeManPage(call.out) }
	}}
}

// writeManPage writes the man page, made from the flags and commands, with the macros of man(7).
func writeManPage(w io.Writer) error {
	p := manPage{bufio.NewWriter(w)}
	app, _ := declareFlags("pushgateway")
	p.line(`.TH PUSHGATEWAY 1 "" "pushgateway %s" "User Commands"`, version.Version)
	p.line(".SH NAME\npushgateway \\- accept the metrics of batch jobs for Prometheus, and push them")
	p.line(".SH SYNOPSIS\n.B pushgateway\n.RI [ flags ]")
	for _, c := range commands() {
		app, _ := c.application()
		p.line(".br\n.B pushgateway %s\n%s", c.name, roff(strings.TrimSpace(strings.TrimPrefix(usage(app), "pushgateway "+c.name))))
	}
	p.line(".SH DESCRIPTION")
	p.text("Batch jobs push their metrics to a Pushgateway, and Prometheus scrapes them there.\n\n" +
		"Without a command, pushgateway is that gateway: it serves until it gets SIGTERM or SIGINT. " +
		"With a command it does something else, such as pushing to a gateway.")
	p.line(".SH OPTIONS\nOf the gateway:")
	p.flags(app.Model().FlagGroupModel)
	p.line(".SH COMMANDS")
	for _, c := range commands() {
		app, _ := c.application()
		model := app.Model()
		p.line(".SS %s", roff(usage(app)))
		p.text(c.help)
		p.args(model.ArgGroupModel)
		p.flags(model.FlagGroupModel)
		for _, inner := range model.Commands {
			if inner.Name == "help" { // kingpin's own
				continue
			}
			summary := []string{"pushgateway", c.name, inner.Name}
			if len(inner.Flags) > 0 {
				summary = append(summary, inner.FlagSummary())
			}
			if len(inner.Args) > 0 {
				summary = append(summary, inner.ArgSummary())
			}
			p.line(".SS %s", roff(strings.Join(summary, " ")))
			p.text(inner.Help)
			p.args(inner.ArgGroupModel)
			p.flags(inner.FlagGroupModel)
		}
	}
	p.line(".SH EXIT STATUS")
	for _, status := range []struct {
		code int
		text string
	}{
		{0, "What was asked for has been done."},
		{exitFailed, "It cannot be done. Trying again does not help."},
		{exitUsage, "The command line has a mistake."},
		{exitUnavailable, "The gateway was not reached, or cannot answer now. Trying again may help."},
	} {
		p.line(".TP\n.B %d\n%s", status.code, roff(status.text))
	}
	p.line(".SH SEE ALSO\n.BR prometheus (1),\n.BR curl (1)")
	return p.w.Flush()
}

// manPage writes roff. Its writer remembers the first error.
type manPage struct{ w *bufio.Writer }

// line writes a line. Its arguments must be escaped.
func (p manPage) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

// text writes paragraphs, separated by empty lines. Lines that begin with a blank are code, and
// stay as they are.
func (p manPage) text(help string) {
	code := false
	for line := range strings.SplitSeq(strings.TrimSpace(help), "\n") {
		isCode := strings.HasPrefix(line, " ")
		switch {
		case isCode && !code:
			p.line(".RS 4\n.nf")
		case !isCode && code:
			p.line(".fi\n.RE")
		}
		code = isCode
		if line == "" {
			p.line(".PP")
		} else {
			p.line("%s", roff(strings.TrimPrefix(line, "  ")))
		}
	}
	if code {
		p.line(".fi\n.RE")
	}
}

func (p manPage) args(group *kingpin.ArgGroupModel) {
	for _, a := range group.Args {
		p.line(".TP\n.I %s\n%s", roff(a.Name), roff(a.HelpWithEnvar()))
	}
}

func (p manPage) flags(group *kingpin.FlagGroupModel) {
	for _, f := range group.Flags {
		if f.Hidden || f.Name == "help" {
			continue
		}
		p.line(".TP\n.B %s\n%s", roff(describe(f)), roff(f.HelpWithEnvar()))
	}
}

// roff escapes a line of text.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "\n", " ").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}
