package test

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Programs that source the completion and print how it completes their arguments, a line each,
// after a colon.
const (
	// Each argument is a command line, in words as bash has them, up to the cursor. Its
	// completions are on one line.
	bashCompletions = `
source <(pushgateway completion bash)
complete -p pushgateway >/dev/null
for line in "$@"; do
	IFS=' ' read -ra COMP_WORDS <<<"$line"
	[[ $line != *' ' ]] || COMP_WORDS+=('')
	COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
	_pushgateway
	echo ": ${COMPREPLY[*]}"
done`
	fishCompletions = `
pushgateway completion fish | source
for line in $argv
	echo : (complete -C $line | string split --fields 1 \t)
end`
	// In zsh, the line editor of a shell on a terminal completes each argument in place.
	zshCompletions = `
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1= ; unsetopt zle_bracketed_paste; autoload -U compinit; compinit -u -D; source =(pushgateway completion zsh)'
zpty -w shell 'show() { print -r -- "<<$BUFFER>>"; BUFFER= }; zle -N show; bindkey "^X" show; print RE""ADY'
zpty -r shell output '*READY*'
for line in "$@"; do
	zpty -n -w shell "$line"$'\t\x18'
	zpty -r -m shell output '*<<*>>*'
	print -r -- ": ${${output##*<<}%%>>*}"
done
zpty -d shell`
)

// completed runs a program of a shell with command lines, and returns what it prints for each.
func completed(t *testing.T, lines []string, shellCommand ...string) []string {
	t.Helper()
	got := strings.Split(shell(t, t.TempDir(), shellCommand[0], append(shellCommand[1:], lines...)...), "\n")
	if len(got) != len(lines) {
		t.Fatalf("%d results for %d lines:\n%s", len(got), len(lines), strings.Join(got, "\n"))
	}
	return got
}

// TestCompletion completes command lines in each shell.
func TestCompletion(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		shell    string
		run      []string
		complete map[string]string // by line
	}{
		{"bash", []string{"bash", "-c", bashCompletions, "bash"}, map[string]string{
			"pushgateway co":                          "completion",
			"pushgateway completion ":                 "bash zsh fish",
			"pushgateway --log.fo":                    "--log.format",
			"pushgateway --log.format = ":             "logfmt json",
			"pushgateway --log.format = j":            "json",
			"pushgateway --log.format j":              "json",
			"pushgateway --persistence.sync =":        "push interval",
			"pushgateway --web.enable-admin-api --pu": strings.Join(withPrefix(flagsOf(t), "--pu"), " "),
			"pushgateway push --job":                  "--job",
			"pushgateway run --job":                   "--job",
			"pushgateway push --merge = ":             "group family series sum",
			"pushgateway push --merge = s":            "series sum",
			"pushgateway push --gauges m":             "min max",
			"pushgateway push --timestamps = d":       "drop",
			"pushgateway push --format = p":           "protobuf",
			"pushgateway run --textfile-merge = ":     "replace sum",
			"pushgateway run --ttl-keep = ":           "push_time",
			"pushgateway --auto":                      "--auto-gomemlimit --auto-gomemlimit.ratio",
			"pushgateway --no-":                       "--no-auto-gomemlimit",
			"pushgateway run --job x -- pushgatewa":   "pushgateway", // another program
			"pushgateway run --job x -- ls --":        "",            // whose flags are its own
			"pushgateway auth ":                       "hash token check",
			"pushgateway auth check -":                "--as",
			"pushgateway auth check auth.yml --as ":   "",
			"pushgateway check ":                      "", // then bash completes files
		}},
		{"fish", []string{"fish", "--no-config", "-c", fishCompletions}, map[string]string{
			"pushgateway co":                "completion",
			"pushgateway completion ":       "bash fish zsh",
			"pushgateway --log.fo":          "--log.format",
			"pushgateway --log.format ":     "json logfmt",
			"pushgateway --log.format=j":    "--log.format=json",
			"pushgateway push --job":        "--job",
			"pushgateway push --merge=s":    "--merge=series --merge=sum",
			"pushgateway push --gauges ":    "last max min sum",
			"pushgateway run --textfile-m":  "--textfile-merge",
			"pushgateway run --ttl-keep ":   "push_time",
			"pushgateway auth ":             "check hash token",
			"pushgateway auth check --a":    "--as",
			"pushgateway --persistence.syn": "--persistence.sync",
		}},
		{"zsh", []string{"zsh", "-f", "-c", zshCompletions, "zsh"}, map[string]string{
			"pushgateway co":                   "pushgateway completion ",
			"pushgateway completion z":         "pushgateway completion zsh ",
			"pushgateway --log.fo":             "pushgateway --log.format=",
			"pushgateway --log.format=j":       "pushgateway --log.format=json ",
			"pushgateway --persistence.sync=i": "pushgateway --persistence.sync=interval ",
			"pushgateway push --jo":            "pushgateway push --job=",
			"pushgateway push --merge=g":       "pushgateway push --merge=group ",
			"pushgateway push --gauges=l":      "pushgateway push --gauges=last ",
			"pushgateway run --ttl-keep=p":     "pushgateway run --ttl-keep=push_time ",
			"pushgateway auth to":              "pushgateway auth token ",
			"pushgateway auth check --a":       "pushgateway auth check --as=",
		}},
	} {
		t.Run(c.shell, func(t *testing.T) {
			t.Parallel()
			var lines []string
			for line := range c.complete {
				lines = append(lines, line)
			}
			for i, got := range completed(t, lines, c.run...) {
				if want := c.complete[lines[i]]; strings.TrimSpace(strings.TrimPrefix(got, ":")) != strings.TrimSpace(want) {
					t.Errorf("%q completes to %q, want %q", lines[i], got, want)
				}
			}
		})
	}
}

