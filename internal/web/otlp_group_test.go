package web

import (
	"strings"
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/otlp"
	"pushgateway/internal/rules"
)

// TestOTLPGroups: the job and the attributes to group by name the group of a resource. They come from the
// request, then from the first rule that matches the job, then from the flag.
func TestOTLPGroups(t *testing.T) {
	s, _ := newTestServer(t, func(c *Config) {
		c.Defaults.GroupBy = metric.NewLabelNames("host.name")
		c.Rules = newTestRules(t, c, func() (*rules.Rules, error) {
			return rules.Parse([]byte(`rules: [{match: '{job="ruled"}', group_by: [service.instance.id, pod]}]`))
		})
	})
	for _, c := range []struct {
		name, target, header string
		attributes           []string
		want                 string
	}{
		{"flag", otlpPath, "", []string{"service.name", "a", "host.name", "h"}, `{host_name="h",job="a"}`},
		{"no such attribute", otlpPath, "", []string{"service.name", "a"}, `{job="a"}`},
		{"namespace", otlpPath, "", []string{"service.name", "a", "service.namespace", "n"}, `{job="n/a"}`},
		{"rule", otlpPath, "", []string{"service.name", "ruled", "service.instance.id", "i", "host.name", "h"}, `{instance="i",job="ruled"}`},
		{"query", otlpPath + "?group_by=x.y&group_by=pod", "", []string{"service.name", "ruled", "x.y", "1", "pod", "2", "host.name", "h"},
			`{job="ruled",pod="2",x_y="1"}`},
		{"path", "/with/group_by=pod" + otlpPath, "", []string{"service.name", "a", "pod", "2"}, `{job="a",pod="2"}`},
		{"header", otlpPath, "pod", []string{"service.name", "a", "pod", "3"}, `{job="a",pod="3"}`},
		{"the job alone", otlpPath, "service.name", []string{"service.name", "b", "host.name", "h"}, `{job="b"}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			var headers []string
			if c.header != "" {
				headers = []string{"Pushgateway-Group-By", c.header}
			}
			if w := sendJSON(s, c.target, headers, resourceJSON(gaugeJSON("g", 1), c.attributes...)); w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			for g := range s.config.Store.Groups() {
				if g.Key.String() == c.want {
					return
				}
			}
			t.Errorf("no group %s", c.want)
		})
	}
	w := sendJSON(s, otlpPath+"?group_by=a.b,a_b", nil, resourceJSON(gaugeJSON("g", 1), "service.name", "a", "a.b", "1", "a_b", "2"))
	if w.Code != 400 || !strings.Contains(w.Body.String(), "two attributes for the label") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := do(s, "POST", "/metrics/job/a?group_by=b", "m 1\n"); w.Code != 400 {
		t.Errorf("group_by for a group: %d %s", w.Code, w.Body)
	}
}

// TestOTLPTargetInfo: the attributes of a resource replace those that the group had, and are left out if
// they only identify the resource.
func TestOTLPTargetInfo(t *testing.T) {
	for _, c := range []struct {
		name, want string
		config     otlp.Config
		resources  [][]string
	}{
		{"identifying attributes only", "g{instance=\"\",job=\"a\"} 1\n", otlp.Config{}, [][]string{{"service.instance.id", "i"}}},
		{"the last one counts", "g{instance=\"\",job=\"a\"} 1\ntarget_info{instance=\"\",job=\"a\",pid=\"2\"} 1\n", otlp.Config{},
			[][]string{{"pid", "1"}, {"pid", "2"}}},
		{"identifying attributes kept", "g{instance=\"\",job=\"a\"} 1\ntarget_info{instance=\"\",job=\"a\",pid=\"2\",service_name=\"a\"} 1\n",
			otlp.Config{KeepIdentifyingResourceAttributes: true}, [][]string{{"pid", "2"}}},
		{"promoted attributes", "g{instance=\"\",job=\"a\",pid=\"2\"} 1\ntarget_info{instance=\"\",job=\"a\",pid=\"2\"} 1\n",
			otlp.Config{PromoteResourceAttributes: "pid"}, [][]string{{"pid", "2"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, func(config *Config) { config.SelfMetricsPath, config.OTLP = "/self", c.config })
			for _, attributes := range c.resources {
				w := sendJSON(s, otlpPath, nil, resourceJSON(gaugeJSON("g", 1), append(attributes, "service.name", "a")...))
				if w.Code != 200 {
					t.Fatalf("%d %s", w.Code, w.Body)
				}
			}
			if got := pushed(s); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

// TestOTLPMerge: without the option merge, the temporality decides. With it, metrics that do not go with it are
// rejected rather than counted wrongly.
func TestOTLPMerge(t *testing.T) {
	const series = `{instance="",job="a"} `
	for _, c := range []struct {
		name, query string
		exports     []string // metrics of each
		want        string
		rejected    string // of the last export
	}{
		{"gauges, then deltas", "", []string{gaugeJSON("g", 1), counterJSON("c", 1, 2, 1) + "," + gaugeJSON("h", 1), counterJSON("c", 1, 2, 2)},
			"c_total" + series + "4\ng" + series + "1\nh" + series + "1\n", ""},
		{"deltas, then cumulative values of others", "",
			[]string{counterJSON("c", 1, 2, 1), counterJSON("d", 2, 2, 2), counterJSON("d", 2, 5, 3)},
			"c_total" + series + "2\nd_total" + series + "5\n", ""},
		{"deltas of what was cumulative", "", []string{counterJSON("c", 2, 2, 1), counterJSON("c", 1, 2, 2)},
			"c_total" + series + "2\n", "was pushed as a value and not as a part of a sum"},
		{"cumulative values of what adds up", "", []string{counterJSON("c", 1, 2, 1), counterJSON("c", 2, 5, 2)},
			"c_total" + series + "2\n", "with cumulative temporality and not delta"},
		{"deltas of what was cumulative, beside others", "",
			[]string{counterJSON("c", 1, 2, 1) + "," + counterJSON("d", 2, 5, 1), counterJSON("d", 1, 2, 2)},
			"c_total" + series + "2\nd_total" + series + "5\n", "was pushed as a value and not as a part of a sum"},
		{"group", "?merge=group", []string{gaugeJSON("g", 1), gaugeJSON("h", 2)}, "h" + series + "2\n", ""},
		{"group and deltas only", "?merge=group", []string{gaugeJSON("g", 1), counterJSON("c", 1, 2, 1) + "," + counterJSON("c", 1, 2, 1)},
			"g" + series + "1\n", "has delta temporality, and merge=group would replace"},
		{"group and deltas", "?merge=group", []string{gaugeJSON("g", 1) + "," + counterJSON("c", 1, 2, 1)},
			"g" + series + "1\n", "has delta temporality, and merge=group would replace"},
		{"sum and cumulative values", "?merge=sum", []string{gaugeJSON("g", 1) + "," + counterJSON("c", 2, 2, 1)},
			"g" + series + "1\n", "is cumulative, and merge=sum would add it up again"},
		{"dropped labels", "?drop_labels=pod", []string{`{"name":"c","sum":{"aggregationTemporality":1,"isMonotonic":true,"dataPoints":[` +
			`{"asInt":"1","attributes":[{"key":"pod","value":{"stringValue":"x"}}]},` +
			`{"asInt":"2","attributes":[{"key":"pod","value":{"stringValue":"y"}}]}]}}`, counterJSON("c", 1, 4, 2)},
			"c_total" + series + "7\n", ""},
		{"sum, the last gauge", "?merge=sum", []string{gaugeJSON("g", 3), gaugeJSON("g", 1) + "," + counterJSON("c", 1, 2, 1)},
			"c_total" + series + "2\ng" + series + "1\n", ""},
		{"sum, the largest gauge", "?merge=sum&gauges=max", []string{gaugeJSON("g", 3), gaugeJSON("g", 1) + "," + counterJSON("c", 1, 2, 1)},
			"c_total" + series + "2\ng" + series + "3\n", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, _ := newTestServer(t, func(config *Config) { config.SelfMetricsPath = "/self" })
			for i, metrics := range c.exports {
				w := sendJSON(s, otlpPath+c.query, nil, resourceJSON(metrics, "service.name", "a"))
				switch last := i == len(c.exports)-1; {
				case last && c.rejected != "" && !strings.Contains(w.Body.String(), c.rejected),
					(!last || c.rejected == "") && w.Body.String() != "{}":
					t.Errorf("%d %s", w.Code, w.Body)
				}
			}
			if got := pushed(s); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}
