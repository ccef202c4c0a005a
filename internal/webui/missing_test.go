package webui_test

import (
	"context"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/webui"
)

// A group's page follows it from its last push to the last scrape.
func TestMissing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := store.InMemory()
		source, p := sourceOf(s), newPages(t, "")
		section := func(job string) string {
			t.Helper()
			_, rest, ok := strings.Cut(group(t, p, "", source, key("job", job)), `<h2 id="missing">`)
			if !ok {
				t.Fatal("the section is missing")
			}
			rest, _, _ = strings.Cut(rest, "</section>")
			return rest
		}
		put(t, s, key("job", "a"))
		wantText(t, section("a"), `state ok">pushed<`, "The last push was accepted",
			`state failed">not scraped<`, "Nobody has scraped the gateway",
			`href="../../help#prometheus"`, "push_time_seconds{job=&#34;a&#34;}", "push_time_seconds{exported_job=&#34;a&#34;}")
		time.Sleep(time.Second)
		source.History.RecordScrape(time.Now(), "10.0.0.1:5", "Prometheus/3")
		page := section("a")
		wantText(t, page, `state ok">scraped<`, ", after the last accepted push.", "<bdi>10.0.0.1</bdi>", "<bdi>Prometheus/3</bdi>")
		if strings.Contains(page, "noreferrer") {
			t.Errorf("a link to no Prometheus: %s", page)
		}
		time.Sleep(time.Second)
		put(t, s, key("job", "a"))
		wantText(t, section("a"), `state old">not yet<`, ", before the last accepted push.")
		time.Sleep(10 * time.Minute)
		wantText(t, section("a"), `state failed">not scraped<`, "10 min ago</time>. Prometheus shows series for 5 minutes")
		if err := s.Fail(key("job", "a"), time.Now()); err != nil {
			t.Fatal(err)
		}
		wantText(t, section("a"), `state failed">rejected<`, "What Prometheus gets was pushed <time", "10 min ago")
		if err := s.Fail(key("job", "b"), time.Now()); err != nil {
			t.Fatal(err)
		}
		wantText(t, section("b"), `state failed">not pushed<`, "No push was accepted")

		expiry := metric.Expiry{Set: true, TTL: time.Minute, KeepPushTimes: true}
		pushWith(t, s, key("job", "c"), store.PushOptions{Expiry: expiry})
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		s.RunExpiry(ctx, func([]store.ExpiredGroup) {})
		wantText(t, section("c"), "The group has expired; only its push times are left.")
		put(t, s, key("job", "d"))
		time.Sleep(25 * time.Hour)
		wantText(t, section("d"), `state old">old<`, "keeps getting these values until the group is deleted")
	})
}

func TestPrometheusURL(t *testing.T) {
	for text, ok := range map[string]bool{
		"": true, "http://prometheus:9090": true, "https://example.org/prometheus/": true,
		"prometheus:9090": false, "javascript:alert(1)": false, "/prometheus": false, "http://": false, "https://%": false,
	} {
		if _, err := webui.New(webui.Config{External: url.URL{}, MetricsPath: "/metrics", Prometheus: text}); (err == nil) != ok {
			t.Errorf("%q: %v", text, err)
		}
	}
}
