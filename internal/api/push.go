package api

import (
	"errors"
	"io"
	"time"

	"pushgateway/internal/access"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// Pushed is the result of a bulk push for one group.
type Pushed struct {
	Key      metric.GroupingKey
	Replayed bool  // it had been applied before, and changed nothing
	Err      error // why it was not applied; nil if it was
}

// WritePushed writes the answer to POST /api/v1/push. If no group was applied, it is an
// error of the given type.
func WritePushed(w io.Writer, groups []Pushed, kind string) error {
	data := pushedData{Groups: make([]pushedGroup, len(groups))}
	var first error
	for i := range groups {
		g := &groups[i]
		out := &data.Groups[i]
		out.Labels, out.Path = labelsOf(g.Key), g.Key.Path()
		if g.Err != nil && first == nil {
			first = g.Err
		}
		switch {
		case g.Err != nil:
			out.State, out.Message = "rejected", g.Err.Error()
			if rejection, ok := errors.AsType[*metric.RejectionError](g.Err); ok {
				out.Reason = string(rejection.Reason)
			} else if _, ok := errors.AsType[*access.DeniedError](g.Err); ok {
				out.Reason = "right"
			} else {
				out.State = "failed"
			}
			data.Rejected++
		case g.Replayed:
			out.State = "replayed"
			data.Applied++
		default:
			out.State = "applied"
			data.Applied++
		}
	}
	if data.Applied == 0 && first != nil {
		return write(w, struct {
			Status string     `json:"status"`
			Kind   string     `json:"errorType"`
			Error  string     `json:"error"`
			Data   pushedData `json:"data"`
		}{"error", kind, "no group was applied. The first error: " + first.Error(), data})
	}
	return writeSuccess(w, data)
}

type pushedData struct {
	Applied  int           `json:"applied"`  // or replayed
	Rejected int           `json:"rejected"` // or failed
	Groups   []pushedGroup `json:"groups"`
}

type pushedGroup struct {
	Labels  map[string]string `json:"labels"`
	Path    string            `json:"path"`
	State   string            `json:"state"`
	Reason  string            `json:"reason,omitempty"`
	Message string            `json:"message,omitempty"`
}

// Deleted is the result of a deletion by selector.
type Deleted struct {
	Count  int // groups that were deleted, or would be in a dry run
	DryRun bool
	Groups []*store.Group // the first of them
	// LimitedTo selects the groups that the sender may delete; empty for all. Others were
	// not looked at.
	LimitedTo string
}

// WriteDeleted writes the answer to DELETE /api/v1/groups.
func WriteDeleted(w io.Writer, d Deleted) error {
	data := deletedData{Count: d.Count, DryRun: d.DryRun, LimitedTo: d.LimitedTo, Groups: make([]deletedGroup, len(d.Groups))}
	for i, g := range d.Groups {
		data.Groups[i] = deletedGroup{labelsOf(g.Key), g.Key.Path(), timeOrNull(g.Pushed)}
	}
	return writeSuccess(w, data)
}

type deletedData struct {
	Count     int            `json:"count"`
	DryRun    bool           `json:"dry_run"`
	LimitedTo string         `json:"limited_to,omitempty"`
	Groups    []deletedGroup `json:"groups"`
}

type deletedGroup struct {
	Labels   map[string]string `json:"labels"`
	Path     string            `json:"path"`
	LastPush *time.Time        `json:"last_push"`
}
