package chart

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

const full = "gw-prometheus-pushgateway"

// checks has a function for each file in testdata/values. Decoding and references are
// checked for all of them.
var checks = map[string]func(*testing.T, objects){
	"default": func(t *testing.T, all objects) {
		wantIDs(t, all, "Deployment/"+full, "Service/"+full, "ServiceAccount/"+full)
		wantArgs(t, all, "--persistence.file=/data/pushgateway.db")
		deployment := get[*appsv1.Deployment](t, all, full)
		if got := deployment.Spec.Strategy.Type; got != appsv1.RecreateDeploymentStrategyType {
			t.Errorf("strategy %s: two gateways would want the same file", got)
		}
		security := deployment.Spec.Template.Spec.SecurityContext
		if *security.RunAsUser != 65534 || *security.FSGroup != 65534 || !*security.RunAsNonRoot {
			t.Errorf("security context %v", security)
		}
		if all.gateway(t).Image != "pushgateway:"+strings.TrimSpace(readFile(t, filepath.Join(root, "VERSION"))) {
			t.Errorf("image %s is not that of this version", all.gateway(t).Image)
		}
	},
	"volume": func(t *testing.T, all objects) {
		wantArgs(t, all, "--persistence.file=/data/pushgateway.db")
		claim := get[*corev1.PersistentVolumeClaim](t, all, full)
		if claim.Spec.Resources.Requests.Storage().String() != "5Gi" || *claim.Spec.StorageClassName != "fast" ||
			claim.Annotations["backup"] != "daily" || claim.Labels["tier"] != "data" {
			t.Errorf("claim %+v", claim)
		}
		if got := volume(t, all, "storage-volume").PersistentVolumeClaim.ClaimName; got != full {
			t.Errorf("the pod uses claim %s", got)
		}
	},
	"own_file": func(t *testing.T, all objects) {
		wantIDs(t, all, "Deployment/"+full, "Service/"+full, "ServiceAccount/"+full)
		wantArgs(t, all, "--persistence.file=/data/pushgateway.data", "--persistence.interval=1m")
		if got := volume(t, all, "storage-volume").PersistentVolumeClaim.ClaimName; got != "old-data" {
			t.Errorf("the pod uses claim %s", got)
		}
		if got := all.gateway(t).VolumeMounts[0].SubPath; got != "gateway" {
			t.Errorf("subPath %q", got)
		}
	},
	"statefulset": func(t *testing.T, all objects) {
		set := get[*appsv1.StatefulSet](t, all, full)
		claim := set.Spec.VolumeClaimTemplates[0]
		if set.Spec.ServiceName != full || claim.Name != "storage-volume" || *claim.Spec.StorageClassName != "" {
			t.Errorf("stateful set %+v", set.Spec)
		}
		if volume(t, all, "web-config").Secret.SecretName != "web" {
			t.Error("web-config is not the Secret")
		}
		if got := all.onlyService(t).Spec.ClusterIP; got != corev1.ClusterIPNone {
			t.Errorf("cluster IP %q, want None", got)
		}
		wantArgs(t, all, "--persistence.file=/data/pushgateway.db", "--web.config.file=/etc/config/web-config.yaml", "--web.probes-without-auth")
		if headers := all.gateway(t).LivenessProbe.HTTPGet.HTTPHeaders; len(headers) > 0 {
			t.Errorf("the probe sends %v", headers)
		}
	},
	"prefix": func(t *testing.T, all objects) {
		wantProbes(t, all, "/push/-/healthy", "/push/-/ready")
		monitor := serviceMonitor(t, all)
		if got := monitor.Spec.Endpoints[0].Path; got != "/push/metrics" || monitor.Namespace != "batch" {
			t.Errorf("scraped path %s, namespace %s", got, monitor.Namespace)
		}
		if got := get[*networkingv1.Ingress](t, all, full).Spec; *got.IngressClassName != "nginx" || got.Rules[0].Host != "tools.example.org" ||
			got.Rules[0].HTTP.Paths[0].Path != "/push" || got.TLS[0].SecretName != "tls" {
			t.Errorf("ingress %+v", got)
		}
	},
	"prefix_in_values": func(t *testing.T, all objects) {
		wantProbes(t, all, "/push/-/healthy", "/push/-/ready")
		if live := all.gateway(t).LivenessProbe; live.PeriodSeconds != 30 || live.InitialDelaySeconds != 10 ||
			live.HTTPGet.Port.IntValue() != 9091 {
			t.Errorf("liveness probe %v", live)
		}
		if got := all.gateway(t).ReadinessProbe.HTTPGet.Scheme; got != corev1.URISchemeHTTPS {
			t.Errorf("scheme %s", got)
		}
		if got := serviceMonitor(t, all).Spec.Endpoints[0].Path; got != "/push/metrics" {
			t.Errorf("scraped path %s", got)
		}
	},
	"basic_auth": func(t *testing.T, all objects) {
		config := string(get[*corev1.Secret](t, all, full).Data["web-config.yaml"])
		if !strings.HasPrefix(config, "basic_auth_users:\n  first: $2a$") || !strings.Contains(config, "\n  second: $2a$") {
			t.Errorf("web-config.yaml:\n%s", config)
		}
		secret := get[*corev1.Secret](t, all, full+"-basic-auth")
		if secret.Namespace != "monitoring" || string(secret.Data["user"]) != "first" || string(secret.Data["password"]) != "a" {
			t.Errorf("scrape secret %v", secret)
		}
		monitor := serviceMonitor(t, all)
		endpoint := monitor.Spec.Endpoints[0]
		if endpoint.BasicAuth.Username.Name != secret.Name || endpoint.BasicAuth.Username.Key != "user" ||
			endpoint.BasicAuth.Password.Key != "password" {
			t.Errorf("basic auth %v", endpoint.BasicAuth)
		}
		if endpoint.Interval != "30s" || endpoint.ScrapeTimeout != "10s" || !endpoint.HonorLabels || monitor.Labels["release"] != "prom" ||
			monitor.Namespace != "monitoring" || monitor.Spec.NamespaceSelector.MatchNames[0] != "batch" {
			t.Errorf("monitor %+v", monitor)
		}
	},
	"hashes": func(t *testing.T, all objects) {
		config := string(get[*corev1.Secret](t, all, full).Data["web-config.yaml"])
		if config != "basic_auth_users:\n  job: $2y$10$7EqJtq98hPqEX7fNZaFWoOhiP9v0i8YhgdGXNq35p3xNmPR9U1F1W" {
			t.Errorf("web-config.yaml:\n%s", config)
		}
		if got := serviceMonitor(t, all).Spec.Endpoints[0].BasicAuth.Password.Name; got != "scrape" {
			t.Errorf("password of secret %s", got)
		}
	},
	"rights": func(t *testing.T, all objects) {
		wantArgs(t, all, "--persistence.file=/data/pushgateway.db",
			"--config.file=/etc/pushgateway/rules/rules.yml", "--auth.file=/etc/pushgateway/auth/auth.yml")
		if got := get[*corev1.ConfigMap](t, all, full+"-rules").Data["rules.yml"]; !strings.Contains(got, `match: '{job="ci"}'`) {
			t.Errorf("rules file:\n%s", got)
		}
		if got := string(get[*corev1.Secret](t, all, full+"-auth").Data["auth.yml"]); !strings.Contains(got, "name: prometheus") {
			t.Errorf("auth file:\n%s", got)
		}
		pods, _, _ := all.pods()
		if pods.Annotations["checksum/rules"] == "" || pods.Annotations["checksum/auth"] == "" {
			t.Errorf("annotations %v: the pods would not notice a change", pods.Annotations)
		}
		if got := serviceMonitor(t, all).Spec.Endpoints[0].Authorization.Credentials.Name; got != "scrape-token" {
			t.Errorf("credentials of secret %s", got)
		}
	},
	"existing_files": func(t *testing.T, all objects) {
		wantIDs(t, all, "Deployment/"+full, "Service/"+full, "ServiceAccount/"+full)
		wantArgs(t, all, "--persistence.file=/data/pushgateway.db",
			"--config.file=/etc/pushgateway/rules/rules.yml", "--auth.file=/etc/pushgateway/auth/users.yml")
		if volume(t, all, "rules").ConfigMap.Name != "my-rules" || volume(t, all, "auth").Secret.SecretName != "my-auth" {
			t.Error("the pod does not use the existing objects")
		}
	},
	"replicas": func(t *testing.T, all objects) {
		wantArgs(t, all, "--persistence.url=postgres://pushgateway@postgres/pushgateway", "--web.own-metrics-path=/own-metrics")
		env := all.gateway(t).Env
		if len(env) != 1 || env[0].Name != "PGPASSWORD" || env[0].ValueFrom.SecretKeyRef.Name != "pushgateway-db" ||
			env[0].ValueFrom.SecretKeyRef.Key != "password" {
			t.Errorf("environment %v", env)
		}
		deployment := get[*appsv1.Deployment](t, all, full)
		if *deployment.Spec.Replicas != 3 || deployment.Spec.Strategy.Type != appsv1.RollingUpdateDeploymentStrategyType {
			t.Errorf("deployment %+v", deployment.Spec)
		}
		if len(deployment.Spec.Template.Spec.Affinity.PodAntiAffinity.PreferredDuringSchedulingIgnoredDuringExecution) != 1 {
			t.Error("the replicas may share a node without need")
		}
		if got := get[*policyv1.PodDisruptionBudget](t, all, full).Spec.MinAvailable.IntValue(); got != 2 {
			t.Errorf("minAvailable %d", got)
		}
		// All replicas have the same pushed metrics: these are scraped once, the others from each.
		if endpoints := serviceMonitor(t, all).Spec.Endpoints; len(endpoints) != 1 || endpoints[0].Path != "/own-metrics" {
			t.Errorf("endpoints %v", endpoints)
		}
		scrape := get[*monitoringv1alpha1.ScrapeConfig](t, all, full).Spec
		if *scrape.MetricsPath != "/metrics" || !*scrape.HonorLabels || string(scrape.StaticConfigs[0].Targets[0]) != full+".batch.svc:9091" {
			t.Errorf("scrape config %+v", scrape)
		}
	},
	"monitoring": func(t *testing.T, all objects) {
		rule := get[*monitoringv1.PrometheusRule](t, all, full)
		if rule.Labels["role"] != "alerts" {
			t.Errorf("labels %v", rule.Labels)
		}
		var alerts, records int
		for _, group := range rule.Spec.Groups {
			for _, r := range group.Rules {
				if r.Alert == "PushgatewayGroupOld" {
					t.Error("the disabled alert is there")
				}
				if r.Alert != "" {
					alerts++
				} else {
					records++
				}
			}
		}
		source := readFile(t, filepath.Join(root, "deploy", "prometheus", "alerts.yaml"))
		if want := strings.Count(source, "- alert: ") - 1; alerts != want || records == 0 {
			t.Errorf("%d alerts and %d recording rules, want %d alerts", alerts, records, want)
		}
		dashboard := get[*corev1.ConfigMap](t, all, full+"-dashboard")
		if dashboard.Labels["grafana_dashboard"] != "1" || dashboard.Annotations["folder"] != "Tools" {
			t.Errorf("dashboard %v", dashboard.ObjectMeta)
		}
		if got, want := dashboard.Data["pushgateway.json"], readFile(t, filepath.Join(root, "deploy", "grafana", "dashboard.json")); got != want {
			t.Error("the dashboard is another one")
		}
	},
	"network": func(t *testing.T, all objects) {
		service := all.onlyService(t).Spec
		if service.Type != corev1.ServiceTypeLoadBalancer || service.LoadBalancerIP != "192.0.2.1" ||
			service.LoadBalancerSourceRanges[0] != "192.0.2.0/24" ||
			len(service.IPFamilies) != 2 || *service.IPFamilyPolicy != corev1.IPFamilyPolicyPreferDualStack ||
			service.Ports[0].TargetPort.IntValue() != 4180 {
			t.Errorf("service %+v", service)
		}
		policy := get[*networkingv1.NetworkPolicy](t, all, full) // has the release's name
		if policy.Spec.Ingress[0].From[0].NamespaceSelector.MatchLabels["type"] != "admin" {
			t.Errorf("policy %+v", policy.Spec)
		}
		main := get[*gatewayv1.HTTPRoute](t, all, full)
		if main.Spec.Hostnames[0] != "gw.example.org" || main.Labels["a"] != "b" || main.Spec.Rules[0].BackendRefs[0].Name != full ||
			*main.Spec.Rules[0].BackendRefs[0].Port != 80 || *main.Spec.Rules[0].Matches[0].Path.Value != "/" {
			t.Errorf("route %+v", main.Spec)
		}
		if got := get[*gatewayv1.HTTPRoute](t, all, full+"-redirect").Spec.Rules[0].Filters[0].RequestRedirect; *got.Scheme != "https" {
			t.Errorf("redirect %+v", got)
		}
	},
	"pods": func(t *testing.T, all objects) {
		pods, _, _ := all.pods()
		spec := pods.Spec
		c := all.gateway(t)
		if c.Image != "registry.example.org/pushgateway:2.0" || c.ImagePullPolicy != corev1.PullAlways ||
			spec.ImagePullSecrets[0].Name != "pull" {
			t.Errorf("image %s %s %v", c.Image, c.ImagePullPolicy, spec.ImagePullSecrets)
		}
		if get[*appsv1.Deployment](t, all, full).Annotations["a"] != "deployment" ||
			pods.Annotations["a"] != "pod" || pods.Labels["team"] != "batch" {
			t.Errorf("annotations or labels are missing: %v", pods.ObjectMeta)
		}
		if service := all.onlyService(t); service.Labels["a"] != "service" || service.Annotations["prometheus.io/probe"] != "pushgateway" {
			t.Errorf("service %v", service.ObjectMeta)
		}
		if account := get[*corev1.ServiceAccount](t, all, "batch"); account.Labels["a"] != "account" || account.Annotations["role"] != "x" {
			t.Errorf("account %v", account.ObjectMeta)
		}
		if spec.ServiceAccountName != "batch" || *spec.AutomountServiceAccountToken || c.Env[0].Value != "UTC" ||
			spec.InitContainers[0].Name != "init" ||
			c.Resources.Limits.Memory().String() != "256Mi" || spec.Tolerations[0].Key != "batch" || spec.NodeSelector["disk"] != "ssd" ||
			spec.HostAliases[0].IP != "192.0.2.1" || spec.TopologySpreadConstraints[0].MaxSkew != 1 || spec.PriorityClassName != "high" ||
			c.Lifecycle.PreStop.Sleep.Seconds != 5 || volume(t, all, "storage-volume").EmptyDir.SizeLimit.String() != "1Gi" {
			t.Errorf("pod %+v", spec)
		}
		if terms := spec.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution; spec.Affinity.NodeAffinity == nil ||
			terms[0].TopologyKey != "topology.kubernetes.io/zone" || terms[0].LabelSelector.MatchLabels["app.kubernetes.io/instance"] != "gw" {
			t.Errorf("affinity %+v", spec.Affinity)
		}
		get[*corev1.ConfigMap](t, all, full+"-text")
		get[*corev1.ConfigMap](t, all, "gw-object")
	},
}

