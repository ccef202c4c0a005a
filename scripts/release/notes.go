package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// writeNotes writes what CHANGELOG.md says of this version.
func (r *releaseFiles) writeNotes() error {
	text, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	_, rest, found := strings.Cut(string(text), "\n## "+r.version)
	if !found {
		return fmt.Errorf("CHANGELOG.md has no heading ## %s", r.version)
	}
	_, rest, _ = strings.Cut(rest, "\n")
	notes, _, _ := strings.Cut(rest, "\n## ")
	return os.WriteFile(filepath.Join(r.out, "release-notes.md"), []byte(strings.TrimSpace(notes)+"\n"), 0o644)
}
