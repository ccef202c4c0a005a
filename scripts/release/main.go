// Command release builds what is published: an archive and a software bill of materials
// for each platform, Debian and RPM packages, checksums and release notes. Two runs on one
// commit give the same bytes.
//
// Usage, at the root of the checkout: go run ./scripts/release [-out dist/release] [PLATFORM...]
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// platforms are those that upstream's releases have, as GOOS-GOARCH, with the version of ARM.
var platforms = []string{
	"linux-amd64", "linux-arm64", "linux-armv5", "linux-armv6", "linux-armv7", "linux-386",
	"linux-ppc64le", "linux-riscv64", "linux-s390x", "linux-mips64le",
	"darwin-amd64", "darwin-arm64", "windows-amd64", "windows-arm64",
	"freebsd-amd64", "freebsd-arm64", "netbsd-amd64", "openbsd-amd64",
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("release: ")
	out := flag.String("out", "dist/release", "where to put everything; emptied first")
	flag.Parse()
	chosen := flag.Args()
	if len(chosen) == 0 {
		chosen = platforms
	}
	for _, p := range chosen {
		if !slices.Contains(platforms, p) {
			log.Fatalf("unknown platform %s; there are: %s", p, strings.Join(platforms, " "))
		}
	}
	if err := release(*out, chosen); err != nil {
		log.Fatal(err)
	}
}

func release(out string, chosen []string) error {
	r, err := newRelease(out)
	if err != nil {
		return err
	}
	if err := r.writeNotes(); err != nil {
		return err
	}
	if err := r.generateDocs(); err != nil {
		return err
	}
	for _, p := range chosen {
		fmt.Println(p)
		binary, err := r.build(p)
		if err != nil {
			return err
		}
		if err := r.archive(p, binary); err != nil {
			return err
		}
		if err := r.listComponents(p, binary); err != nil {
			return err
		}
		if err := r.buildPackages(p, binary); err != nil {
			return err
		}
	}
	if err := r.writeChecksums(); err != nil {
		return err
	}
	return r.check(chosen)
}

// newRelease returns a release of the version in VERSION, dated as its commit, with an
// empty folder for its files.
func newRelease(out string) (*releaseFiles, error) {
	version, err := os.ReadFile("VERSION")
	if err != nil {
		return nil, err
	}
	date, err := commitDate()
	if err != nil {
		return nil, err
	}
	if err := os.RemoveAll(out); err != nil {
		return nil, err
	}
	work := filepath.Join(filepath.Dir(out), "build")
	return &releaseFiles{out: out, work: work, version: strings.TrimSpace(string(version)), date: date}, os.MkdirAll(out, 0o755)
}