// TestCompletionIsComplete: each command and flag is in the completion of each shell.
func TestCompletionIsComplete(t *testing.T) {
	t.Parallel()
	for shell, flag := range map[string]string{"bash": "--%", "zsh": "--%", "fish": " -l %"} {
		script, _, _ := runSubcommand(t, "completion", shell)
		words := regexp.MustCompile(`[\w.-]+`).FindAllString(script, -1)
		for _, command := range append(commandsOf(t), nil) {
			if len(command) > 0 && !slices.Contains(words, command[len(command)-1]) {
				t.Errorf("the completion of %s lacks the command %v", shell, command)
			}
			for _, name := range flagsOf(t, command...) {
				want := strings.Replace(flag, "%", strings.TrimPrefix(name, "--"), 1)
				if !regexp.MustCompile(regexp.QuoteMeta(want) + `[^\w.-]`).MatchString(script) {
					t.Errorf("the completion of %s lacks %s of %v", shell, name, command)
				}
			}
		}
	}
}

// TestManPage: the page has each command and flag, and groff formats it without a warning.
func TestManPage(t *testing.T) {
	t.Parallel()
	page, _, code := runSubcommand(t, "man")
	file := filepath.Join(t.TempDir(), "pushgateway.1")
	writeFile(t, file, []byte(page))
	if warnings, _ := runToEnd(t, command(t, "groff", "-man", "-ww", "-z", file)); code != 0 || warnings != "" {
		t.Errorf("exit code %d, groff warns:\n%s", code, warnings)
	}
	text := result(t, command(t, "groff", "-man", "-Tascii", "-P-cbou", "-rLL=300n", file))
	for _, command := range append(commandsOf(t), nil) {
		if !regexp.MustCompile(`(?m)^ *pushgateway ` + strings.Join(command, " ")).MatchString(text) {
			t.Errorf("the page lacks the command %v", command)
		}
		for _, name := range flagsOf(t, command...) {
			flag := `(?m)^ +(-\w, )?--(\[no-\])?` + regexp.QuoteMeta(strings.TrimPrefix(name, "--")) + `(=| |$)`
			if name != "--help" && !regexp.MustCompile(flag).MatchString(text) {
				t.Errorf("the page lacks %s of %v", name, command)
			}
		}
	}
	wantText(t, text, "source <(pushgateway completion bash)\n", "EXIT STATUS")
}

// commandsOf returns all commands, each as its words.
func commandsOf(t *testing.T) [][]string {
	t.Helper()
	help, _ := runToEnd(t, command(t, gatewayBinary(t), "--help"))
	_, list, _ := strings.Cut(help, "Each command has its own --help.\n")
	var found [][]string
	for _, m := range regexp.MustCompile(`(?m)^ {2}([a-z][\w-]*) +`).FindAllStringSubmatch(list, -1) {
		found = append(found, []string{m[1]})
	}
	if len(found) < 5 {
		t.Fatalf("found only the commands %v in:\n%s", found, help)
	}
	return append(found, []string{"auth", "hash"}, []string{"auth", "token"}, []string{"auth", "check"})
}

var flagInHelp = regexp.MustCompile(`(?m)^ {2}(?:-\w, | {4})--(?:\[no-\])?([\w.-]+)`)

// flagsOf returns the flags in the help of a command, or of the gateway.
func flagsOf(t *testing.T, command ...string) []string {
	t.Helper()
	out, errOut, _ := runSubcommand(t, append(command, "--help")...)
	var flags []string
	for _, m := range flagInHelp.FindAllStringSubmatch(out+errOut, -1) {
		flags = append(flags, "--"+m[1])
	}
	if len(flags) == 0 {
		t.Fatalf("found no flag in the help of %v:\n%s%s", command, out, errOut)
	}
	return flags
}

// withPrefix returns the words that start with prefix.
func withPrefix(words []string, prefix string) []string {
	return slices.DeleteFunc(words, func(word string) bool { return !strings.HasPrefix(word, prefix) })
}
