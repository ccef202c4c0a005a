package main

import (
	"encoding/json"
	"os"
	"path/filepath"
)

const cyclonedx = "github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.9.0"

// listComponents writes the software bill of materials of a binary, in the CycloneDX format:
// the modules that the Go toolchain recorded in it.
func (r *releaseFiles) listComponents(platform, binary string) error {
	text, err := output("go", "run", cyclonedx, "bin", "-json", "-noserial", "-std", "-version", "v"+r.version, binary)
	if err != nil {
		return err
	}
	var bom map[string]any
	if err := json.Unmarshal(text, &bom); err != nil {
		return err
	}
	// The time of the run, and hashes of the tool that ran, differ from run to run.
	if metadata, ok := bom["metadata"].(map[string]any); ok {
		delete(metadata, "timestamp")
		delete(metadata, "tools")
	}
	if text, err = json.MarshalIndent(bom, "", "  "); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(r.out, r.name(platform)+".cdx.json"), append(text, '\n'), 0o644)
}
