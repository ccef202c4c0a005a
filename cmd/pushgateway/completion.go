package main

import (
	"embed"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"text/template"

	"github.com/alecthomas/kingpin/v2"
)

//go:embed completion/*.tmpl
var completionFiles embed.FS

func completionCommand() command {
	return command{"completion", `Print what completes command lines in bash, zsh or fish.

In bash, and in zsh after compinit, for this session:
  source <(pushgateway completion bash)
  source <(pushgateway completion zsh)
In fish, for all sessions:
  pushgateway completion fish > ~/.config/fish/completions/pushgateway.fish
`, func(app *kingpin.Application) action {
		shell := app.Arg("shell", "The shell: bash, zsh or fish.").Required().Enum("bash", "zsh", "fish")
		return func(call *invocation) error { return writeCompletion(call.out, *shell) }
	}}
}

// writeCompletion writes the completion for a shell.
func writeCompletion(w io.Writer, shell string) error {
	templates, err := template.New("").Funcs(template.FuncMap{
		"quote": shellQuote,
		"zsh":   zshDescription,
		"join":  func(words []string) string { return strings.Join(words, " ") },
	}).ParseFS(completionFiles, "completion/*.tmpl")
	if err != nil {
		return err
	}
	return templates.ExecuteTemplate(w, shell+".tmpl", completions())
}

// A completable is the gateway, a command, or a command of a command.
type completable struct {
	Path   []string // the names of the commands; empty for the gateway itself
	Help   string   // one sentence
	Flags  []flagChoice
	Values []string      // of arguments that have a fixed set of values
	Inner  []completable // its commands
	// Runs reports whether a command line of another program follows --.
	Runs bool
}

// Name returns the last word of the path.
func (c completable) Name() string { return c.Path[len(c.Path)-1] }

// A flagChoice is a flag and how its value can be completed.
type flagChoice struct {
	Name       string
	Short      string // one letter; may be empty
	Help       string // one sentence
	TakesValue bool
	Values     []string // if the flag has a fixed set of values
	Repeats    bool
}

// Words returns all ways to write the flag.
func (f flagChoice) Words() []string {
	words := []string{"--" + f.Name}
	if f.Short != "" {
		words = append(words, "-"+f.Short)
	}
	return words
}

// completions describes the whole command line.
func completions() completable {
	app, _ := declareFlags("pushgateway")
	model := app.Model()
	all := completable{Flags: flagChoices(model.FlagGroupModel)}
	for _, c := range commands() {
		app, _ := c.application()
		model := app.Model()
		of := completable{
			Path: []string{c.name}, Help: sentence(c.help), Flags: flagChoices(model.FlagGroupModel),
			Values: argChoices(model.ArgGroupModel), Runs: c.name == runCommandName,
		}
		for _, inner := range model.Commands {
			if inner.Name == "help" { // kingpin's own
				continue
			}
			of.Inner = append(of.Inner, completable{
				Path: []string{c.name, inner.Name}, Help: sentence(inner.Help),
				Flags: flagChoices(inner.FlagGroupModel), Values: argChoices(inner.ArgGroupModel),
			})
		}
		all.Inner = append(all.Inner, of)
	}
	return all
}

// runCommandName is the command that runs another program.
const runCommandName = "run"

func flagChoices(group *kingpin.FlagGroupModel) []flagChoice {
	var flags []flagChoice
	for _, f := range group.Flags {
		if f.Hidden {
			continue
		}
		choice := flagChoice{
			Name: f.Name, Help: sentence(f.Help), TakesValue: !f.IsBoolFlag(), Values: fixedValues(f.Value, f.Help), Repeats: repeats(f.Value),
		}
		if f.Short != 0 {
			choice.Short = string(f.Short)
		}
		flags = append(flags, choice)
		if onByDefault(f) {
			flags = append(flags, flagChoice{Name: "no-" + f.Name, Help: "Turn --" + f.Name + " off"})
		}
	}
	return flags
}

// onByDefault reports whether a flag is only of use as --no-flag.
func onByDefault(f *kingpin.FlagModel) bool {
	return f.IsBoolFlag() && slices.Contains(f.Default, "true")
}

func argChoices(group *kingpin.ArgGroupModel) []string {
	var values []string
	for _, a := range group.Args {
		values = append(values, fixedValues(a.Value, a.Help)...)
	}
	return values
}

// repeats reports whether a flag or argument can be given more than once.
func repeats(v kingpin.Value) bool {
	cumulative, ok := v.(interface{ IsCumulative() bool })
	return ok && cumulative.IsCumulative()
}

var (
	enumError = regexp.MustCompile(`^enum value must be one of (\S+), got `)
	oneOf     = regexp.MustCompile(`One of: \[(.*)\]`)
)

// fixedValues returns the values that a flag or argument can have, if these are a fixed set.
// Values of our own types list them. The library has the others only in the error for an invalid
// value, and those of the log flags only in their help. Do not use v for anything else: it may change.
func fixedValues(v kingpin.Value, help string) []string {
	if v, ok := v.(interface{ Choices() []string }); ok {
		return v.Choices()
	}
	if err := v.Set("\x00"); err != nil {
		if m := enumError.FindStringSubmatch(err.Error()); m != nil {
			return strings.Split(m[1], ",")
		}
	}
	if m := oneOf.FindStringSubmatch(help); m != nil {
		return strings.Split(m[1], ", ")
	}
	return nil
}

// sentence returns the first sentence of a help text, without its full stop.
func sentence(help string) string {
	line, _, _ := strings.Cut(help, "\n")
	first, _, _ := strings.Cut(line, ". ")
	return strings.TrimSuffix(first, ".")
}

// shellQuote quotes a text for each of the shells.
func shellQuote(text string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `'\''`).Replace(text) + "'"
}

// zshDescription escapes what has a meaning in the descriptions of zsh's _arguments.
func zshDescription(text string) string {
	return strings.NewReplacer(`\`, `\\`, "'", "'\\''", "[", `\[`, "]", `\]`, ":", `\:`).Replace(text)
}

// describe returns how a flag is written in the documentation: with its value or a placeholder.
func describe(f *kingpin.FlagModel) string {
	text := "--" + f.Name
	if f.Short != 0 {
		text = fmt.Sprintf("-%c, %s", f.Short, text)
	}
	switch {
	case onByDefault(f):
		return "--[no-]" + f.Name
	case f.IsBoolFlag():
		return text
	}
	return text + "=" + f.FormatPlaceHolder()
}
