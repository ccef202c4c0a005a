package chart

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"
)

var manifestDir = filepath.Join(root, "deploy", "kubernetes")

// TestManifestsAreCurrent: the manifests are what the chart makes of the values beside them.
func TestManifestsAreCurrent(t *testing.T) {
	for name, kinds := range map[string][]string{
		"base":       {"ServiceAccount", "PersistentVolumeClaim", "Service", "Deployment"},
		"replicas":   {"ServiceAccount", "Service", "PodDisruptionBudget", "Deployment"},
		"monitoring": {"ServiceMonitor", "PrometheusRule", "ConfigMap"},
	} {
		dir := filepath.Join(manifestDir, name)
		r := release{name: "pushgateway", namespace: "default", values: parse(t, readFile(t, filepath.Join(dir, "values.yaml")))}
		var text strings.Builder
		text.WriteString("# Made from the Helm chart and values.yaml by make manifests. Do not edit.\n")
		all := r.render(t)
		for _, kind := range kinds {
			for _, id := range all.ids() {
				if strings.HasPrefix(id, kind+"/") {
					fmt.Fprintf(&text, "---\n%s", plain(t, all[id]))
				}
			}
		}
		generated(t, filepath.Join(dir, "pushgateway.yaml"), text.String())
	}
}

// plain returns the text of an object without what only Helm needs. kubectl and kustomize choose
// the namespace.
func plain(t *testing.T, o object) string {
	t.Helper()
	var strip func(node any)
	strip = func(node any) {
		switch typed := node.(type) {
		case map[string]any:
			if labels, ok := typed["labels"].(map[string]any); ok {
				delete(labels, "helm.sh/chart")
				delete(labels, "app.kubernetes.io/managed-by")
			}
			for _, child := range typed {
				strip(child)
			}
		case []any:
			for _, child := range typed {
				strip(child)
			}
		}
	}
	strip(o.tree)
	delete(o.tree["metadata"].(map[string]any), "namespace")
	if o.kind == "ServiceMonitor" {
		delete(o.tree["spec"].(map[string]any), "namespaceSelector") // its own namespace
	}
	text, err := yaml.Marshal(o.tree)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestKustomize builds each folder of deploy/kubernetes, and an overlay as docs/KUBERNETES.md has it.
func TestKustomize(t *testing.T) {
	build := func(dir string) objects {
		t.Helper()
		made, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), dir)
		if err != nil {
			t.Fatalf("%s: %v", dir, err)
		}
		text, err := made.AsYaml()
		if err != nil {
			t.Fatal(err)
		}
		all := objects{}
		for _, o := range decodeAll(t, dir, string(text)) {
			all[o.id()] = o
		}
		return all
	}
	wantIDs(t, build(filepath.Join(manifestDir, "base")), "Deployment/pushgateway", "PersistentVolumeClaim/pushgateway",
		"Service/pushgateway", "ServiceAccount/pushgateway")
	wantIDs(t, build(filepath.Join(manifestDir, "replicas")), "Deployment/pushgateway", "PodDisruptionBudget/pushgateway",
		"Service/pushgateway", "ServiceAccount/pushgateway")
	overlay := build(filepath.Join("testdata", "overlay"))
	overlay.checkReferences(t)
	deployment := get[*appsv1.Deployment](t, overlay, "pushgateway")
	if deployment.Namespace != "batch" || overlay.gateway(t).Image != "registry.example.org/pushgateway:0.1.0" ||
		!slices.Contains(overlay.gateway(t).Args, "--push.ttl=30d") {
		t.Errorf("the overlay makes %+v", deployment)
	}
	for _, id := range []string{"ServiceMonitor/pushgateway", "PrometheusRule/pushgateway", "ConfigMap/pushgateway-dashboard"} {
		if _, ok := overlay[id]; !ok {
			t.Errorf("the overlay does not have %s, but %v", id, overlay.ids())
		}
	}
}
