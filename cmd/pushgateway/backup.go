package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
	"pushgateway/internal/words"
)

const backupHelp = `Save a backup of all groups of a gateway.

The file appears under its name once it is complete and on disk, and replaces an older one. A
gateway can start from it. The gateway needs --web.enable-admin-api.

Examples:
  pushgateway backup pushgateway.db
  pushgateway backup - | gzip > pushgateway.db.gz
`

func backupCommand() command { return command{"backup", backupHelp, declareBackup} }

func declareBackup(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	file := app.Arg("file", "The file to write; - for the standard output.").Required().String()
	return withGateway(flags, "send backups", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		// What was begun is removed, whatever ends it.
		ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
		defer stop()
		counter := &countingWriter{progress: newProgress(call.errOut)}
		defer counter.progress.done()
		if *file == "" { // what the library makes of -
			if isTerminal(call.out) {
				return usageError("a backup is not text: write it to a file or a pipe, not to a terminal")
			}
			counter.to = call.out
			_, err := gateway.Download(ctx, backupPath, nil, counter)
			return err
		}
		size, err := saveFile(*file, func(w io.Writer) (int64, error) {
			counter.to = w
			return gateway.Download(ctx, backupPath, nil, counter)
		})
		if err != nil {
			return err
		}
		counter.progress.done()
		_, err = fmt.Fprintf(call.out, "%s: %s\n", *file, words.Bytes(size))
		return err
	})
}

const backupPath = "/api/v1/admin/backup"

// countingWriter shows how much has been written.
type countingWriter struct {
	to       io.Writer
	written  int64
	progress *progress
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.to.Write(p)
	c.written += int64(n)
	c.progress.show(words.Bytes(c.written))
	return n, err
}

// saveFile writes a file that only its owner may read, and returns its size. It replaces an
// existing one once the new one is on disk. After an error there is no new file.
func saveFile(path string, write func(io.Writer) (int64, error)) (int64, error) {
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.part")
	if err != nil {
		return 0, err
	}
	size, err := write(f)
	if err == nil {
		err = f.Sync()
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return 0, err
	}
	return size, nil
}
