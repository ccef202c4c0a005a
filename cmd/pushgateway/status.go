package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"pushgateway/internal/client"
	"pushgateway/internal/words"
)

const statusHelp = `Show how a gateway is: its version, what it stores, and whether that is on disk.

It works with the Prometheus Pushgateway, too, which says less.

Examples:
  pushgateway status
  pushgateway status --output=lines | grep '^durable='
`

func statusCommand() command { return command{"status", statusHelp, declareStatus} }

func declareStatus(app *kingpin.Application) action {
	flags := addAPIFlags(app)
	output := addOutputFlag(app, "name=value, with the flags that differ from their defaults")
	return withGateway(flags, "describe itself by an API", func(ctx context.Context, gateway *client.Client, call *invocation) error {
		var text json.RawMessage
		if err := gateway.Call(ctx, http.MethodGet, "/api/v1/status", nil, &text); err != nil {
			return err
		}
		if *output == asJSON {
			return writeJSON(call.out, text)
		}
		var status gatewayStatus
		if err := json.Unmarshal(text, &status); err != nil {
			return fmt.Errorf("the status of %s: %w", gateway.URL(), err)
		}
		// A gateway that is still loading its file has a status, but no groups yet, and the
		// Prometheus Pushgateway cannot list them.
		list, err := gateway.Groups(ctx, nil, 0, 0)
		if _, answered := errors.AsType[*client.Error](err); err != nil && !answered {
			return err
		}
		facts := status.facts(time.Now())
		if err == nil {
			facts = slices.Insert(facts, groupFactsAt, groupFacts(list)...)
		}
		if *output == asLines {
			for _, f := range facts {
				fmt.Fprintf(call.out, "%s=%s\n", f.name, printable(cmp.Or(f.exact, f.text)))
			}
			return nil
		}
		t := table{titles: []string{"GATEWAY", gateway.URL()}}
		for _, f := range facts {
			t.add(cell{text: f.name}, cell{printable(f.text), f.color})
		}
		return t.write(call.out, painterFor(call.out))
	})
}

// gatewayStatus is what GET /api/v1/status says. The Prometheus Pushgateway leaves out the storage.
type gatewayStatus struct {
	Build struct {
		Version string `json:"version"`
	} `json:"build_information"`
	Flags   map[string]string `json:"flags"`
	Started time.Time         `json:"start_time"`
	Storage *struct {
		Durable    bool      `json:"durable"`
		File       string    `json:"file"`
		SizeBytes  int64     `json:"size_bytes"`
		LastCommit time.Time `json:"last_commit"`
		Error      string    `json:"error"`
		Warning    string    `json:"warning"`
	} `json:"storage"`
}

// A fact about a gateway.
type fact struct {
	name, text string
	color      color
	exact      string // for scripts; empty if it is the text
}

// groupFactsAt is where among the facts those about groups belong.
const groupFactsAt = 2

func (s *gatewayStatus) facts(now time.Time) []fact {
	moment := func(t time.Time) (text, exact string) {
		exact = t.UTC().Format(time.RFC3339)
		return fmt.Sprintf("%s (%s)", words.Age(now.Sub(t)), exact), exact
	}
	started, startedAt := moment(s.Started)
	facts := []fact{{name: "version", text: s.Build.Version}, {name: "started", text: started, exact: startedAt}}
	if storage := s.Storage; storage != nil {
		switch {
		case storage.Durable && storage.Warning != "":
			facts = append(facts, fact{name: "durable", text: "yes, but " + storage.Warning, color: yellow, exact: "yes"})
		case storage.Durable:
			facts = append(facts, fact{name: "durable", text: "yes", color: green})
		case storage.Error != "":
			facts = append(facts, fact{name: "durable", text: "no: " + storage.Error, color: red, exact: "no"})
		default:
			facts = append(facts, fact{name: "durable", text: "no: in memory only", color: yellow, exact: "no"})
		}
		if storage.File != "" {
			facts = append(facts, fact{name: "file", text: storage.File},
				fact{name: "file_size", text: words.Bytes(storage.SizeBytes), exact: strconv.FormatInt(storage.SizeBytes, 10)})
		}
		if !storage.LastCommit.IsZero() {
			last, lastAt := moment(storage.LastCommit)
			facts = append(facts, fact{name: "last_commit", text: last, exact: lastAt})
		}
	}
	for _, name := range changedFlags(s.Flags) {
		facts = append(facts, fact{name: "--" + name, text: s.Flags[name]})
	}
	return facts
}

func groupFacts(list client.GroupList) []fact {
	count := func(name string, n int, c color) fact {
		if n == 0 {
			c = plain
		}
		return fact{name: name, text: words.Count(n), color: c, exact: strconv.Itoa(n)}
	}
	facts := []fact{count("groups", list.Total, plain)}
	for _, state := range []string{"ok", "failed", "old"} {
		facts = append(facts, count("groups_"+state, list.States[state], stateColors[state]))
	}
	return facts
}

// changedFlags returns the names of flags that do not have the default value of this version.
func changedFlags(flags map[string]string) []string {
	app, _ := declareFlags("pushgateway")
	if _, err := app.Parse(nil); err != nil {
		return nil // the defaults are valid
	}
	defaults := flagValues(app)
	return slices.DeleteFunc(slices.Sorted(maps.Keys(flags)), func(name string) bool {
		value, known := defaults[name]
		return flags[name] == value || !known && flags[name] == ""
	})
}