// TestValueFiles renders the chart with each file in testdata/values.
func TestValueFiles(t *testing.T) {
	for _, name := range slices.Sorted(maps.Keys(checks)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checks[name](t, defaultRelease(t, readFile(t, filepath.Join("testdata", "values", name+".yaml"))).render(t))
		})
	}
	files, err := filepath.Glob("testdata/values/*.yaml")
	if err != nil || len(files) != len(checks) {
		t.Errorf("%d files for %d checks (%v)", len(files), len(checks), err)
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ release, values, want string }{
		{"gw", "", "gw-prometheus-pushgateway"},
		{"prometheus-pushgateway", "", "prometheus-pushgateway"},
		{"my-prometheus-pushgateway-1", "", "my-prometheus-pushgateway-1"},
		{"prometheus", "", "prometheus-prometheus-pushgateway"},
		{"gw", "nameOverride: push", "gw-push"},
		{"push", "nameOverride: push", "push"},
		{"gw", "fullnameOverride: other", "other"},
		{strings.Repeat("long-", 10), "", strings.Repeat("long-", 10) + "-prometheus-p"},
	} {
		r := release{name: c.release, namespace: "batch", values: parse(t, c.values+"\nnamespaceOverride: elsewhere")}
		service := r.render(t).onlyService(t)
		if service.Name != strings.TrimSuffix(c.want, "-") || service.Namespace != "elsewhere" {
			t.Errorf("release %s, %s: Service %s/%s, want %s", c.release, c.values, service.Namespace, service.Name, c.want)
		}
	}
}

