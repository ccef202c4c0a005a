package job

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// WriteTextfile writes how the job went to a file for node_exporter's textfile collector, by
// rename. All metrics get the labels of the group. further are metrics in the text format that
// the job wrote itself. Counters and the histogram continue from the previous file, and so does
// the time of the last success. Two runs must not write the same file at the same time.
func (m Metrics) WriteTextfile(path string, group metric.GroupingKey, o Outcome, further []byte) error {
	text := slices.Concat(m.AtEnd(o), m.Totals(o), further)
	var parsed wire.Families
	if err := new(wire.Parser).ParseTo(text, wire.Text, metric.UTF8Validation, &parsed); err != nil {
		return err
	}
	previous, err := readTextfile(path)
	if err != nil {
		return err
	}
	families := parsed.All
	seen := map[string]bool{}
	for i := range families {
		f := &families[i]
		if seen[f.Name] {
			return fmt.Errorf("two metrics have the name %s", f.Name)
		}
		seen[f.Name] = true
		if err := addLabels(f, group); err != nil {
			return err
		}
		if old := previous[f.Name]; old != nil && old.Type == f.Type && m.addsUp(f.Name) {
			sortMetrics(f)
			sortMetrics(old)
			if f.Metrics, err = metric.AddMetrics(f, old.Metrics, metric.GaugeLast); err != nil {
				return fmt.Errorf("add up %s: %w", f.Name, err)
			}
		}
	}
	if name := m.Prefix + "_" + lastSuccess; !seen[name] && previous[name] != nil {
		families = append(families, *previous[name])
	}
	var out []byte
	for i := range families {
		f := &families[i]
		out = wire.AppendText(wire.AppendTextHeader(out, f.Name, f.Help, f.Type), f)
	}
	return replaceFile(path, out, 0o644)
}

// addsUp reports whether the values of a family are those of all runs.
func (m Metrics) addsUp(name string) bool {
	return name == m.Prefix+"_"+runsTotal || name == m.Prefix+"_"+durationTotal
}

func sortMetrics(f *metric.Family) {
	slices.SortFunc(f.Metrics, func(a, b metric.Metric) int { return metric.CompareLabels(a.Labels, b.Labels) })
}

// readTextfile returns the families in a file by name; none if there is no file, or if it
// cannot be parsed.
func readTextfile(path string) (map[string]*metric.Family, error) {
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	found := map[string]*metric.Family{}
	var families wire.Families
	if new(wire.Parser).ParseTo(text, wire.Text, metric.UTF8Validation, &families) == nil {
		for i := range families.All {
			found[families.All[i].Name] = &families.All[i]
		}
	}
	return found, nil
}

// addLabels adds the labels of the group to the metrics of a family. Labels stay sorted.
func addLabels(f *metric.Family, group metric.GroupingKey) error {
	for i := range f.Metrics {
		m := &f.Metrics[i]
		labels := slices.Concat(group.Labels(), m.Labels)
		slices.SortFunc(labels, func(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) })
		for j := 1; j < len(labels); j++ {
			if labels[j].Name == labels[j-1].Name {
				return fmt.Errorf("%s has the label %s, which the job sets", f.Name, labels[j].Name)
			}
		}
		m.Labels = labels
	}
	return nil
}

// replaceFile replaces a file in one step.
func replaceFile(path string, content []byte, mode fs.FileMode) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	err = errors.Join(err, file.Chmod(mode), file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name()) // the first error counts
	}
	return err
}
