package store

import (
	"slices"
	"strings"
	"time"

	"pushgateway/internal/metric"
)

// Push is a push ready to be applied: checked in itself and encoded, which is
// most of its cost and needs nothing of the store.
type Push struct {
	key      metric.GroupingKey
	at       time.Time
	families []metric.Family // as normalized, for the check against other groups
	chunks   []*Chunk        // beside families
}

// NewPush checks and encodes the families that were pushed to the group called
// key at the given time. It changes the families and uses them until the push
// has been applied. The error is a *metric.RefusalError.
func NewPush(key metric.GroupingKey, families []metric.Family, names metric.Names, at time.Time) (*Push, error) {
	families = slices.DeleteFunc(families, func(f metric.Family) bool {
		return f.Name == PushTime || f.Name == FailureTime || len(f.Metrics) == 0
	})
	slices.SortFunc(families, func(a, b metric.Family) int { return strings.Compare(a.Name, b.Name) })
	p := &Push{key: key, at: at, families: families, chunks: make([]*Chunk, len(families))}
	normalizer := metric.NewNormalizer(key, names)
	scratch := make([]byte, 0, 4096)
	for i := range families {
		f := &families[i]
		if err := normalizer.Normalize(f); err != nil {
			return nil, err
		}
		p.chunks[i], scratch = newChunk(f, key, at, names == metric.LegacyNames || plainNames(f), scratch)
	}
	return p, nil
}

// Key returns the key of the group the push goes to.
func (p *Push) Key() metric.GroupingKey { return p.key }

// find returns the type of the pushed family of this name.
func (p *Push) find(name string) (metric.Type, bool) {
	i, found := slices.BinarySearchFunc(p.families, name,
		func(f metric.Family, name string) int { return strings.Compare(f.Name, name) })
	if !found {
		return 0, false
	}
	return p.families[i].Type, true
}