// TestContradictions: what cannot work fails when it is rendered, and says what to do.
func TestContradictions(t *testing.T) {
	users, _, _ := strings.Cut(readFile(t, "testdata/values/hashes.yaml"), "serviceMonitor")
	for values, want := range map[string]string{
		"networkPolicy: {allowAll: false}":                                          "set allowAll or customSelectors",
		users + "serviceMonitor: {enabled: true}":                                   "set serviceMonitor.basicAuth.existingSecret",
		"{webConfiguration: {basicAuthUsers: {a: b}}, auth: {config: {users: []}}}": "use one of them",
	} {
		defaultRelease(t, values).wantError(t, want)
	}
}

// TestFlagsInExtraArgs: flags of the user come before those of the chart, however they are written.
func TestFlagsInExtraArgs(t *testing.T) {
	const file = "--persistence.file=/data/pushgateway.db"
	for args, want := range map[string][]string{
		"[--persistence.file, /x]":                             {"--persistence.file", "/x"},
		"[--persistence.file=]":                                {"--persistence.file="},
		"[--persistence.url=postgres://db/x]":                  {"--persistence.url=postgres://db/x"},
		"[--web.config.file=/tls.yaml]":                        {"--web.config.file=/tls.yaml", file, "--web.probes-without-auth"},
		"[--web.config.file=/t, --no-web.probes-without-auth]": {"--web.config.file=/t", "--no-web.probes-without-auth", file},
	} {
		wantArgs(t, defaultRelease(t, "extraArgs: "+args).render(t), want...)
	}
	for args, want := range map[string]string{
		"[--web.route-prefix=push]":                                      "/push",
		"[--web.route-prefix=/push/, --web.external-url=http://x/other]": "/push",
		"[--web.external-url, 'http://x:1/a/b']":                         "/a/b",
		"['--web.external-url=http://x:1/']":                             "",
		"[--web.telemetry-path=/web.route-prefix, --log.format=json]":    "",
		"[--web.route-prefix=/metrics]":                                  "/metrics",
	} {
		all := defaultRelease(t, "{serviceMonitor: {enabled: true}, extraArgs: "+args+"}").render(t)
		wantProbes(t, all, want+"/-/healthy", want+"/-/ready")
		if got := serviceMonitor(t, all).Spec.Endpoints[0].Path; got != want+"/metrics" {
			t.Errorf("%s: scraped path %s, want %s/metrics", args, got, want)
		}
	}
}

