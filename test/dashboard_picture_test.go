package test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
)

// dashboardFor is how much time the picture of the dashboard shows.
var dashboardFor = flag.Duration("dashboard.for", 3*time.Minute, "how long the gateway in the picture of the dashboard gets pushes")

// dashboardRows is where the picture ends, in steps of the dashboard's grid.
const dashboardRows = 39

// TestDashboardPicture takes the picture of the dashboard: with Grafana's panel components, which npm
// has, and the data of a Prometheus that scrapes a gateway with some traffic.
func TestDashboardPicture(t *testing.T) {
	name := filepath.Join(root, screenshots, "dashboard.png")
	if !*update {
		checkPicture(t, name)
		return
	}
	bundle := bundleDashboard(t)
	dir := t.TempDir()
	auth := filepath.Join(dir, "auth.yml")
	writeFile(t, auth, []byte("users: []\nanonymous: {allow: [push, delete, scrape, read]}\n"))
	p := gateway(t, filepath.Join(dir, "gateway.db"), "--storage.max-groups=200", "--auth.file="+auth)
	prom := launchPrometheus3(t, "global: {scrape_interval: 1s, scrape_timeout: 1s}\nscrape_configs:\n"+
		"- {job_name: pushgateway, honor_labels: true, static_configs: [{targets: ["+p.Addr+"], labels: {instance: \"pushgateway:9091\"}}]}\n")
	warmUp := 20 * time.Second
	end := pushForPicture(t, p, warmUp+*dashboardFor)

	var dashboard any
	if err := json.Unmarshal(readFile(t, filepath.Join(root, "deploy/grafana/dashboard.json")), &dashboard); err != nil {
		t.Fatal(err)
	}
	settings, err := json.Marshal(map[string]any{
		"dashboard": dashboard, "start": end.Add(-*dashboardFor).Unix(), "end": end.Unix(), "step": 2, "rows": dashboardRows,
		"variables": map[string]string{"__rate_interval": "15s", "job": ".*", "instance": ".*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	target, err := url.Parse(prom.URL)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("/api/", httputil.NewSingleHostReverseProxy(target))
	mux.Handle("/bundle/", http.StripPrefix("/bundle/", http.FileServer(http.Dir(bundle))))
	mux.HandleFunc("/{$}", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintf(w, "<!doctype html><title>Dashboard</title><link rel=stylesheet href=bundle/page.css><div id=root></div>"+
			"<script>window.picture = %s</script><script src=bundle/page.js></script>", settings)
	})
	server := httptest.NewServer(mux)
	defer server.Close()

	b := open(t, startBrowser(t), server.URL, "/")
	b.screen(1400, 8+38*dashboardRows, false)
	b.visit("/")
	b.await("all panels are drawn", `document.querySelectorAll("canvas").length === window.picture.graphs`)
	var picture []byte
	b.run(chromedp.CaptureScreenshot(&picture))
	if err := os.WriteFile(name, picture, 0o644); err != nil {
		t.Fatal(err)
	}
	checkPicture(t, name)
}

// bundleDashboard installs the panel components in dist, bundles the page that draws with them and
// returns the folder of the bundle.
func bundleDashboard(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs(filepath.Join(root, "dist/dashboard"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	writeFile(t, filepath.Join(dir, "package.json"), readFile(t, "dashboard/package.json"))
	result(t, command(t, "npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"))
	bundle := filepath.Join(dir, "bundle")
	result(t, command(t, "env", "NODE_PATH="+filepath.Join(dir, "node_modules"), filepath.Join(dir, "node_modules/.bin/esbuild"),
		"dashboard/page.jsx", "--bundle", "--minify", "--log-level=error", `--define:process.env.NODE_ENV="production"`,
		"--loader:.woff=dataurl", "--loader:.woff2=dataurl", "--outdir="+bundle))
	return bundle
}

// pushForPicture pushes for some time, with a load that rises and falls, and returns when it ended.
func pushForPicture(t *testing.T, p *program, limit time.Duration) (end time.Time) {
	t.Helper()
	for i, host := range []string{"www", "mail", "db1", "db2", "nas"} {
		p.push(t, http.MethodPut, "/metrics/job/certificates/host/"+host, fmt.Sprintf("days_left %d\n", 80-i))
	}
	begin := time.Now()
	for n := 0; time.Since(begin) < limit; n++ {
		job := fmt.Sprintf("/metrics/job/%s/instance/db%d", []string{"backup", "import", "cleanup", "report"}[n%4], n/4%8)
		p.push(t, http.MethodPut, job, fmt.Sprintf("rows %d\n", n)+exampleHistogram)
		for _, now := range []struct {
			every              int
			method, path, body string
			header             []string
		}{
			{3, "POST", "/metrics/job/shop?merge=sum", "# TYPE orders_total counter\norders_total 1\n", nil},
			{7, "POST", "/metrics/job/shop?merge=sum", "# TYPE c_total counter\nc_total 1\n", []string{"Idempotency-Key", fmt.Sprint(n / 21)}},
			{11, "POST", fmt.Sprintf("/metrics/job/ci/branch/%d?ttl=10s", n), "tests 1\n", nil},
			{13, "POST", "/metrics/job/sensor?timestamps=drop", "celsius 11.5 1700000000000\n", nil},
			{17, "POST", "/api/v1/push?group_by=job,instance", "x{job=\"bulk\",instance=\"a\"} 1\nx{job=\"bulk\",instance=\"b\"} 1\n", nil},
			{19, "PUT", "/metrics/job/import/table/orders", "rows 1 1700000000000\n", nil},
			{29, "PUT", "/metrics/job/import/table/items", "# TYPE rows counter\nrows 1\n", nil},
			{31, "PUT", "/metrics/job/legacy", "rows{ 1\n", nil},
			{37, "DELETE", "/metrics/job/bulk/instance/b", "", nil},
			{43, "PUT", "/metrics/job/shop", "x 1\n", []string{"Authorization", "Bearer wrong"}},
		} {
			if n%now.every == 0 {
				p.do(t, now.method, now.path, now.body, now.header...)
			}
		}
		wave := 1 + 0.8*math.Sin(2*math.Pi*float64(time.Since(begin))/float64(2*time.Minute))
		time.Sleep(time.Duration(60 * float64(time.Millisecond) / (0.4 + wave))) // the pace of the load
	}
	return time.Now()
}
