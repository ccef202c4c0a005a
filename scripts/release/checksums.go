package main

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

const checksums = "sha256sums.txt"

// writeChecksums writes the checksums of all files, as sha256sum --check reads them.
func (r *releaseFiles) writeChecksums() error {
	files, err := os.ReadDir(r.out) // sorted by name
	if err != nil {
		return err
	}
	var list bytes.Buffer
	for _, f := range files {
		text, err := os.ReadFile(filepath.Join(r.out, f.Name()))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%x  %s\n", sha256.Sum256(text), f.Name())
	}
	return os.WriteFile(filepath.Join(r.out, checksums), list.Bytes(), 0o644)
}

// check verifies what was written: every platform has its files, no file is empty, the
// checksums are right, and the binary of this platform says the version.
func (r *releaseFiles) check(chosen []string) error {
	list, err := os.ReadFile(filepath.Join(r.out, checksums))
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		sum, name, _ := strings.Cut(strings.TrimSpace(line), "  ")
		text, err := os.ReadFile(filepath.Join(r.out, name))
		if err != nil {
			return err
		}
		if len(text) == 0 || fmt.Sprintf("%x", sha256.Sum256(text)) != sum {
			return fmt.Errorf("%s is empty or does not have its checksum", name)
		}
		listed[name] = true
	}
	for _, p := range chosen {
		archive := r.name(p) + ".tar.gz"
		if strings.HasPrefix(p, "windows-") {
			archive = r.name(p) + ".zip"
		}
		for _, name := range []string{archive, r.name(p) + ".cdx.json"} {
			if !listed[name] {
				return fmt.Errorf("%s is missing", name)
			}
		}
	}
	text, err := exec.Command(filepath.Join(r.work, "host", "pushgateway"), "--version").CombinedOutput()
	if err == nil && !strings.Contains(string(text), "version "+r.version+" ") {
		err = fmt.Errorf("the program says that it is %q", text)
	}
	return err
}
