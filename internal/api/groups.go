package api

import (
	"encoding/json"
	"io"
	"time"

	"pushgateway/internal/groupview"
	"pushgateway/internal/metric"
	"pushgateway/internal/search"
)

// WriteGroups writes the answer to GET /api/v1/groups: of the groups found, up to
// limit from offset on.
func WriteGroups(w io.Writer, found *groupview.Found, offset, limit int) error {
	groups := found.Groups(offset, offset+limit)
	data := groupsData{Total: len(found.Rows), States: found.Counts, Offset: offset, Limit: limit, Groups: make([]groupData, len(groups))}
	for i := range groups {
		data.Groups[i] = dataOf(&groups[i])
	}
	return writeSuccess(w, data)
}

type groupsData struct {
	Total  int                  `json:"total"`
	States map[search.State]int `json:"states"`
	Offset int                  `json:"offset"`
	Limit  int                  `json:"limit"`
	Groups []groupData          `json:"groups"`
}

type groupData struct {
	Labels        map[string]string `json:"labels"`
	Path          string            `json:"path"`
	State         search.State      `json:"state"`
	LastPush      *time.Time        `json:"last_push"`
	LastFailure   *time.Time        `json:"last_failure"`
	LastRejection *rejectionData    `json:"last_rejection"`
	Summed        bool              `json:"summed"`
	Expired       bool              `json:"expired"`
	ExpiresAt     *time.Time        `json:"expires_at"`
	Families      int               `json:"families"`
	Series        int               `json:"series"`
	Bytes         int64             `json:"bytes"`
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

func dataOf(g *groupview.Group) groupData {
	data := groupData{
		Labels: labelsOf(g.Key), Path: g.Key.Path(), State: g.State,
		LastPush: timeOrNull(g.Pushed), LastFailure: timeOrNull(g.Failed),
		Summed: g.Summed(), Expired: g.Expired(), ExpiresAt: timeOrNull(g.Expiry.At),
		Families: g.Families, Series: g.Series, Bytes: g.Bytes,
	}
	if e := g.Rejection; e != nil {
		data.LastRejection = &rejectionData{e.At.UTC(), string(e.Reason), e.Message, e.Source, e.Client}
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

// WriteGroup writes the answer to GET /api/v1/groups/…: the group as in the list, its
// recent pushes, and its metrics as in GET /api/v1/metrics. An error leaves the
// document incomplete. Memory: O(largest family).
func WriteGroup(w io.Writer, g groupview.Group) error {
	pushes := make([]pushData, len(g.Pushes))
	for i := range g.Pushes {
		e := &g.Pushes[i]
		pushes[i] = pushData{
			Time: e.At.UTC(), Method: e.Method, Accepted: e.Accepted(), Replayed: e.Replayed,
			Reason: string(e.Reason), Message: e.Message, Source: e.Source, Client: e.Client,
		}
		if e.Size >= 0 {
			pushes[i].Bytes = &e.Size
		}
	}
	head, err := json.Marshal(struct {
		groupData
		Pushes []pushData `json:"pushes"`
	}{dataOf(&g), pushes})
	if err != nil {
		return err
	}
	e := encoder{w: w, buf: append(make([]byte, 0, flushAt+flushAt/4), `{"status":"success","data":`...)}
	e.buf = append(e.buf, head[:len(head)-1]...)
	e.buf = append(e.buf, `,"metrics":{`...)
	if g.Stored != nil {
		if err := e.families(g.Stored); err != nil {
			return err
		}
	}
	e.buf = append(e.buf, "}}}"...)
	return e.flush()
}

// Types of errors, as in Prometheus' own HTTP API.
const (
	BadData      = "bad_data"
	Unauthorized = "unauthorized"
	Forbidden    = "forbidden"
	NotFound     = "not_found"
	Unavailable  = "unavailable"
)

// WriteError writes an answer that reports an error.
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
	encoder.SetEscapeHTML(false) // messages contain URLs with &
	return encoder.Encode(document)
}
