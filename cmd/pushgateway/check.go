package main

import (
	"fmt"
	"io"
	"os"

	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

// check verifies a persistence file and prints what is in it.
func check(path string, out, _ io.Writer) error {
	found, err := journal.Inspect(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	format := fmt.Sprintf("version %d", found.Version)
	if found.Upstream {
		format = "Prometheus Pushgateway; a gateway imports it when it starts with this file"
	}
	totals := store.InMemory(found.Groups...).Totals()
	_, err = fmt.Fprintf(out, "%s: ok\nformat: %s\ngroups: %d\nmetrics: %d\nmetric data: %d bytes\nfile: %d bytes\n",
		path, format, totals.Groups, totals.Series, totals.Bytes, info.Size())
	return err
}
