package test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/target"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// chromium is the browser of Debian, which scripts/setup installs.
const chromium = "/usr/bin/chromium"

// foreignHost is a name that the browser resolves to this machine. Unlike localhost it is
// not a trustworthy origin, as a gateway on plain HTTP is not.
const foreignHost = "gateway.example"

// startBrowser starts a browser for the test and its subtests.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	dir := t.TempDir()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(chromium), chromedp.UserDataDir(dir), chromedp.WSURLReadTimeout(patience),
		chromedp.NoSandbox, chromedp.DisableGPU, chromedp.WindowSize(1280, 900),
		chromedp.Flag("disable-quic", true), chromedp.Flag("disable-component-update", true),
		chromedp.Flag("no-proxy-server", true), chromedp.Flag("hide-scrollbars", true),
		chromedp.Flag("host-resolver-rules", "MAP "+foreignHost+" 127.0.0.1"),
	)
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	// The library logs messages of the browser that it does not know.
	quiet := func(string, ...any) {}
	ctx, cancel := chromedp.NewContext(allocator, chromedp.WithErrorf(quiet), chromedp.WithLogf(quiet))
	if err := chromedp.Run(ctx); err != nil {
		stop()
		t.Fatalf("start %s: %v", chromium, err)
	}
	t.Cleanup(func() {
		if err := chromedp.Cancel(ctx); err != nil {
			t.Errorf("stop the browser: %v", err)
		}
		cancel()
		stop()
		// Some of its processes may still end, and write.
		until(t, "the browser's files are gone", func() bool { return os.RemoveAll(dir) == nil })
	})
	return ctx
}

// A tab is a page that the test looks at.
type tab struct {
	t   *testing.T
	ctx context.Context
	URL string // of the gateway

	mu     sync.Mutex // guards errors
	errors []string   // that scripts threw, or that a policy reported
}

// open opens the gateway's page at the path in a new tab.
func open(t *testing.T, browser context.Context, url, path string) *tab {
	t.Helper()
	// A window of its own, since a page in the background is not visible.
	var id target.ID
	err := chromedp.Run(browser, chromedp.ActionFunc(func(ctx context.Context) (err error) {
		id, err = target.CreateTarget("about:blank").WithNewWindow(true).Do(cdp.WithExecutor(ctx, chromedp.FromContext(ctx).Browser))
		return err
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithTargetID(id))
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 5*patience)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, URL: url}
	chromedp.ListenTarget(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.errors = append(b.errors, e.ExceptionDetails.Error())
		case *runtime.EventConsoleAPICalled:
			if e.Type == runtime.APITypeError {
				b.errors = append(b.errors, fmt.Sprint(e.Args))
			}
		}
	})
	b.watchPolicy()
	b.visit(path)
	t.Cleanup(func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		for _, e := range b.errors {
			t.Errorf("the page reports: %s", e)
		}
	})
	return b
}

func (b *tab) run(actions ...chromedp.Action) {
	b.t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// watchPolicy turns violations of the content security policy into errors.
func (b *tab) watchPolicy() {
	b.t.Helper()
	b.run(chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(`addEventListener("securitypolicyviolation",
			(e) => console.error("policy: " + e.violatedDirective + " " + e.blockedURI))`).Do(ctx)
		return err
	}))
}

func (b *tab) visit(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.URL+path), chromedp.WaitReady("#main", chromedp.ByQuery))
}

// eval returns the value of a JavaScript expression, awaited if it is a promise.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	var value T
	err := chromedp.Run(b.ctx, chromedp.Evaluate(expression, &value, func(p *runtime.EvaluateParams) *runtime.EvaluateParams {
		return p.WithAwaitPromise(true)
	}))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// await waits until a JavaScript expression is true.
