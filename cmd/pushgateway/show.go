package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/prometheus/model/labels"

	"pushgateway/internal/client"
	"pushgateway/internal/metric"
	"pushgateway/internal/selector"
	"pushgateway/internal/words"
)

const showHelp = `Show a group: its state, its recent pushes and its metrics.

A group is named by a selector of all its labels, or by its path. As lines it prints the metrics
only, without their help.

Examples:
  pushgateway show '{job="backup",instance="db1"}'
  pushgateway show job/backup/instance/db1
`

func showCommand() command { return command{"show", showHelp, declareShow} }

func declareShow(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	output := addOutputFlag(app, "each metric with its value")
	group := app.Arg("group", `All labels of the group, such as {job="backup",instance="db1"}, or its path.`).Required().String()
	return withGateway(flags, "show one group by an API", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		path, err := groupPath(*group)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		found, text, err := gateway.Show(ctx, path)
		switch {
		case err != nil:
			return err
		case *output == asJSON:
			return writeJSON(call.out, text)
		case *output == asLines:
			return writeSamples(call.out, found.Metrics)
		}
		return writeGroup(call, &found)
	})
}

// groupPath returns the URL path of the group that an argument names: by its labels, or by its
// path with or without /metrics in front.
func groupPath(group string) (string, error) {
	if !strings.HasPrefix(group, "{") {
		path := strings.TrimPrefix(strings.TrimPrefix(group, "/"), "metrics/")
		if !strings.HasPrefix(path, "job/") && !strings.HasPrefix(path, "job@base64/") {
			return "", fmt.Errorf("%s names no group: use all its labels, as {job=\"backup\",instance=\"db1\"}, "+
				"or its path, as job/backup/instance/db1", group)
		}
		return "/metrics/" + path, nil
	}
	matchers, err := selector.Parse(group)
	if err != nil {
		return "", fmt.Errorf("%s: %w", group, err)
	}
	var key []metric.Label
	for _, m := range matchers {
		if m.Type != labels.MatchEqual {
			return "", fmt.Errorf("%s: %s does not say what the label is: a group is named with = only; "+
				"to search for groups, use pushgateway groups", group, m)
		}
		key = append(key, metric.Label{Name: m.Name, Value: m.Value})
	}
	named := metric.NewGroupingKey(key)
	if job, _ := named.Value(metric.JobLabel); job == "" {
		return "", fmt.Errorf("%s names no job, and each group has one", group)
	}
	return named.Path(), nil
}

func writeGroup(call *invocation, g *client.GroupDetails) error {
	now := time.Now()
	p := painterFor(call.out)
	facts := table{titles: []string{"GROUP", keyText(g.Labels)}}
	fact := func(name, text string) { facts.add(cell{text: name}, cell{text: text}) }
	facts.add(cell{text: "state"}, cell{g.State, stateColors[g.State]})
	fact("pushed", ageText(g.LastPush, now))
	if g.LastFailure != nil {
		fact("rejected", ageText(g.LastFailure, now))
	}
	if r := g.LastRejection; r != nil {
		fact("because", printable(r.Reason+": "+r.Message))
	}
	switch {
	case g.Expired:
		fact("expires", "has expired; its push times are kept")
	default:
		fact("expires", aheadText(g.ExpiresAt, now))
	}
	if g.Summed {
		fact("summed", "yes")
	}
	fact("series", words.Count(g.Series))
	fact("size", words.Bytes(g.Bytes))
	if err := facts.write(call.out, p); err != nil {
		return err
	}
	if len(g.Pushes) > 0 {
		pushes := table{titles: []string{"RECENT PUSHES", "METHOD", "RESULT", "FROM", "CLIENT"}}
		for i := range g.Pushes {
			push := &g.Pushes[i]
			result := cell{"accepted", green}
			switch {
			case push.Replayed:
				result = cell{"replayed", plain}
			case !push.Accepted:
				result = cell{printable("rejected: " + push.Reason), red}
			}
			pushes.add(cell{text: words.Age(now.Sub(push.Time))}, cell{text: push.Method}, result,
				cell{text: printable(push.Source)}, cell{text: printable(push.Client)})
		}
		fmt.Fprintln(call.out)
		if err := pushes.write(call.out, p); err != nil {
			return err
		}
	}
	if len(g.Metrics) == 0 {
		return nil
	}
	fmt.Fprintln(call.out)
	return writeSamples(call.out, g.Metrics)
}

// writeSamples writes the values of metrics, a line each, and of histograms and summaries their
// counts and sums.
func writeSamples(w io.Writer, families map[string]client.Family) error {
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(families)) {
		for _, sample := range families[name].Metrics {
			value := sample.Value
			if value == "" {
				value = fmt.Sprintf("count=%s sum=%s", sample.Count, sample.Sum)
			}
			fmt.Fprintf(&b, "%s%s %s\n", printable(name), keyText(sample.Labels), printable(value))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
