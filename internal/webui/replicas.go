package webui

import (
	"strings"
	"time"

	"pushgateway/internal/api"
)

// maxReplicas is how many replicas the status page lists.
const maxReplicas = 100

// replicaRow is a replica on the status page.
type replicaRow struct {
	api.Replica
	Differs            string // which of its files are not those of this replica
	StartedAt, HeardOf moment
}

// BehindCount returns how many commits the replica lacks.
func (r replicaRow) BehindCount() int { return int(r.Behind) }

// replicaRows describes the replicas, which may be nil, and reports whether the files of
// a live one differ from those of this one.
func replicaRows(replicas *api.Replicas, now time.Time) (rows []replicaRow, differ bool) {
	if replicas == nil {
		return nil, false
	}
	for _, r := range replicas.All {
		var files []string
		if r.OtherRules {
			files = append(files, "rules file")
		}
		if r.OtherAuth {
			files = append(files, "auth file")
		}
		differ = differ || r.Live && len(files) > 0
		if len(rows) < maxReplicas {
			r.Name, r.Version = cut(r.Name, 100), cut(r.Version, 60)
			rows = append(rows, replicaRow{r, strings.Join(files, " and "), momentOf(r.Started, now), momentOf(r.Heartbeat, now)})
		}
	}
	return rows, differ
}

// maxClockSkew is the difference of the clocks, in seconds, that the status page does
// not mention.
const maxClockSkew = 1

// describeSkew returns the difference between the clocks if it is worth mentioning,
// otherwise "".
func describeSkew(replicas *api.Replicas) string {
	if replicas == nil || replicas.ClockSkew < maxClockSkew && replicas.ClockSkew > -maxClockSkew {
		return ""
	}
	return time.Duration(replicas.ClockSkew * float64(time.Second)).Abs().Round(time.Millisecond).String()
}
