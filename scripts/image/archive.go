package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// image is the configuration of an image. Its ID is the checksum of this as JSON.
type image struct {
	platform
	Created time.Time `json:"created"`
	Config  config    `json:"config"`
	RootFS  rootFS    `json:"rootfs"`
	History []step    `json:"history"`
}

// config is how an image starts.
type config struct {
	User         string
	ExposedPorts map[string]struct{}
	Env          []string
	Entrypoint   []string
	Volumes      map[string]struct{}
	WorkingDir   string
	Labels       map[string]string
	Healthcheck  *healthcheck `json:",omitempty"`
}

// healthcheck is the command that checks a container, and when.
type healthcheck struct {
	Test              []string
	Interval, Timeout time.Duration
}

// rootFS has the checksums of the layers.
type rootFS struct {
	Type    string   `json:"type"`
	DiffIDs []string `json:"diff_ids"`
}

// step is a step by which an image was made.
type step struct {
	Created   time.Time `json:"created"`
	CreatedBy string    `json:"created_by"`
}

func digest(data []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(data)) }

// writeLayer returns a layer with these files and the folders above them. It depends on
// names, modes and contents only.
func writeLayer(copies []copied, created time.Time) ([]byte, error) {
	var b bytes.Buffer
	l := &layer{tar.NewWriter(&b), created, map[string]bool{".": true}}
	for _, c := range copies {
		err := filepath.WalkDir(c.from, func(name string, entry fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			below, err := filepath.Rel(c.from, name)
			if err != nil {
				return err
			}
			info, err := entry.Info()
			if err != nil {
				return err
			}
			return l.add(strings.TrimPrefix(path.Join(c.to, below), "/"), name, info, c)
		})
		if err != nil {
			return nil, err
		}
	}
	err := l.archive.Close()
	return b.Bytes(), err
}

// layer is a layer that is being written.
type layer struct {
	archive *tar.Writer
	created time.Time
	folders map[string]bool // that it has
}

// add adds a file or folder under a name.
func (l *layer) add(name, from string, info fs.FileInfo, c copied) error {
	if name == "" || l.folders[name] {
		return nil
	}
	if err := l.addParents(path.Dir(name)); err != nil {
		return err
	}
	header := &tar.Header{Name: name, Mode: int64(info.Mode().Perm()), Uid: c.uid, Gid: c.gid, ModTime: l.created}
	if info.IsDir() {
		return l.addFolder(header)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is neither a file nor a folder", from)
	}
	content, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return writeFile(l.archive, header, content)
}

// addParents adds a folder and those above it, unless they are there, as root's.
func (l *layer) addParents(name string) error {
	if l.folders[name] {
		return nil
	}
	if err := l.addParents(path.Dir(name)); err != nil {
		return err
	}
	return l.addFolder(&tar.Header{Name: name, Mode: 0o755, ModTime: l.created})
}

func (l *layer) addFolder(header *tar.Header) error {
	l.folders[header.Name] = true
	header.Name += "/"
	header.Typeflag = tar.TypeDir
	return l.archive.WriteHeader(header)
}

// writeArchive writes an image of one layer as docker save does, and returns its ID.
func writeArchive(out string, layer []byte, i image) (id string, err error) {
	description, err := json.Marshal(i)
	if err != nil {
		return "", err
	}
	id = digest(description)
	// The image has no name: tools complete names in different ways.
	manifest, err := json.Marshal([]map[string]any{{"Config": "config.json", "RepoTags": nil, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return "", err
	}
	f, err := os.Create(out)
	if err != nil {
		return "", err
	}
	archive := tar.NewWriter(f)
	err = errors.Join(
		writeFile(archive, &tar.Header{Name: "manifest.json", Mode: 0o644, ModTime: i.Created}, manifest),
		writeFile(archive, &tar.Header{Name: "config.json", Mode: 0o644, ModTime: i.Created}, description),
		writeFile(archive, &tar.Header{Name: "layer.tar", Mode: 0o644, ModTime: i.Created}, layer),
		archive.Close(), f.Close())
	return id, err
}

func writeFile(archive *tar.Writer, header *tar.Header, content []byte) error {
	header.Size = int64(len(content))
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	_, err := archive.Write(content)
	return err
}
