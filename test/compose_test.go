package test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// TestCompose checks what the compose files name: files that exist, the image of this
// version, and flags that the program has.
func TestCompose(t *testing.T) {
	t.Parallel()
	image := "pushgateway:" + strings.TrimSpace(string(readFile(t, filepath.Join(root, "VERSION"))))
	for _, name := range []string{"deploy/compose/compose.yaml", "examples/replicas/compose.yaml"} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(root, filepath.Dir(name))
			var file struct {
				Services map[string]struct {
					Image   string
					Command []string
					Volumes []string
				}
				Volumes map[string]any
			}
			if err := yaml.Unmarshal(readFile(t, filepath.Join(root, name)), &file); err != nil {
				t.Fatal(err)
			}
			gateways := 0
			for service, s := range file.Services {
				for _, volume := range s.Volumes {
					from, _, _ := strings.Cut(volume, ":")
					if _, named := file.Volumes[from]; named {
						continue
					}
					if _, err := os.Stat(filepath.Join(dir, from)); err != nil {
						t.Errorf("%s: %v", service, err)
					}
				}
				if !strings.HasPrefix(s.Image, "pushgateway:") {
					continue
				}
				gateways++
				if s.Image != image {
					t.Errorf("%s has the image %s, want %s", service, s.Image, image)
				}
				// A flag that the program lacks fails before the version is shown.
				if out, code := runToEnd(t, command(t, gatewayBinary(t), append(s.Command, "--version")...)); code != 0 {
					t.Errorf("%s: exit code %d\n%s", service, code, out)
				}
			}
			if gateways == 0 {
				t.Error("no gateway")
			}
		})
	}
	config := filepath.Join(root, "deploy", "compose", "prometheus.yaml")
	if out, code := runToEnd(t, command(t, "promtool", "check", "config", config)); code != 0 {
		t.Errorf("%s: exit code %d\n%s", config, code, out)
	}
}
