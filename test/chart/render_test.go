// Package chart tests the Helm chart in deploy/helm with Helm as a library, and makes the
// files that are generated from it. It is a module of its own, so that the program does
// not depend on Helm.
package chart

import (
	"flag"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	"sigs.k8s.io/yaml"
)

// update has the tests write the generated files instead of comparing them.
var update = flag.Bool("update", false, "write the files that are generated from the chart")

// root is the top folder of the project, and chartDir that of the chart.
var (
	root     = filepath.Join("..", "..")
	chartDir = filepath.Join(root, "deploy", "helm", "prometheus-pushgateway")
)

// A release is what a chart is rendered for.
type release struct {
	name, namespace string
	values          map[string]any
	cluster         engine.ClientProvider // what lookup sees; nil for helm template
	chart           *chart.Chart          // nil for that of chartDir
}

// defaultRelease returns a release of these values, in YAML.
func defaultRelease(t *testing.T, values string) release {
	t.Helper()
	return release{name: "gw", namespace: "batch", values: parse(t, values)}
}

func parse(t *testing.T, text string) map[string]any {
	t.Helper()
	values := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &values); err != nil {
		t.Fatalf("%v in:\n%s", err, text)
	}
	return values
}

// render renders the chart and returns the objects, each decoded strictly, by kind and name.
func (r release) render(t *testing.T) objects {
	t.Helper()
	files, err := r.files()
	if err != nil {
		t.Fatal(err)
	}
	all := objects{}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if filepath.Base(name) == "NOTES.txt" {
			continue
		}
		for _, o := range decodeAll(t, name, files[name]) {
			if _, twice := all[o.id()]; twice {
				t.Errorf("%s is rendered twice", o.id())
			}
			all[o.id()] = o
		}
	}
	all.checkReferences(t)
	return all
}

// files renders the chart and returns the text of each template.
func (r release) files() (map[string]string, error) {
	chart := r.chart
	if chart == nil {
		var err error
		if chart, err = loader.Load(chartDir); err != nil {
			return nil, err
		}
	}
	capabilities := *chartutil.DefaultCapabilities
	values, err := chartutil.ToRenderValues(chart, r.values, chartutil.ReleaseOptions{
		Name: r.name, Namespace: r.namespace, Revision: 1, IsInstall: true,
	}, &capabilities)
	if err != nil {
		return nil, err
	}
	if r.cluster != nil {
		return engine.RenderWithClientProvider(chart, values, r.cluster)
	}
	return engine.Engine{}.Render(chart, values)
}

// wantError renders the chart, which must fail with this text.
func (r release) wantError(t *testing.T, text string) {
	t.Helper()
	if _, err := r.files(); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("values %v: error %v, want one with %q", r.values, err, text)
	}
}

// generated compares a generated text with the file, or writes the file.
func generated(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	stored, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(stored) != text {
		t.Errorf("%s is not current: run make manifests\nwant:\n%s", path, text)
	}
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
