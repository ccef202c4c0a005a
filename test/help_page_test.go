package test

import (
	"html"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var copyable = regexp.MustCompile(`(?s)<pre><code id="(first-push|help-[a-z]+)">(.*?)</code></pre>`)

// TestHelpPage runs the examples of the page /help, which name the gateway that serves it.
func TestHelpPage(t *testing.T) {
	t.Parallel()
	p := start(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "metrics.txt"), []byte("from_file 1\n"))
	script(t, filepath.Join(dir, "backup.sh"), "exit 0\n")
	ran := map[string]bool{}
	for _, m := range copyable.FindAllStringSubmatch(p.get(t, "/help"), -1) {
		name, code := m[1], html.UnescapeString(m[2])
		ran[name] = true
		switch name {
		case "help-python":
			shell(t, dir, "python3", "-c", code)
		case "help-go":
			programs := buildPrinted(t, map[string]string{"help": clientExamples.goProgram(t, code+"\nif err != nil {\n\tpanic(err)\n}\n")})
			result(t, command(t, filepath.Join(programs, "help")))
		case "help-cron": // as cron does it, without the time
			line := strings.ReplaceAll(strings.TrimPrefix(code, "0 3 * * * "), `\%`, "%")
			shell(t, dir, "env", "PATH="+dir+":/usr/bin:/bin", "sh", "-e", "-c", line)
		default:
			shell(t, dir, "sh", "-e", "-c", code)
		}
	}
	for _, name := range []string{"first-push", "help-curl", "help-file", "help-python", "help-go", "help-cron", "help-options"} {
		if !ran[name] {
			t.Errorf("the page has no example %s, but %v", name, ran)
		}
	}
	wantText(t, p.pushed(t), `my_metric{instance="",job="my_job"} 3.14`,
		`backup_tables_total{database="orders",instance="db1",job="backup"} 42`,
		`from_file{instance="",job="backup"} 1`, `import_rows{instance="",job="import"} 1234`,
		`import_rows{instance="",job="import",table="customers"} 1234`, `backup_last_success_timestamp_seconds{instance="",job="backup"} `,
		`page_views_total{instance="",job="web"} 3`)
	wantText(t, p.get(t, "/api/v1/groups/job/web"), `"expires_at":"2`)
}
