package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
	"pushgateway/internal/words"
)

// groupsPerRequest is how many groups are asked for at once.
const groupsPerRequest = 1000

const groupsHelp = `List the groups of a gateway.

Without a selector it lists all groups. Several selectors are ORed. As lines it prints the paths of
the groups, which show takes.

Examples:
  pushgateway groups
  pushgateway groups '{job=~"backup.*"}' --state=failed
  pushgateway groups --sort=-bytes --limit=10
  pushgateway groups --state=failed --output=json > failed.json
`

func groupsCommand() command { return command{"groups", groupsHelp, declareGroups} }

func declareGroups(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	output := addOutputFlag(app, "the path of each group")
	state := app.Flag("state", "Only groups in this state: their last push was accepted (ok) or rejected (failed), or is old.").
		Enum("ok", "failed", "old")
	age := app.Flag("age", "How long after its last push a group is old, such as 90m or 7d.").PlaceHolder("1d").String()
	search := app.Flag("search", "Only groups that have these words in their labels or in names of metrics.").PlaceHolder("WORDS").String()
	sort := app.Flag("sort", "Order: labels, state, pushed, failed, series or bytes; - in front means descending.").Default("labels").String()
	limit := app.Flag("limit", "List this many groups at most. 0 means all.").Default("0").Int()
	selectors := app.Arg("selector", `PromQL selector of the groups' labels, such as {job="backup"}.`).Strings()
	return withGateway(flags, "list its groups by an API", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		query := url.Values{"sort": {*sort}, "match[]": *selectors}
		for name, value := range map[string]string{"state": *state, "age": *age, "search": *search} {
			if value != "" {
				query.Set(name, value)
			}
		}
		list, err := allGroups(ctx, gateway, query, *limit, newProgress(call.errOut))
		if err != nil {
			return err
		}
		if *state != "" {
			list.States = nil // these are of all groups
		}
		return writeGroups(call, list, *output)
	})
}

// allGroups lists all groups that the query selects, or up to limit unless it is 0.
func allGroups(ctx context.Context, gateway *client.Client, query url.Values, limit int, progress *progress) (client.GroupList, error) {
	defer progress.done()
	all := client.GroupList{Groups: []json.RawMessage{}}
	for {
		size := groupsPerRequest
		if limit > 0 {
			size = min(size, limit-len(all.Groups))
		}
		list, err := gateway.Groups(ctx, query, len(all.Groups), size)
		if err != nil {
			return all, err
		}
		list.Groups = append(all.Groups, list.Groups...)
		if complete := len(list.Groups) == len(all.Groups); complete || len(list.Groups) >= list.Total || len(list.Groups) == limit {
			return list, nil
		}
		all = list
		progress.show(fmt.Sprintf("%s of %s", words.Count(len(all.Groups)), groupCount(all.Total)))
	}
}

func writeGroups(call *invocation, list client.GroupList, output string) error {
	if output == asJSON {
		return writeJSON(call.out, list.Groups)
	}
	groups := make([]client.Group, len(list.Groups))
	for i, text := range list.Groups {
		if err := json.Unmarshal(text, &groups[i]); err != nil {
			return fmt.Errorf("a group in the response: %w", err)
		}
	}
	if output == asLines {
		for _, g := range groups {
			fmt.Fprintln(call.out, g.Path)
		}
		return nil
	}
	now := time.Now()
	t := table{titles: []string{"STATE", "GROUP", "PUSHED", "EXPIRES", "SERIES", "SIZE"}, numbers: []int{4, 5}}
	for _, g := range groups {
		expires := aheadText(g.ExpiresAt, now)
		if g.Expired {
			expires = "has expired"
		}
		t.add(cell{g.State, stateColors[g.State]}, cell{text: keyText(g.Labels)}, cell{text: ageText(g.LastPush, now)},
			cell{text: expires}, cell{text: words.Count(g.Series)}, cell{text: words.Bytes(g.Bytes)})
	}
	if len(groups) > 0 {
		if err := t.write(call.out, painterFor(call.out)); err != nil {
			return err
		}
	}
	return writeGroupTotal(call, list)
}

// writeGroupTotal writes how many groups there are, and in which states.
func writeGroupTotal(call *invocation, list client.GroupList) error {
	text := groupCount(list.Total)
	if len(list.Groups) < list.Total {
		text = fmt.Sprintf("%s of %s", words.Count(len(list.Groups)), text)
	}
	p := painterFor(call.out)
	separator := ": "
	for _, state := range []string{"failed", "old", "ok"} {
		if n := list.States[state]; n > 0 && (n < list.Total || state != "ok") {
			text += separator + p.paint(fmt.Sprintf("%s %s", words.Count(n), state), stateColors[state])
			separator = ", "
		}
	}
	_, err := fmt.Fprintln(call.out, text)
	return err
}
