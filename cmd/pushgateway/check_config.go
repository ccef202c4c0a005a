package main

import (
	"fmt"
	"io"

	"pushgateway/internal/rules"
)

// checkConfig verifies a rules file and prints its rules.
func checkConfig(path string, out, _ io.Writer) error {
	read, err := rules.Load(path)
	if err != nil {
		return err
	}
	noun := "rules"
	if read.Len() == 1 {
		noun = "rule"
	}
	fmt.Fprintf(out, "%s: %d %s\n", path, read.Len(), noun)
	for i, rule := range read.All() {
		fmt.Fprintf(out, "%d: %s\n", i+1, rule)
	}
	return nil
}
