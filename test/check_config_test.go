package test

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestCheckConfig: what check-config prints about rules files, and its exit code.
func TestCheckConfig(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	file := func(name string, lines ...string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path, []byte(strings.Join(lines, "\n")))
		return path
	}
	good := file("good.yml", "rules:",
		`- match: '{ job =~ "backup.*" }'`, "  ttl: 48h",
		`- match: '{job="checkout", env="prod"}'`, "  merge: sum", "  gauges: max", "  ttl_keep: push_time", "  timestamps: drop", "  ttl: 0",
		`- match: '{}'`)
	single := file("single.yml", "rules: [{match: '{}'}]")
	empty := file("empty.yml", "rules: # none yet")
	cut := file("cut.yml", "# none yet")
	bad := file("bad.yml", "rules:", "- match: backup", "  ttl: 1.5h", "- tll: 1h")
	none := filepath.Join(dir, "none.yml")
	for _, c := range []struct {
		args []string
		code int
		out  string
		err  []string
	}{
		{[]string{good}, 0, good + ": 3 rules\n" +
			"1: {job=~\"backup.*\"} ttl=2d\n" +
			"2: {job=\"checkout\",env=\"prod\"} ttl=0 ttl_keep=push_time merge=sum gauges=max timestamps=drop\n" +
			"3: {}\n", nil},
		{[]string{single}, 0, single + ": 1 rule\n1: {}\n", nil},
		{[]string{empty}, 0, empty + ": 0 rules\n", nil},
		{[]string{cut}, 1, "", []string{cut + ": line 1: the file is empty"}},
		{[]string{bad}, 1, "", []string{
			bad + ": line 2: rule 1: match: backup: ",
			bad + ": line 3: rule 1: ttl: 1.5h: ",
			bad + ": line 4: rule 2: tll: unknown",
			bad + ": line 4: rule 2: match: missing",
		}},
		{[]string{none}, 1, "", []string{none, "no such file"}},
		{[]string{dir}, 1, "", []string{dir, "is a directory"}},
		{nil, 2, "", []string{"required argument 'file' not provided", "usage: pushgateway check-config <file>"}},
		{[]string{good, single}, 2, "", []string{"usage: "}},
	} {
		var names []string
		for _, arg := range c.args {
			names = append(names, filepath.Base(arg))
		}
		t.Run(strings.Join(names, " "), func(t *testing.T) {
			out, errOut, code := runSubcommand(t, append([]string{"check-config"}, c.args...)...)
			if code != c.code {
				t.Errorf("exit code %d, want %d", code, c.code)
			}
			if out != c.out {
				t.Errorf("printed\n%swant\n%s", out, c.out)
			}
			if c.err == nil && errOut != "" {
				t.Errorf("complains\n%s", errOut)
			}
			wantText(t, errOut, c.err...)
		})
	}
}
