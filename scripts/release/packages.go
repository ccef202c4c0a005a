package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

const nfpm = "github.com/goreleaser/nfpm/v2/cmd/nfpm@v2.45.1"

// packaged are the platforms with Debian and RPM packages, and their names in nfpm.
var packaged = map[string]string{
	"linux-amd64": "amd64", "linux-arm64": "arm64", "linux-armv7": "arm7", "linux-386": "386",
	"linux-ppc64le": "ppc64le", "linux-riscv64": "riscv64", "linux-s390x": "s390x",
}

// buildPackages writes the packages of a platform, if it has any.
func (r *releaseFiles) buildPackages(platform, binary string) error {
	architecture, ok := packaged[platform]
	if !ok {
		return nil
	}
	text, err := os.ReadFile("deploy/packages/nfpm.yaml")
	if err != nil {
		return err
	}
	config := filepath.Join(r.work, platform, "nfpm.yaml")
	filled := strings.NewReplacer("@ARCH@", architecture, "@VERSION@", r.version, "@BINARY@", binary, "@WORK@", r.work).Replace(string(text))
	if err := os.WriteFile(config, []byte(filled), 0o644); err != nil {
		return err
	}
	for _, format := range []string{"deb", "rpm"} {
		date := "SOURCE_DATE_EPOCH=" + strconv.FormatInt(r.date.Unix(), 10)
		if err := run([]string{date}, "go", "run", nfpm, "package", "--packager", format, "--config", config, "--target", r.out); err != nil {
			return fmt.Errorf("package %s as %s: %w", platform, format, err)
		}
	}
	return nil
}
