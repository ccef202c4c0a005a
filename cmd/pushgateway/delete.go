package main

import (
	"context"
	"fmt"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
)

const deleteHelp = `Delete the groups that a selector matches, in one step.

On a terminal it lists the groups and asks first. Scripts give --yes. The gateway needs
--web.enable-admin-api. Several selectors are ORed. As lines it prints the paths of the first 100
groups that were deleted, or would be.

Examples:
  pushgateway delete '{job="gone"}'
  pushgateway delete --older-than=30d --dry-run '{job=~".+"}'
  pushgateway delete --older-than=7d --yes '{job=~"review-.*"}'
`

func deleteCommand() command { return command{"delete", deleteHelp, declareDelete} }

func declareDelete(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	output := addOutputFlag(app, "the path of each group")
	olderThan := app.Flag("older-than", "Only groups whose last successful push is longer ago, such as 24h or 7d.").
		PlaceHolder("DURATION").String()
	dryRun := app.Flag("dry-run", "Delete nothing, and print what would be deleted.").Bool()
	yes := addYesFlag(app)
	selectors := app.Arg("selector", `PromQL selector of the groups' labels, such as {job="gone"}.`).Required().Strings()
	return withGateway(flags, "delete groups by a selector", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		ask := !*yes && !*dryRun
		if *dryRun || ask && isTerminal(call.in) {
			found, err := gateway.DeleteGroups(ctx, *selectors, *olderThan, true)
			if err != nil {
				return err
			}
			if *dryRun || found.Count == 0 {
				return writeDeletion(call, found, *output)
			}
			if err := writeDeletedTable(call, found); err != nil {
				return err
			}
			if err := confirm(call, fmt.Sprintf("Delete %s from %s?", groupCount(found.Count), gateway.URL())); err != nil {
				return err
			}
		} else if ask {
			return confirm(call, "")
		}
		deleted, err := gateway.DeleteGroups(ctx, *selectors, *olderThan, false)
		if err != nil {
			return err
		}
		return writeDeletion(call, deleted, *output)
	})
}

// writeDeletion writes what was deleted, or would be.
func writeDeletion(call *invocation, d client.Deletion, output string) error {
	switch output {
	case asJSON:
		return writeJSON(call.out, d)
	case asLines:
		for _, g := range d.Groups {
			fmt.Fprintln(call.out, g.Path)
		}
		return nil
	}
	if d.DryRun {
		if err := writeDeletedTable(call, d); err != nil {
			return err
		}
	}
	text := groupCount(d.Count) + " deleted"
	if d.DryRun {
		text = groupCount(d.Count) + " would be deleted"
	}
	if d.LimitedTo != "" {
		text += "; of those that match, you may delete only " + printable(d.LimitedTo)
	}
	_, err := fmt.Fprintln(call.out, text)
	return err
}

// writeDeletedTable lists the groups. There may be more than the gateway lists.
func writeDeletedTable(call *invocation, d client.Deletion) error {
	if d.Count == 0 {
		return nil
	}
	now := time.Now()
	t := table{titles: []string{"GROUP", "PUSHED"}}
	for _, g := range d.Groups {
		t.add(cell{text: keyText(g.Labels)}, cell{text: ageText(g.LastPush, now)})
	}
	if more := d.Count - len(d.Groups); more > 0 {
		t.add(cell{text: "and " + groupCount(more) + " more"}, cell{})
	}
	return t.write(call.out, painterFor(call.out))
}
