package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// immutable matches the fields that Kubernetes does not let change, or that it lets change but
// other objects refer to, by kind.
var immutable = map[string]*regexp.Regexp{
	"Deployment":            regexp.MustCompile(`^spec\.selector`),
	"StatefulSet":           regexp.MustCompile(`^spec\.(selector|serviceName|volumeClaimTemplates|podManagementPolicy)`),
	"Service":               regexp.MustCompile(`^spec\.(clusterIP|selector|type|ports\[\w+\]\.(name|port|targetPort))`),
	"PersistentVolumeClaim": regexp.MustCompile(`^spec`),
	"Secret":                regexp.MustCompile(`^type`),
}

// renamed are objects whose names are new on purpose, by their names in the community chart.
var renamed = map[string]string{
	"NetworkPolicy/ingress-allow-all-prometheus-pushgateway": "NetworkPolicy/" + full, // the name lacks the release
}

// TestUpgrade compares what the community chart makes of the same values with what this chart
// makes of them. Nothing immutable changes, no object goes, and whatever else changes is in
// changes.txt beside the values.
func TestUpgrade(t *testing.T) {
	for _, c := range []struct{ name, release, namespace string }{
		{"default", "gw", "batch"},
		{"volume", "gw", "batch"},
		{"statefulset", "gw", "batch"},
		{"secured", "gw", "batch"},
		{"umbrella", "prometheus", "monitoring"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "community", c.name)
			before := objects{}
			for _, o := range decodeAll(t, c.name, readFile(t, filepath.Join(dir, "objects.yaml"))) {
				before[o.id()] = o
			}
			before.checkReferences(t)
			r := release{
				name: c.release, namespace: c.namespace, cluster: cluster(before),
				values: parse(t, readFile(t, filepath.Join(dir, "values.yaml"))),
			}
			after := r.render(t)

			var changes strings.Builder
			for _, id := range before.ids() {
				if renamed[id] != "" {
					fmt.Fprintf(&changes, "%s\n  becomes %s\n", id, renamed[id])
					continue
				}
				if _, ok := after[id]; !ok {
					t.Errorf("%s is gone", id)
					continue
				}
				list := compare(before[id], after[id])
				for _, change := range list {
					if must := immutable[before[id].kind]; must != nil && must.MatchString(change) {
						t.Errorf("%s: an immutable field changes: %s", id, change)
					}
				}
				if len(list) > 0 {
					fmt.Fprintf(&changes, "%s\n  %s\n", id, strings.Join(list, "\n  "))
				}
			}
			for _, id := range after.ids() {
				if _, ok := before[id]; !ok && !slices.Contains(slices.Collect(maps.Values(renamed)), id) {
					t.Errorf("%s is new", id)
				}
			}
			generated(t, filepath.Join(dir, "changes.txt"), changes.String())
		})
	}
}

// versionLabel matches the labels that differ between any two versions, except where they are
// immutable.
var versionLabel = regexp.MustCompile(`^(spec\.template\.)?metadata\.labels\.(helm\.sh/chart|app\.kubernetes\.io/version)$`)

// compare returns the differences of two objects, as "path: before -> after".
func compare(before, after object) []string {
	a, b := map[string]string{}, map[string]string{}
	flatten(a, "", before.normal())
	flatten(b, "", after.normal())
	paths := map[string]bool{}
	for path := range a {
		paths[path] = true
	}
	for path := range b {
		paths[path] = true
	}
	var list []string
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		switch old, had := a[path]; {
		case old == b[path] || versionLabel.MatchString(path):
		case before.kind == "Secret" && strings.HasPrefix(path, "data."):
			list = append(list, path+": changed")
		case !had:
			list = append(list, fmt.Sprintf("%s: added %s", path, b[path]))
		case b[path] == "":
			list = append(list, fmt.Sprintf("%s: removed %s", path, old))
		default:
			list = append(list, fmt.Sprintf("%s: %s -> %s", path, old, b[path]))
		}
	}
	return list
}

// normal returns the object as a tree of what its Go type holds, with defaults that one chart
// spells out and the other does not.
func (o object) normal() map[string]any {
	text, err := json.Marshal(o.typed)
	if err != nil {
		panic(err) // it was decoded from JSON
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		panic(err)
	}
	delete(tree, "status")
	if o.kind == "Secret" && tree["type"] == nil {
		tree["type"] = "Opaque"
	}
	return tree
}

// flatten writes the leaves of a tree into values, by path. Items of a list go by their name.
func flatten(values map[string]string, path string, node any) {
	switch typed := node.(type) {
	case map[string]any:
		for key, value := range typed {
			flatten(values, strings.TrimPrefix(path+"."+key, "."), value)
		}
	case []any:
		for i, item := range typed {
			key := fmt.Sprint(i)
			if object, ok := item.(map[string]any); ok && object["name"] != nil {
				key = fmt.Sprint(object["name"])
			} else if text, ok := item.(string); ok {
				key = text
			}
			flatten(values, fmt.Sprintf("%s[%s]", path, key), item)
		}
	case nil:
	default:
		values[path] = fmt.Sprint(node)
	}
}