func (b *tab) await(what, expression string) {
	b.t.Helper()
	var last error
	deadline := time.Now().Add(patience / 2)
	for {
		// Polled from here, as the page may be replaced, and has a clock of its own.
		var holds bool
		last = chromedp.Run(b.ctx, chromedp.Evaluate(expression, &holds))
		if holds {
			return
		}
		if time.Now().After(deadline) || b.ctx.Err() != nil {
			b.t.Fatalf("waited in vain until %s: %v; the page says\n%s", what, last, b.text())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// write types a text into the search box, in place of what is there.
func (b *tab) write(text string) {
	b.t.Helper()
	eval[bool](b, `(() => { const box = document.getElementById("search-text"); box.focus(); box.select(); return true; })()`)
	b.run(chromedp.KeyEvent(text))
}

// text returns the text of the page.
func (b *tab) text() string {
	b.t.Helper()
	var text string
	if err := chromedp.Run(b.ctx, chromedp.Evaluate(`document.getElementById("main").innerText`, &text)); err != nil {
		return err.Error()
	}
	return text
}

func (b *tab) want(texts ...string) {
	b.t.Helper()
	page := b.text()
	for _, text := range texts {
		if !strings.Contains(page, text) {
			b.t.Errorf("%q is missing in\n%s", text, page)
		}
	}
}

func (b *tab) click(selector string) {
	b.t.Helper()
	b.run(chromedp.Click(selector, chromedp.ByQuery, chromedp.NodeVisible))
}

// clickTo clicks an element that leads to another page, and waits for that.
func (b *tab) clickTo(selector string) {
	b.t.Helper()
	eval[bool](b, `window.left = true`)
	b.click(selector)
	b.await("another page is there", `!window.left && document.readyState === "complete"`)
}

// key presses keys, as people without a mouse do.
func (b *tab) key(keys string) {
	b.t.Helper()
	b.run(chromedp.KeyEvent(keys))
}

// rows returns the text of each row of the list, the labels only.
func (b *tab) rows() []string {
	b.t.Helper()
	return eval[[]string](b, `[...document.querySelectorAll("table.list tbody tr")].map((r) => r.querySelector("th").innerText.trim())`)
}

func (b *tab) awaitRows(n int) {
	b.t.Helper()
	b.await(fmt.Sprintf("%d rows are there", n), fmt.Sprintf(`document.querySelectorAll("table.list tbody tr").length === %d`, n))
}

// address returns the page's address without the gateway's.
func (b *tab) address() string {
	b.t.Helper()
	return strings.TrimPrefix(eval[string](b, "location.href"), b.URL)
}

func (b *tab) screen(width, height int64, dark bool) {
	b.t.Helper()
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	b.run(chromedp.EmulateViewport(width, height),
		emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}))
}

// pushGroups pushes n groups, over several connections.
func pushGroups(t *testing.T, p *program, n int, path func(i int) string, body string) {
	t.Helper()
	const workers = 8
	var wait sync.WaitGroup
	failed := make(chan error, workers)
	for w := range workers {
		wait.Go(func() {
			for i := w; i < n; i += workers {
				r, err := http.NewRequest(http.MethodPut, p.URL+path(i), strings.NewReader(body))
				if err != nil {
					failed <- err
					return
				}
				answer, err := p.client.Do(r)
				if err != nil {
					failed <- err
					return
				}
				answer.Body.Close()
				if answer.StatusCode != http.StatusOK {
					failed <- fmt.Errorf("%s: %s", path(i), answer.Status)
					return
				}
			}
		})
	}
	wait.Wait()
	close(failed)
	for err := range failed {
		t.Fatal(err)
	}
}

// axe checks the page with axe-core, which scripts/setup installs.
func (b *tab) axe(what string) {
	b.t.Helper()
	source, err := os.ReadFile(filepath.Join(root, "dist", "axe", "node_modules", "axe-core", "axe.min.js"))
	if err != nil {
		b.t.Fatalf("run scripts/setup first: %v", err)
	}
	b.run(chromedp.Evaluate(string(source), nil))
	violations := eval[json.RawMessage](b, `axe.run(document, {resultTypes: ["violations"]}).then((r) => r.violations.map((v) => ({
		id: v.id, help: v.help, nodes: v.nodes.slice(0, 5).map((n) => n.html.slice(0, 300) + " " + n.failureSummary)
	})))`)
	var found []struct {
		ID, Help string
		Nodes    []string
	}
	if err := json.Unmarshal(violations, &found); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range found {
		b.t.Errorf("%s: %s: %s\n%s", what, v.ID, v.Help, strings.Join(v.Nodes, "\n"))
	}
}

const exampleHistogram = `# HELP backup_table_duration_seconds Time taken per table.
# TYPE backup_table_duration_seconds histogram
backup_table_duration_seconds_bucket{le="0.1"} 2
backup_table_duration_seconds_bucket{le="0.5"} 9
backup_table_duration_seconds_bucket{le="1"} 21
backup_table_duration_seconds_bucket{le="2.5"} 38
backup_table_duration_seconds_bucket{le="5"} 42
backup_table_duration_seconds_bucket{le="10"} 43
backup_table_duration_seconds_bucket{le="+Inf"} 44
backup_table_duration_seconds_sum 68.4
backup_table_duration_seconds_count 44
`

const exampleSummary = `# HELP rpc_duration_seconds Latency of calls.
# TYPE rpc_duration_seconds summary
rpc_duration_seconds{quantile="0.5"} 0.012
rpc_duration_seconds{quantile="0.9"} 0.034
rpc_duration_seconds{quantile="0.99"} 0.21
rpc_duration_seconds_sum 17.2
rpc_duration_seconds_count 1042
`

// encode returns a label value in URL-safe base64.
func encode(text string) string { return base64.RawURLEncoding.EncodeToString([]byte(text)) }

const protobufType = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

// nativeHistogram returns the body of a push with a native histogram of 21
// observations, some of them negative.
func nativeHistogram(t *testing.T) string {
	t.Helper()
	registry := prometheus.NewRegistry()
	h := prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: "native_seconds", Help: "A native histogram.", NativeHistogramBucketFactor: 1.5,
	})
	registry.MustRegister(h)
	for i := range 20 {
		h.Observe(float64(i*i-30) / 10)
	}
	h.Observe(0)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var body strings.Builder
	encoder := expfmt.NewEncoder(&body, expfmt.NewFormat(expfmt.TypeProtoDelim))
	for _, f := range families {
		if err := encoder.Encode(f); err != nil {
			t.Fatal(err)
		}
	}
	return body.String()
}
