package chart

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
)

// A cluster is what lookup sees: objects of one namespace.
type cluster objects

var _ engine.ClientProvider = cluster{}

// GetClientFor implements engine.ClientProvider.
func (c cluster) GetClientFor(_, kind string) (dynamic.NamespaceableResourceInterface, bool, error) {
	return &client{objects: objects(c), kind: kind}, true, nil
}

// A client answers Get in a namespace, and nothing else.
type client struct {
	dynamic.NamespaceableResourceInterface
	objects   objects
	kind      string
	namespace string
}

func (c *client) Namespace(namespace string) dynamic.ResourceInterface {
	return &client{objects: c.objects, kind: c.kind, namespace: namespace}
}

func (c *client) Get(_ context.Context, name string, _ metav1.GetOptions, _ ...string) (*unstructured.Unstructured, error) {
	o, ok := c.objects[c.kind+"/"+name]
	if !ok || o.typed.GetNamespace() != c.namespace {
		return nil, apierrors.NewNotFound(schema.GroupResource{Resource: c.kind}, name)
	}
	return &unstructured.Unstructured{Object: o.tree}, nil
}

// TestSecretStays: an upgrade leaves the hashes of passwords as they are, until one changes.
func TestSecretStays(t *testing.T) {
	secret := func(password string, in cluster) objects {
		r := defaultRelease(t, fmt.Sprintf("webConfiguration: {basicAuthUsers: {a: %s, b: fixed}}", password))
		r.cluster = in
		return r.render(t)
	}
	const id = "Secret/" + full
	first := secret("one", cluster{})
	again := secret("one", cluster(first))
	if again[id].text != first[id].text {
		t.Errorf("the Secret changes with an upgrade:\n%s\n%s", first[id].text, again[id].text)
	}
	if changed := secret("two", cluster(first)); changed[id].text == first[id].text {
		t.Error("the Secret does not change with a password")
	}
	if strings.Contains(first[id].text, "one") {
		t.Error("the Secret has the password")
	}
}

// TestClaimTemplateLabels: the labels of a claim template, which must not change, are those in
// the cluster, or those in the values, or the selector's.
func TestClaimTemplateLabels(t *testing.T) {
	labels := func(values string, in cluster) map[string]string {
		r := defaultRelease(t, "{runAsStatefulSet: true, persistentVolume: {enabled: true"+values+"}}")
		r.cluster = in
		return get[*appsv1.StatefulSet](t, r.render(t), full).Spec.VolumeClaimTemplates[0].Labels
	}
	selector := map[string]string{"app.kubernetes.io/name": "prometheus-pushgateway", "app.kubernetes.io/instance": "gw"}
	if got := labels("", nil); fmt.Sprint(got) != fmt.Sprint(selector) {
		t.Errorf("labels of a new claim template: %v", got)
	}
	existing := cluster{}
	for _, o := range decodeAll(t, "community", readFile(t, "testdata/community/statefulset/objects.yaml")) {
		existing[o.id()] = o
	}
	if got := labels("", existing); got["helm.sh/chart"] != "prometheus-pushgateway-3.8.0" || len(got) != 5 {
		t.Errorf("labels of an existing claim template: %v", got)
	}
	if got := labels(", claimTemplateLabels: {a: b}", existing); fmt.Sprint(got) != "map[a:b]" {
		t.Errorf("labels of a claim template with labels in the values: %v", got)
	}
}