// TestRenderingRepeats: two renderings without a cluster are the same, unless passwords are in
// clear text. TestSecretStays has a cluster.
func TestRenderingRepeats(t *testing.T) {
	for name := range checks {
		r := defaultRelease(t, readFile(t, filepath.Join("testdata", "values", name+".yaml")))
		first, second := r.render(t), r.render(t)
		for id, o := range first {
			if o.text != second[id].text && (name != "basic_auth" || id != "Secret/"+full) {
				t.Errorf("%s: %s changes at each rendering", name, id)
			}
		}
	}
}

func wantIDs(t *testing.T, all objects, want ...string) {
	t.Helper()
	slices.Sort(want)
	if !slices.Equal(all.ids(), want) {
		t.Errorf("objects %v, want %v", all.ids(), want)
	}
}

func wantArgs(t *testing.T, all objects, want ...string) {
	t.Helper()
	if got := all.gateway(t).Args; !slices.Equal(got, want) {
		t.Errorf("arguments\n%q\nwant\n%q", got, want)
	}
}

func wantProbes(t *testing.T, all objects, liveness, readiness string) {
	t.Helper()
	c := all.gateway(t)
	if live, ready := c.LivenessProbe.HTTPGet.Path, c.ReadinessProbe.HTTPGet.Path; live != liveness || ready != readiness {
		t.Errorf("probes %s and %s, want %s and %s", live, ready, liveness, readiness)
	}
}

func volume(t *testing.T, all objects, name string) corev1.Volume {
	t.Helper()
	pods, _, _ := all.pods()
	for _, v := range pods.Spec.Volumes {
		if v.Name == name {
			return v
		}
	}
	t.Fatalf("no volume %s", name)
	panic("unreachable")
}

func serviceMonitor(t *testing.T, all objects) *monitoringv1.ServiceMonitor {
	t.Helper()
	return get[*monitoringv1.ServiceMonitor](t, all, full)
}
