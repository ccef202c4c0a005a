package main

import (
	"archive/tar"
	"archive/zip"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// content is a file of an archive.
type content struct {
	name string // in the archive
	from string
	mode int64
}

// archive writes the archive of a platform: zip for Windows, otherwise tar.gz.
func (r *releaseFiles) archive(platform, binary string) error {
	contents := []content{
		{filepath.Base(binary), binary, 0o755},
		{"LICENSE", "LICENSE", 0o644},
		{"NOTICE", "NOTICE", 0o644},
		{"README.md", "README.md", 0o644},
		{"pushgateway.1", r.generated("pushgateway.1"), 0o644},
		{"completion/pushgateway.bash", r.generated("pushgateway.bash"), 0o644},
		{"completion/pushgateway.zsh", r.generated("pushgateway.zsh"), 0o644},
		{"completion/pushgateway.fish", r.generated("pushgateway.fish"), 0o644},
	}
	extension, write := ".tar.gz", r.writeTar
	if strings.HasPrefix(platform, "windows-") {
		extension, write = ".zip", r.writeZip
	}
	f, err := os.Create(filepath.Join(r.out, r.name(platform)+extension))
	if err != nil {
		return err
	}
	return errors.Join(write(f, r.name(platform), contents), f.Close())
}

func (r *releaseFiles) writeTar(w io.Writer, folder string, contents []content) error {
	compressor, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(compressor)
	for _, c := range contents {
		text, err := os.ReadFile(c.from)
		if err != nil {
			return err
		}
		header := &tar.Header{Name: path.Join(folder, c.name), Mode: c.mode, Size: int64(len(text)), ModTime: r.date}
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if _, err := archive.Write(text); err != nil {
			return err
		}
	}
	return errors.Join(archive.Close(), compressor.Close())
}

func (r *releaseFiles) writeZip(w io.Writer, folder string, contents []content) error {
	archive := zip.NewWriter(w)
	for _, c := range contents {
		text, err := os.ReadFile(c.from)
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: path.Join(folder, c.name), Method: zip.Deflate, Modified: r.date}
		header.SetMode(os.FileMode(c.mode))
		file, err := archive.CreateHeader(header)
		if err != nil {
			return err
		}
		if _, err := file.Write(text); err != nil {
			return err
		}
	}
	return archive.Close()
}
