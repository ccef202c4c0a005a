package test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// TestImportsPointOneWay: each package imports only packages that come after it in the
// order.
func TestImportsPointOneWay(t *testing.T) {
	order := []string{
		"cmd/pushgateway", "internal/client", "internal/job", "internal/web", "internal/httpserver", "internal/pushbody", "internal/webui",
		"internal/api",
		"internal/groupview", "internal/search", "internal/history", "internal/journal/journaltest", "internal/exposition",
		"internal/journal/postgres", "internal/journal", "internal/store", "internal/otlp", "internal/wire", "internal/rules",
		"internal/pushoptions", "internal/access", "internal/limits", "internal/selector",
		"internal/metric/metrictest", "internal/metric", "internal/sorted",
		"internal/words", "docs",
		"internal/protofield",
		"internal/pgtest", "internal/conntest",
	}
	list := exec.Command("go", "list", "-f", `{{.ImportPath}} {{join .Imports " "}}`, "pushgateway/cmd/...", "pushgateway/internal/...")
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(out)) {
		name, imports, _ := strings.Cut(strings.TrimSpace(line), " ")
		from := slices.Index(order, strings.TrimPrefix(name, "pushgateway/"))
		if from < 0 {
			t.Errorf("%s is not in the order of packages", name)
		}
		for imported := range strings.FieldsSeq(imports) {
			own, ok := strings.CutPrefix(imported, "pushgateway/")
			if to := slices.Index(order, own); ok && to <= from {
				t.Errorf("%s imports %s, which is not below it", name, imported)
			}
			if imported == "unique" || imported == "weak" {
				t.Errorf("%s imports %s: whoever uses a weak pointer may have to wait until the collector has marked the whole heap", name, imported)
			}
		}
	}
}
