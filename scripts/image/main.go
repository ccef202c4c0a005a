// Command image writes the container image that the Dockerfile describes, as an archive that
// docker, podman and buildah load, and prints its ID. It needs none of them. The builders of
// these tools stamp times and names of containers into an image, or lose its health check;
// here, one commit gives the same bytes everywhere.
//
// Usage, at the root of the checkout: go run ./scripts/image -out FILE -platform linux/amd64
// [-created SECONDS] [-build-arg NAME=VALUE]... [-label NAME=VALUE]...
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"strings"
	"time"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("image: ")
	out := flag.String("out", "dist/image.tar", "archive to write")
	name := flag.String("platform", "", "platform of the program, such as linux/arm/v7")
	created := flag.Int64("created", 0, "time of all files and of the image, in seconds since 1970")
	args, labels := pairs{}, pairs{}
	flag.Var(args, "build-arg", "value of an ARG of the Dockerfile, as NAME=VALUE; can be repeated")
	flag.Var(labels, "label", "label of the image, as NAME=VALUE; can be repeated")
	flag.Parse()
	id, err := build(*out, *name, time.Unix(*created, 0).UTC(), args, labels)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(id)
}

// build writes the image to the file out and returns its ID.
func build(out, platformName string, created time.Time, args, labels pairs) (id string, err error) {
	platform, err := parsePlatform(platformName)
	if err != nil {
		return "", err
	}
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		return "", err
	}
	recipe, err := parseDockerfile(string(text), args)
	if err != nil {
		return "", err
	}
	recipe.config.Labels = labels
	layer, err := writeLayer(recipe.copies, created)
	if err != nil {
		return "", err
	}
	return writeArchive(out, layer, image{
		platform: platform,
		Created:  created,
		Config:   recipe.config,
		RootFS:   rootFS{Type: "layers", DiffIDs: []string{digest(layer)}},
		History:  []step{{Created: created, CreatedBy: "Dockerfile"}},
	})
}

// pairs is a flag that can be repeated, each time with another NAME=VALUE.
type pairs map[string]string

func (p pairs) String() string { return "" }

func (p pairs) Set(text string) error {
	name, value, ok := strings.Cut(text, "=")
	if !ok || name == "" {
		return fmt.Errorf("%q is not of the form NAME=VALUE", text)
	}
	p[name] = value
	return nil
}
