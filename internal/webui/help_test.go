package webui_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/webui"
)

func TestHelpExplainsAllReasons(t *testing.T) {
	w := httptest.NewRecorder()
	if err := newPages(t, "https://example.org/pg").Help(w, httptest.NewRequest("GET", "/help", nil), webui.Visitor{}); err != nil {
		t.Fatal(err)
	}
	checkPage(t, w)
	page := w.Body.String()
	for _, reason := range metric.Reasons() {
		wantText(t, page, fmt.Sprintf(`id="%s"`, reason))
	}
	// What the options of a push are for, and what comes without deleting anything.
	_, options, _ := strings.Cut(page, `id="options"`)
	options, _, _ = strings.Cut(options, "</section>")
	wantText(t, options, "POST /api/v1/push?group_by=", "DELETE /api/v1/groups?match[]=", "--web.enable-admin-api")
	about := func(reason metric.Reason) string {
		_, text, _ := strings.Cut(page, fmt.Sprintf(`id="%s"`, reason))
		text, _, _ = strings.Cut(text, "</div>")
		return text
	}
	wantText(t, about(metric.BadTimestamp), "timestamps=drop")
	wantText(t, about(metric.BadValue), "merge=sum", "below 0")
	merge := about(metric.BadMerge)
	wantText(t, merge, "TYPE line", "merge=sum")
	if strings.Index(merge, "delete") < strings.Index(merge, "TYPE line") {
		t.Errorf("what deletes comes before what loses nothing: %s", merge)
	}
	wantText(t, page, "https://example.org/pg/metrics/job/",
		"push_to_gateway(\"https://example.org/pg\"", "push.New(\"https://example.org/pg\"",
		"honor_labels: true", "0 3 * * *", "targets: ['example.org']", "metrics_path: /pg/metrics", "scheme: https")
}
