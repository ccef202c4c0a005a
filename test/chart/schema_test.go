package chart

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
	"helm.sh/helm/v3/pkg/lint"
	"helm.sh/helm/v3/pkg/lint/support"
)

// TestLint: helm lint has nothing to say but that the chart has no icon.
func TestLint(t *testing.T) {
	for _, message := range lint.AllWithKubeVersion(chartDir, map[string]any{}, "batch", nil).Messages {
		if message.Severity > support.InfoSev || !strings.Contains(message.Error(), "icon is recommended") {
			t.Error(message)
		}
	}
}

// communityValues are the values of the community chart.
const communityValues = `global.imageRegistry global.imagePullSecrets nameOverride fullnameOverride namespaceOverride
image.registry image.repository image.tag image.pullPolicy imagePullSecrets
service.type service.port service.targetPort service.nodePort service.portName service.clusterIP
service.ipDualStack.enabled service.ipDualStack.ipFamilies service.ipDualStack.ipFamilyPolicy
service.loadBalancerIP service.loadBalancerSourceRanges automountServiceAccountToken deploymentAnnotations podAnnotations
serviceAnnotations podLabels serviceLabels serviceAccountLabels persistentVolumeLabels extraVars extraArgs
extraInitContainers extraContainers extraVolumes extraVolumeMounts extraManifests resources webConfiguration.basicAuthUsers
webConfiguration.existingSecret.name liveness.enabled liveness.probe readiness.enabled readiness.probe serviceAccount.create
serviceAccount.name serviceAccount.annotations ingress.enabled ingress.className ingress.path ingress.pathType
ingress.extraPaths ingress.annotations ingress.hosts ingress.tls route.main.enabled route.main.apiVersion route.main.kind
route.main.annotations route.main.labels route.main.parentRefs route.main.hostnames route.main.additionalRules
route.main.filters route.main.matches route.main.httpsRedirect tolerations nodeSelector replicaCount hostAliases
runAsStatefulSet securityContext containerSecurityContext affinity podAntiAffinity podAntiAffinityTopologyKey
topologySpreadConstraints serviceMonitor.enabled serviceMonitor.namespace serviceMonitor.telemetryPath
serviceMonitor.interval serviceMonitor.scheme serviceMonitor.basicAuth serviceMonitor.bearerTokenFile
serviceMonitor.tlsConfig serviceMonitor.scrapeTimeout serviceMonitor.additionalLabels serviceMonitor.honorLabels
serviceMonitor.metricRelabelings serviceMonitor.relabelings podDisruptionBudget priorityClassName strategy
persistentVolume.enabled persistentVolume.accessModes persistentVolume.annotations persistentVolume.existingClaim
persistentVolume.mountPath persistentVolume.size persistentVolume.storageClass persistentVolume.subPath
persistentVolume.emptyDir networkPolicy lifecycle`

// A value is a documented value of the chart: one with a comment that begins with two dashes.
type value struct{ path, initial, text string }

// documentedValues returns the documented values in values.yaml, in order. A value without such
// a comment must be an object that has documented ones.
func documentedValues(t *testing.T) []value {
	t.Helper()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(readFile(t, filepath.Join(chartDir, "values.yaml"))), &document); err != nil {
		t.Fatal(err)
	}
	var all []value
	var walk func(path string, node *yaml.Node)
	walk = func(path string, node *yaml.Node) {
		for i := 0; i < len(node.Content); i += 2 {
			key, content := node.Content[i], node.Content[i+1]
			name := strings.TrimPrefix(path+"."+key.Value, ".")
			text, ok := strings.CutPrefix(key.HeadComment, "# -- ")
			if ok {
				var initial any
				if err := content.Decode(&initial); err != nil {
					t.Fatal(err)
				}
				inJSON, err := json.Marshal(initial)
				if err != nil {
					t.Fatal(err)
				}
				all = append(all, value{name, string(inJSON), text})
			}
			if content.Kind == yaml.MappingNode && (!ok || name == "route") {
				walk(name, content)
			} else if !ok {
				t.Errorf("values.yaml: %s has no comment", name)
			}
		}
	}
	walk("", document.Content[0])
	return all
}

