package test

import (
	"os/exec"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestDocsPrometheusFiles: promtool accepts the configurations and rules that the pages print.
func TestDocsPrometheusFiles(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		page       document
		file, kind string
	}{
		{readme, "prometheus.yml", "config"},
		{"docs/ALERTS.md", "prometheus.yml", "config"},
		{"docs/ALERTS.md", "backup.yml", "rules"},
		{jobsPage, "jobs.yml", "rules"},
		{operating, "alerts.yml", "rules"},
		{pushing, "alerts.yml", "rules"},
		{pushing, "prometheus.yml", "config"},
		{replicasPage, "prometheus.yml", "config"},
		{"deploy/prometheus/README.md", "prometheus.yml", "config"},
	} {
		dir := t.TempDir()
		inner := makeDir(t, dir, "pushgateway")
		for _, file := range alertFiles { // to which configurations refer, in either folder
			rules := readFile(t, filepath.Join(root, "deploy/prometheus", file))
			writeFile(t, filepath.Join(dir, file), rules)
			writeFile(t, filepath.Join(inner, file), rules)
		}
		path := filepath.Join(dir, c.file)
		_, text := c.page.block(t, "file", c.file)
		writeFile(t, path, []byte(text))
		result(t, command(t, "promtool", "check", c.kind, path))
	}
}

// TestDocsHealthcheck: the health check of the compose file in docs/COMMANDS.md.
func TestDocsHealthcheck(t *testing.T) {
	t.Parallel()
	_, text := commandsPage.block(t, "file", "compose.yml")
	var compose struct {
		Services map[string]struct {
			Image       string
			Healthcheck struct {
				Test     []string
				Interval string
			}
		}
	}
	if err := yaml.Unmarshal([]byte(text), &compose); err != nil {
		t.Fatal(err)
	}
	check := compose.Services["pushgateway"].Healthcheck.Test
	if len(check) < 3 || check[0] != "CMD" || check[1] != "/bin/pushgateway" { // the path in the image: see TestImage
		t.Fatalf("the health check is %q", check)
	}
	cmd := exec.Command(gatewayBinary(t), check[2:]...)
	cmd.Env = []string{"PUSHGATEWAY_URL=" + start(t).URL}
	result(t, cmd)
}
