package test

import (
	"bytes"
	"flag"
	"fmt"
	"image/png"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"pushgateway/internal/api"
	"pushgateway/internal/metric"
	"pushgateway/internal/rules"
	"pushgateway/internal/store"
	"pushgateway/internal/web"
	"pushgateway/internal/webui"
)

// make screenshots sets this.
var update = flag.Bool("update", false, "rewrite the screenshots in docs/screenshots, and the recorded requests of Java")

const screenshots = "docs/screenshots"

// pictures are the screenshots, by their names.
var pictures = []struct {
	name, path    string
	width, height int64
	dark          bool
}{
	{"groups", "/", 1280, 800, false},
	{"groups-dark", "/?search=backup&sort=-pushed", 1280, 700, true},
	{"groups-phone", "/", 390, 844, false},
	{"group", "/groups/job/backup/instance/db1", 1280, 1180, false},
	{"group-dark", "/groups/job/backup/instance/db1", 1280, 1180, true},
	{"group-phone", "/groups/job/backup/instance/db1", 390, 844, false},
	{"rejection", "/groups/job/import/table/customers", 1280, 860, false},
	{"status", "/status", 1280, 1050, false},
	{"delete", "/delete?search=" + url.QueryEscape(`{job="ci",branch=~"old-.*"}`), 1280, 560, false},
	{"empty", "", 1280, 700, false},
}

func TestScreenshots(t *testing.T) {
	if !*update {
		for _, p := range pictures {
			checkPicture(t, filepath.Join(root, screenshots, p.name+".png"))
		}
		return
	}
	browser := startBrowser(t)
	if err := os.MkdirAll(filepath.Join(root, screenshots), 0o755); err != nil {
		t.Fatal(err)
	}
	empty, full := newShowcase(t), newShowcase(t)
	full.fill(t)
	for _, p := range pictures {
		shown := full
		if p.path == "" {
			shown = empty
		}
		b := open(t, browser, shown.URL, p.path)
		b.screen(p.width, p.height, p.dark)
		b.visit(p.path)
		var picture []byte
		b.run(chromedp.CaptureScreenshot(&picture))
		name := filepath.Join(root, screenshots, p.name+".png")
		if err := os.WriteFile(name, picture, 0o644); err != nil {
			t.Fatal(err)
		}
		checkPicture(t, name)
	}
}

func checkPicture(t *testing.T, name string) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err != nil {
		t.Error(err)
		return
	}
	picture, err := png.Decode(bytes.NewReader(content))
	if err != nil || picture.Bounds().Dx() < 300 || len(content) > 400<<10 {
		t.Errorf("%s: %d bytes, %v", name, len(content), err)
	}
}

// showcase is a gateway with a clock that can be set, to show old pushes.
type showcase struct {
	URL string
	ago time.Duration
}

// onDisk is a journal that says that it persists what it is given.
type onDisk struct{ store.Memory }

func (onDisk) Status() store.JournalStatus {
	return store.JournalStatus{
		Durable: true, File: "/var/lib/pushgateway/metrics", Sync: "push", SizeBytes: 3 << 20,
		LastCommit: time.Now().Add(-4 * time.Second),
	}
}

