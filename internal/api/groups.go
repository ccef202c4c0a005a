package api

import (
	"encoding/json"
	"io"
	"time"

	"pushgateway/internal/history"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// Group is a group as a list shows it.
type Group struct {
	Key          metric.GroupingKey
	State        string
	Pushed       time.Time // zero where no push was accepted
	Failed       time.Time // zero where none was rejected
	LastRejected *history.Event
	Summed       bool      // pushes are added up
	Expired      bool      // it has ended, and its push times alone are left
	Expires      time.Time // zero where the group stays
	Families     int
	Series       int
	Bytes        int64
}

// Groups is a part of a list of groups.
type Groups struct {
	Total  int            // groups that match
	States map[string]int // groups that match but for their state, by state
	Offset int
	Limit  int
	Groups []Group
}

// WriteGroups writes the answer to GET /api/v1/groups.
func WriteGroups(w io.Writer, list Groups) error {
	data := groupsData{Total: list.Total, States: list.States, Offset: list.Offset, Limit: list.Limit, Groups: make([]groupData, len(list.Groups))}
	for i := range list.Groups {
		data.Groups[i] = dataOf(&list.Groups[i])
	}
	return writeSuccess(w, data)
}

type groupsData struct {
	Total  int            `json:"total"`
	States map[string]int `json:"states"`
	Offset int            `json:"offset"`
	Limit  int            `json:"limit"`
	Groups []groupData    `json:"groups"`
}

type groupData struct {
	Labels      map[string]string `json:"labels"`
	Path        string            `json:"path"`
	State       string            `json:"state"`
	LastPush    *time.Time        `json:"last_push"`
	LastFailure *time.Time        `json:"last_failure"`
	LastError   *rejectionData    `json:"last_rejection"`
	Summed      bool              `json:"summed"`
	Expired     bool              `json:"expired"`
	ExpiresAt   *time.Time        `json:"expires_at"`
	Families    int               `json:"families"`
	Series      int               `json:"series"`
	Bytes       int64             `json:"bytes"`
}

type rejectionData struct {
	Time    time.Time `json:"time"`
	Reason  string    `json:"reason"`
	Message string    `json:"message"`
	Source  string    `json:"source"`
	Client  string    `json:"client"`
}

type pushData struct {
	Time     time.Time `json:"time"`
	Method   string    `json:"method"`
	Bytes    *int64    `json:"bytes"`
	Accepted bool      `json:"accepted"`
	Replayed bool      `json:"replayed,omitempty"`
	Reason   string    `json:"reason,omitempty"`
	Message  string    `json:"message,omitempty"`
	Source   string    `json:"source"`
	Client   string    `json:"client"`
}

func dataOf(g *Group) groupData {
	data := groupData{
		Labels: labelsOf(g.Key), Path: g.Key.Path(), State: g.State, Summed: g.Summed, Expired: g.Expired,
		ExpiresAt: timeOrNull(g.Expires),
		LastPush:  timeOrNull(g.Pushed), LastFailure: timeOrNull(g.Failed),
		Families: g.Families, Series: g.Series, Bytes: g.Bytes,
	}
	if e := g.LastRejected; e != nil {
		data.LastError = &rejectionData{e.At.UTC(), string(e.Reason), e.Message, e.Source, e.Client}
	}
	return data
}

func labelsOf(key metric.GroupingKey) map[string]string {
	labels := map[string]string{}
	for _, l := range key.Labels() {
		labels[l.Name] = l.Value
	}
	return labels
}

func timeOrNull(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// WriteGroup writes the answer to GET /api/v1/groups/…: what the list says of the
// group, its last pushes, and its metrics as GET /api/v1/metrics has them. An
// error leaves the document incomplete. Memory: O(largest family).
func WriteGroup(w io.Writer, g Group, pushes []history.Event, held *store.Group) error {
	data := make([]pushData, len(pushes))
	for i := range pushes {
		e := &pushes[i]
		data[i] = pushData{
			Time: e.At.UTC(), Method: e.Method, Accepted: e.Accepted(), Replayed: e.Replayed,
			Reason: string(e.Reason), Message: e.Message, Source: e.Source, Client: e.Client,
		}
		if e.Size >= 0 {
			data[i].Bytes = &e.Size
		}
	}
	head, err := json.Marshal(struct {
		groupData
		Pushes []pushData `json:"pushes"`
	}{dataOf(&g), data})
	if err != nil {
		return err
	}
	e := encoder{w: w, buf: append(make([]byte, 0, flushAt+flushAt/4), `{"status":"success","data":`...)}
	e.buf = append(e.buf, head[:len(head)-1]...)
	e.buf = append(e.buf, `,"metrics":{`...)
	for i, c := range held.Families {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		if err := e.family(c); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, "}}}"...)
	return e.flush()
}

// Kinds of errors, as Prometheus names them in its own HTTP API.
const (
	BadData     = "bad_data"
	NotFound    = "not_found"
	Unavailable = "unavailable"
)

// WriteError writes the answer to a request that cannot be answered otherwise.
func WriteError(w io.Writer, kind, message string) error {
	return write(w, struct {
		Status string `json:"status"`
		Kind   string `json:"errorType"`
		Error  string `json:"error"`
	}{"error", kind, message})
}

func writeSuccess(w io.Writer, data any) error {
	return write(w, struct {
		Status string `json:"status"`
		Data   any    `json:"data"`
	}{"success", data})
}

func write(w io.Writer, document any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false) // messages hold URLs with &
	return encoder.Encode(document)
}
