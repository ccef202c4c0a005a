package chart

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"
)

// types returns a value of the Go type of each kind of object.
func types() map[string]metav1.Object {
	return map[string]metav1.Object{
		"apps/v1/Deployment":                          &appsv1.Deployment{},
		"apps/v1/StatefulSet":                         &appsv1.StatefulSet{},
		"v1/Service":                                  &corev1.Service{},
		"v1/ServiceAccount":                           &corev1.ServiceAccount{},
		"v1/Secret":                                   &corev1.Secret{},
		"v1/ConfigMap":                                &corev1.ConfigMap{},
		"v1/PersistentVolumeClaim":                    &corev1.PersistentVolumeClaim{},
		"policy/v1/PodDisruptionBudget":               &policyv1.PodDisruptionBudget{},
		"networking.k8s.io/v1/Ingress":                &networkingv1.Ingress{},
		"networking.k8s.io/v1/NetworkPolicy":          &networkingv1.NetworkPolicy{},
		"gateway.networking.k8s.io/v1/HTTPRoute":      &gatewayv1.HTTPRoute{},
		"monitoring.coreos.com/v1/ServiceMonitor":     &monitoringv1.ServiceMonitor{},
		"monitoring.coreos.com/v1/PrometheusRule":     &monitoringv1.PrometheusRule{},
		"monitoring.coreos.com/v1alpha1/ScrapeConfig": &monitoringv1alpha1.ScrapeConfig{},
	}
}

// An object is a rendered object: as text, as a tree and as the API's Go type.
type object struct {
	kind  string
	text  string
	tree  map[string]any
	typed metav1.Object
}

func (o object) id() string { return o.kind + "/" + o.typed.GetName() }

// objects are rendered objects by kind and name, such as Service/gw.
type objects map[string]object

// decodeAll decodes the documents of a YAML text into the API's types. Unknown fields and
// fields of another type are errors.
func decodeAll(t *testing.T, name, text string) []object {
	t.Helper()
	var all []object
	for _, document := range regexp.MustCompile(`(?m)^---$`).Split(text, -1) {
		if strings.TrimSpace(regexp.MustCompile(`(?m)^#.*$`).ReplaceAllString(document, "")) == "" {
			continue
		}
		o := object{text: strings.TrimSpace(document) + "\n"}
		if err := yaml.UnmarshalStrict([]byte(document), &o.tree); err != nil {
			t.Fatalf("%s: %v in:\n%s", name, err, document)
		}
		o.kind, _ = o.tree["kind"].(string)
		id := fmt.Sprint(o.tree["apiVersion"], "/", o.kind)
		if o.typed = types()[id]; o.typed == nil {
			t.Fatalf("%s: unknown kind %s in:\n%s", name, id, document)
		}
		if err := yaml.UnmarshalStrict([]byte(document), o.typed); err != nil {
			t.Fatalf("%s: %v in:\n%s", name, err, document)
		}
		all = append(all, o)
	}
	return all
}

// get returns the object of type T with this name.
func get[T metav1.Object](t *testing.T, all objects, name string) T {
	t.Helper()
	for _, o := range all {
		if typed, ok := o.typed.(T); ok && typed.GetName() == name {
			return typed
		}
	}
	t.Fatalf("no %T %s in %v", *new(T), name, all.ids())
	panic("unreachable")
}

