package journaltest

import (
	"bytes"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"

	"pushgateway/internal/exposition"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

var key = metrictest.Key

// apply pushes a body in the text format.
func apply(s *store.Store, key metric.GroupingKey, body string, at time.Time, options store.PushOptions) (replayed bool, err error) {
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse(body)
	if err != nil {
		return false, err
	}
	p, err := new(store.Encoder).Push(key, families, at, options)
	if err != nil {
		return false, err
	}
	return s.Apply(p)
}

func push(t *testing.T, s *store.Store, key metric.GroupingKey, body string) {
	t.Helper()
	if _, err := apply(s, key, body, time.Now(), store.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

// Records is stored groups, encoded, by their IDs: equal if nothing differs.
type Records map[string]string

// RecordsOf returns the records of groups.
func RecordsOf(groups iter.Seq[*store.Group]) Records {
	r := Records{}
	for g := range groups {
		r[g.Key.ID()] = string(store.AppendRecord(nil, g))
	}
	return r
}

func sameRecords(t *testing.T, what string, got, want Records) {
	t.Helper()
	if !maps.Equal(got, want) {
		t.Fatalf("%s is other than was acknowledged:\n%s", what, difference(got, want))
	}
}

func sameGroups(t *testing.T, what string, got []*store.Group, want *store.Store) {
	t.Helper()
	sameRecords(t, what+": what is found", RecordsOf(values(got)), RecordsOf(want.Groups()))
}

func values(groups []*store.Group) iter.Seq[*store.Group] { return slices.Values(groups) }

// Copies returns groups that another store may load.
func Copies(t testing.TB, groups iter.Seq[*store.Group]) []*store.Group {
	t.Helper()
	var out []*store.Group
	for g := range groups {
		c, err := store.DecodeRecord(store.AppendRecord(nil, g))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, c)
	}
	return out
}

// Exposed returns what a gateway with the store exposes as text.
func Exposed(t testing.TB, s *store.Store) string {
	t.Helper()
	writer, err := exposition.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if _, err := writer.Write(&out, s.Snapshot(), nil, expfmt.NewFormat(expfmt.TypeTextPlain), exposition.Identity); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
