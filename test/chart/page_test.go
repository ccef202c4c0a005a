package chart

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/strvals"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/util/jsonpath"
	"sigs.k8s.io/yaml"
)

// A codeBlock is a marked code block of a page: <!-- KIND: NAME -->. test/docs_blocks_test.go
// checks that each block has a mark.
type codeBlock struct{ kind, name, code string }

// codeBlocks returns the code blocks of a page.
func codeBlocks(t *testing.T, page string) []codeBlock {
	t.Helper()
	var blocks []codeBlock
	marked := regexp.MustCompile("(?ms)^<!-- ([a-z ]+): ([^\n]+) -->\n```\\w*\n(.*?)^```$")
	for _, m := range marked.FindAllStringSubmatch(readFile(t, filepath.Join(root, page)), -1) {
		blocks = append(blocks, codeBlock{m[1], m[2], m[3]})
	}
	if len(blocks) == 0 {
		t.Fatalf("%s has no marked code block", page)
	}
	return blocks
}

// TestPages does with each code block of the pages what its kind says.
func TestPages(t *testing.T) {
	for _, page := range []string{"docs/KUBERNETES.md", "deploy/helm/prometheus-pushgateway/README.md"} {
		for _, b := range codeBlocks(t, page) {
			t.Run(b.kind+" "+b.name, func(t *testing.T) { b.check(t, filepath.Dir(page)) })
		}
	}
}

func (b codeBlock) check(t *testing.T, dir string) {
	t.Helper()
	switch b.kind {
	case "values":
		defaultRelease(t, b.code).render(t)
	case "helm":
		lines := strings.Split(strings.ReplaceAll(b.code, "\\\n", ""), "\n")
		for _, line := range slices.DeleteFunc(lines, func(line string) bool { return !strings.HasPrefix(line, "helm ") }) {
			runHelm(t, line, dir)
		}
	case "kubectl":
		for line := range strings.Lines(b.code) {
			checkKubectl(t, strings.Fields(line))
		}
	case "file":
		if path := filepath.Join("testdata", "overlay", b.name); stripComments(readFile(t, path)) != b.code {
			t.Errorf("%s differs: the tests use that file", path)
		}
	case "prometheus":
		checkScrapeConfigs(t, b.code)
	case "not run":
	default:
		t.Errorf("no test knows blocks of this kind")
	}
}

// stripComments removes lines that are comments.
func stripComments(text string) string {
	return regexp.MustCompile(`(?m)^#.*\n`).ReplaceAllString(text, "")
}

// runHelm does what a printed command line does without a cluster: helm install and helm upgrade
// render the chart. The release that is upgraded is one of the community chart.
func runHelm(t *testing.T, line, dir string) {
	t.Helper()
	words := strings.Fields(line)
	path := filepath.Join(root, words[3])
	if strings.HasPrefix(words[3], ".") {
		path = filepath.Join(root, dir, words[3])
	}
	if filepath.Clean(path) != chartDir {
		t.Fatalf("%s: the chart is %s, want %s", line, path, chartDir)
	}
	r, given := release{name: words[2], namespace: "batch"}, map[string]any{}
	for rest := words[4:]; len(rest) > 0; rest = rest[1:] {
		switch {
		case rest[0] == "--reset-then-reuse-values" && words[1] == "upgrade":
			r.values = parse(t, readFile(t, "testdata/community/volume/values.yaml"))
		case rest[0] == "--set" && len(rest) > 1:
			rest = rest[1:]
			if err := strvals.ParseInto(rest[0], given); err != nil {
				t.Fatalf("%s: %v", line, err)
			}
		default:
			t.Fatalf("%s: cannot test %s", line, rest[0])
		}
	}
	r.values = chartutil.CoalesceTables(given, r.values)
	all := r.render(t)
	if image := all.gateway(t).Image; image != "registry.example.org/pushgateway:0.1.0" {
		t.Errorf("%s installs the image %s", line, image)
	}
}

// TestReuseValues: helm upgrade --reuse-values, which keeps the defaults of the community chart,
// fails with what the page says.
func TestReuseValues(t *testing.T) {
	chart, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	maps.DeleteFunc(chart.Values, func(name string, _ any) bool {
		return !slices.ContainsFunc(strings.Fields(communityValues), func(path string) bool {
			return path == name || strings.HasPrefix(path, name+".")
		})
	})
	const says = "missing property 'persistence'"
	release{name: "gw", namespace: "batch", chart: chart}.wantError(t, says)
	if !strings.Contains(readFile(t, filepath.Join(root, "docs/KUBERNETES.md")), "`"+says+"`") {
		t.Errorf("docs/KUBERNETES.md does not have %s", says)
	}
}

// checkKubectl checks a printed command line as well as that can be done without a cluster.
func checkKubectl(t *testing.T, words []string) {
	t.Helper()
	command := strings.Join(words[:min(len(words), 3)], " ")
	switch {
	case strings.HasPrefix(command, "kubectl apply -f"):
		decodeAll(t, words[3], readFile(t, filepath.Join(root, words[3])))
	case command == "kubectl get statefulset": // an expression about what the community chart makes
		all := decodeAll(t, words[3], readFile(t, "testdata/community/statefulset/objects.yaml"))
		i := slices.IndexFunc(all, func(o object) bool { return o.kind == "StatefulSet" })
		expression, ok := strings.CutPrefix(words[len(words)-1], "jsonpath=")
		parser := jsonpath.New("printed")
		var out strings.Builder
		if err := parser.Parse(strings.Trim(expression, "'")); err != nil || !ok {
			t.Fatalf("%v: %v", words, err)
		}
		if err := parser.Execute(&out, all[i].tree); err != nil || !strings.Contains(out.String(), "helm.sh/chart") {
			t.Errorf("%v prints %s, %v", words, &out, err)
		}
	case command == "kubectl create secret": // with the name and key that the values of replicas have
		values := readFile(t, "testdata/values/replicas.yaml")
		key, _, _ := strings.Cut(strings.TrimPrefix(words[len(words)-1], "--from-literal="), "=")
		if !strings.Contains(values, "passwordSecret: {name: "+words[4]) || key != "password" {
			t.Errorf("%v makes another Secret than the values name", words)
		}
	default:
		t.Errorf("cannot test %v", words)
	}
}

// checkScrapeConfigs checks that Prometheus would scrape the Service.
func checkScrapeConfigs(t *testing.T, code string) {
	t.Helper()
	var config struct {
		ScrapeConfigs []struct {
			JobName       string                       `json:"job_name"`
			HonorLabels   bool                         `json:"honor_labels"`
			StaticConfigs []struct{ Targets []string } `json:"static_configs"`
		} `json:"scrape_configs"`
	}
	if err := yaml.UnmarshalStrict([]byte(code), &config); err != nil {
		t.Fatal(err)
	}
	r := release{name: "my-release", namespace: "my-namespace", values: map[string]any{}}
	service := get[*corev1.Service](t, r.render(t), "my-release-prometheus-pushgateway")
	want := fmt.Sprintf("%s.%s.svc:%d", service.Name, service.Namespace, service.Spec.Ports[0].Port)
	if c := config.ScrapeConfigs; len(c) != 1 || !c[0].HonorLabels || c[0].StaticConfigs[0].Targets[0] != want {
		t.Errorf("%+v, want the target %s", c, want)
	}
}