// ids returns kind and name of each object.
func (all objects) ids() []string {
	var ids []string
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

// pods returns the template of the pods, and the selector and claim templates beside it.
func (all objects) pods() (pods corev1.PodTemplateSpec, selector *metav1.LabelSelector, claims []corev1.PersistentVolumeClaim) {
	for _, o := range all {
		switch typed := o.typed.(type) {
		case *appsv1.Deployment:
			return typed.Spec.Template, typed.Spec.Selector, nil
		case *appsv1.StatefulSet:
			return typed.Spec.Template, typed.Spec.Selector, typed.Spec.VolumeClaimTemplates
		}
	}
	return corev1.PodTemplateSpec{}, nil, nil
}

// gateway returns the gateway's container.
func (all objects) gateway(t *testing.T) corev1.Container {
	t.Helper()
	pods, _, _ := all.pods()
	i := slices.IndexFunc(pods.Spec.Containers, func(c corev1.Container) bool { return c.Name == "pushgateway" })
	if i < 0 {
		t.Fatal("there is no container pushgateway")
	}
	return pods.Spec.Containers[i]
}

var objectName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// checkReferences checks what objects say about each other: selectors, volumes, ports, names.
func (all objects) checkReferences(t *testing.T) {
	t.Helper()
	pods, selector, claims := all.pods()
	if selector == nil {
		return
	}
	includes := func(what string, labels, selected map[string]string) {
		for name, value := range selected {
			if labels[name] != value {
				t.Errorf("%s selects %s=%s, but what it selects has %v", what, name, value, labels)
			}
		}
	}
	includes("the workload", pods.Labels, selector.MatchLabels)

	volumes := map[string]bool{}
	for _, v := range pods.Spec.Volumes {
		if volumes[v.Name] {
			t.Errorf("volume %s is there twice", v.Name)
		}
		volumes[v.Name] = true
	}
	for _, c := range claims {
		volumes[c.Name] = true
	}
	for _, c := range slices.Concat(pods.Spec.InitContainers, pods.Spec.Containers) {
		paths := map[string]bool{}
		for _, mount := range c.VolumeMounts {
			if !volumes[mount.Name] {
				t.Errorf("container %s mounts volume %s, which the pod does not have", c.Name, mount.Name)
			}
			if paths[mount.MountPath] {
				t.Errorf("container %s mounts two volumes at %s", c.Name, mount.MountPath)
			}
			paths[mount.MountPath] = true
		}
		flags := map[string]bool{}
		for _, arg := range c.Args {
			name, _, _ := strings.Cut(arg, "=")
			if strings.HasPrefix(name, "--") && flags[name] {
				t.Errorf("container %s has the flag %s twice", c.Name, name)
			}
			flags[name] = true
		}
	}
	for id, o := range all {
		if name := o.typed.GetName(); !objectName.MatchString(name) {
			t.Errorf("%s: the name is not valid", id)
		}
		if o.typed.GetNamespace() == "" {
			t.Errorf("%s has no namespace", id)
		}
		switch typed := o.typed.(type) {
		case *corev1.Service:
			includes(id, pods.Labels, typed.Spec.Selector)
		case *policyv1.PodDisruptionBudget:
			includes(id, pods.Labels, typed.Spec.Selector.MatchLabels)
		case *networkingv1.NetworkPolicy:
			includes(id, pods.Labels, typed.Spec.PodSelector.MatchLabels)
			includes(id, map[string]string{"port": typed.Spec.Ingress[0].Ports[0].Port.String()},
				map[string]string{"port": all.onlyService(t).Spec.Ports[0].TargetPort.String()})
		case *monitoringv1.ServiceMonitor:
			service := all.onlyService(t)
			includes(id, service.Labels, typed.Spec.Selector.MatchLabels)
			for _, endpoint := range typed.Spec.Endpoints {
				if endpoint.Port != service.Spec.Ports[0].Name {
					t.Errorf("%s scrapes port %s; the Service has %v", id, endpoint.Port, service.Spec.Ports)
				}
			}
		case *networkingv1.Ingress:
			for _, rule := range typed.Spec.Rules {
				last := rule.HTTP.Paths[len(rule.HTTP.Paths)-1].Backend.Service
				if service := all.onlyService(t); last.Name != service.Name || last.Port.Number != service.Spec.Ports[0].Port {
					t.Errorf("%s leads to %v, not to the Service", id, last)
				}
			}
		}
	}
	if service := all.onlyService(t); service.Spec.Ports[0].TargetPort == intstr.FromInt32(0) {
		t.Error("the Service has no target port")
	}
}

func (all objects) onlyService(t *testing.T) *corev1.Service {
	t.Helper()
	for _, o := range all {
		if service, ok := o.typed.(*corev1.Service); ok {
			return service
		}
	}
	t.Fatal("there is no Service")
	return nil
}