// TestCommunityValues: each value of the community chart is there, and documented as such.
func TestCommunityValues(t *testing.T) {
	texts := map[string]string{}
	for _, v := range documentedValues(t) {
		texts[v.path] = v.text
	}
	community := strings.Fields(communityValues)
	for _, path := range community {
		if text, ok := texts[path]; !ok || strings.HasPrefix(text, "here: ") {
			t.Errorf("%s, a value of the community chart, is missing or documented as new", path)
		}
	}
	for path, text := range texts {
		if !slices.Contains(community, path) && path != "route" && !strings.HasPrefix(text, "here: ") {
			t.Errorf("%s is new, but its comment does not begin with \"here: \"", path)
		}
	}
}

// TestValuesTable: docs/KUBERNETES.md has the table of values.
func TestValuesTable(t *testing.T) {
	var table strings.Builder
	table.WriteString("| value | default | meaning |\n|---|---|---|\n")
	for _, v := range documentedValues(t) {
		text := v.text
		if here, ok := strings.CutPrefix(text, "here: "); ok {
			text = "**(new)** " + here
		}
		fmt.Fprintf(&table, "| `%s` | `%s` | %s |\n", v.path, v.initial, text)
	}
	path := filepath.Join(root, "docs", "KUBERNETES.md")
	parts := regexp.MustCompile(`(?s)^(.*<!-- values -->\n)(.*?)(<!-- end of values -->\n.*)$`).FindStringSubmatch(readFile(t, path))
	if parts == nil {
		t.Fatal("docs/KUBERNETES.md does not mark the table of values")
	}
	generated(t, path, parts[1]+table.String()+parts[3])
}

// TestSchema: typing errors are rejected, and what releases of the community chart set is not.
func TestSchema(t *testing.T) {
	for _, bad := range []string{
		"persistantVolume: {enabled: true}",
		"persistentVolume: {enable: true}",
		"persistentVolume: {enabled: \"true\"}",
		"replicaCount: -1",
		"extraArgs: --push.ttl=1d",
		"podAntiAffinity: weak",
		"service: {type: Cluster}",
		"persistence: {url: mysql://db}",
		"podAnnotations: {a: 1}",
		"route: {main: {enable: true}}",
		"prometheusRule: {disabledAlerts: X}",
	} {
		defaultRelease(t, bad).wantError(t, "values don't meet the specifications of the schema")
	}
	for _, good := range []string{
		"{enabled: true, x-anchors: [1, 2]}",
		"serviceMonitor: {namespace: null}",
		"priorityClassName: null",
		"strategy: {type: RollingUpdate, rollingUpdate: {maxSurge: 0}}",
		"image: {tag: 1.5}",
		"global: {other: {chart: true}}",
		"service: {targetPort: proxy, nodePort: 30000}",
		"{liveness: {probe: {httpGet: null, tcpSocket: {port: 9091}}}, readiness: {enabled: false}}",
		"securityContext: {runAsUser: null, fsGroup: null}",
	} {
		defaultRelease(t, good).render(t)
	}
}

// TestTemplatesUseValues: each value that a template names is in values.yaml, and each documented
// value is named, itself or what it is in.
func TestTemplatesUseValues(t *testing.T) {
	documented := documentedValues(t)
	var source strings.Builder
	files, err := filepath.Glob(filepath.Join(chartDir, "templates", "*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		source.Write(text)
	}
	named := map[string]bool{}
	for _, m := range regexp.MustCompile(`\.Values((?:\.\w+)+)`).FindAllStringSubmatch(source.String(), -1) {
		named[strings.TrimPrefix(m[1], ".")] = true
	}
	within := func(inner, outer string) bool { return inner == outer || strings.HasPrefix(inner, outer+".") }
	related := func(a, b string) bool { return within(a, b) || within(b, a) }
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !slices.ContainsFunc(documented, func(v value) bool { return related(name, v.path) }) {
			t.Errorf("the templates use .Values.%s, which is not in values.yaml", name)
		}
	}
	for _, v := range documented {
		if !slices.ContainsFunc(slices.Collect(maps.Keys(named)), func(name string) bool { return related(name, v.path) }) {
			t.Errorf("no template uses %s", v.path)
		}
	}
}

// TestFilesAreCurrent: the chart has the alerts and the dashboard of deploy.
func TestFilesAreCurrent(t *testing.T) {
	for name, source := range map[string]string{
		"alerts.yaml":          "prometheus/alerts.yaml",
		"recording_rules.yaml": "prometheus/recording_rules.yaml",
		"dashboard.json":       "grafana/dashboard.json",
	} {
		generated(t, filepath.Join(chartDir, "files", name), readFile(t, filepath.Join(root, "deploy", source)))
	}
}