func newShowcase(t *testing.T) *showcase {
	t.Helper()
	external, err := url.Parse("https://pushgateway.example.org")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := webui.New(webui.Config{External: *external, MetricsPath: "/metrics", Prometheus: "https://prometheus.example.org"})
	if err != nil {
		t.Fatal(err)
	}
	s, clock := &showcase{}, store.SystemClock()
	clock.Now = func() time.Time { return time.Now().Add(-s.ago) }
	groups := store.New(store.Config{Journal: onDisk{}, Clock: clock})
	if err := groups.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	manager, err := rules.NewManager(rules.ManagerConfig{Now: clock.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := web.New(web.Config{
		Store: groups, Logger: slog.New(slog.DiscardHandler),
		Clock: clock, Rules: manager, Validation: metric.LegacyValidation,
		TelemetryPath: "/metrics", Pages: pages, AdminAPI: true,
		Status: api.Status{
			Build: api.Build{
				Version: "0.2.0", Revision: "5d1c0de", Branch: "main", User: "make", Date: "2026-11-22T10:00:00Z", GoVersion: "go1.26",
			},
			Started: time.Now().Add(-75 * time.Hour),
			Flags: map[string]string{
				"persistence.file": "/var/lib/pushgateway/metrics", "web.enable-admin-api": "true",
				"web.external-url": "https://pushgateway.example.org", "web.listen-address": ":9091",
			},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	// Pictures show addresses as they are in a network, not on one machine.
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if from := r.Header.Get("X-From"); from != "" {
			r.RemoteAddr = from
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	s.URL = server.URL
	return s
}

func (s *showcase) push(t *testing.T, ago time.Duration, method, path, body string, want int) {
	t.Helper()
	s.ago = ago
	r, err := http.NewRequest(method, s.URL+"/metrics/job/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-From", fmt.Sprintf("10.20.%d.%d:%d", len(path)%7, len(path)*7%250, 40000+len(body)*13%20000))
	r.Header.Set("User-Agent", []string{"curl/8.14.1", "python-prometheus-client", "Go-http-client/1.1"}[len(path)%3])
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != want {
		text, _ := io.ReadAll(answer.Body)
		t.Fatalf("%s: %s %s", path, answer.Status, text)
	}
}

func (s *showcase) fill(t *testing.T) {
	t.Helper()
	const day = 24 * time.Hour
	last := func(name string, at time.Duration) string {
		name += "_last_success_timestamp_seconds"
		return fmt.Sprintf("# HELP %s When it last succeeded.\n# TYPE %[1]s gauge\n%[1]s %[2]d\n", name, time.Now().Add(-at).Unix())
	}
	const size = `# HELP backup_size_bytes Size of the last backup.
# TYPE backup_size_bytes gauge
backup_size_bytes{database="orders"} 1.118e+09
backup_size_bytes{database="users"} 6.4e+07
`
	const rows = "# TYPE import_rows gauge\nimport_rows "
	s.push(t, 40*time.Minute, "PUT", "import/table/orders", last("import", 40*time.Minute)+rows+"48210\n", 200)
	s.push(t, 26*time.Hour, "PUT", "import/table/customers", last("import", 26*time.Hour)+rows+"1201\n", 200)
	s.push(t, 2*time.Hour, "PUT", "import/table/customers", "# TYPE import_rows counter\nimport_rows 1234\n", 400)
	s.push(t, time.Hour, "PUT", "import/table/customers", "# TYPE import_rows counter\nimport_rows 1240\n", 400)
	s.push(t, 5*day, "PUT", "certificates/host/www.example.org", last("renewal", 5*day), 200)
	s.push(t, 9*day, "PUT", "certificates/host/mail.example.org", last("renewal", 9*day), 200)
	s.push(t, 20*time.Minute, "PUT", "cleaner/path@base64/L3Zhci90bXA", last("cleaner", 20*time.Minute), 200)
	s.push(t, 11*time.Minute, "POST", "cleaner/path/var/tmp", "m 1\n", 400)
	for i, host := range []string{"db1", "db2", "db3", "nas"} {
		for n := range 4 - i {
			at := time.Duration(3-n)*6*time.Hour + time.Duration(i*13+4)*time.Minute
			s.push(t, at, "PUT", "backup/instance/"+host, last("backup", at)+size+exampleHistogram+exampleSummary, 200)
		}
	}
	s.push(t, 3*time.Minute, "POST", "backup/instance/db1", "backup_size_bytes 12\nbackup_size_bytes{database=\"users\"} 1 1700000000\n", 400)
	s.push(t, 2*time.Minute, "PUT", "backup/instance/db1", last("backup", 2*time.Minute)+size+exampleHistogram+exampleSummary, 200)
	for i := range 14 {
		branch := fmt.Sprintf("old-%02d", i)
		if i < 3 {
			branch = []string{"main", "release", "next"}[i]
		}
		body := fmt.Sprintf(`# TYPE ci_tests_total counter
ci_tests_total{result="passed"} %d
ci_tests_total{result="failed"} %d
# TYPE ci_duration_seconds gauge
ci_duration_seconds %d
`, 800+i, i%3, 300+i*7)
		s.push(t, time.Duration(i*i)*5*time.Hour+time.Minute, "PUT", "ci/branch/"+branch, body, 200)
	}
	s.ago = 0
	r, err := http.NewRequest(http.MethodGet, s.URL+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("X-From", "10.20.0.9:40312")
	r.Header.Set("User-Agent", "Prometheus/3.8.0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
}
