package store

import (
	"time"

	"pushgateway/internal/metric"
)

// Restore adds a group that another program persisted, with the times at which each of its
// families was pushed. The two push times are among the families. The group is checked
// like a push, but leaves no trace if it is rejected. Restoring costs what a push does.
func (s *Store) Restore(key metric.GroupingKey, families []metric.Family, times map[string]time.Time) error {
	valueOf := func(name string) time.Time {
		for _, f := range families {
			if f.Name == name && len(f.Metrics) == 1 && f.Metrics[0].Value != 0 {
				return times[name]
			}
		}
		return time.Time{}
	}
	pushed, failed := valueOf(PushTime), valueOf(FailureTime)
	var encoder Encoder
	p, err := encoder.Push(key, families, pushed, PushOptions{})
	if err != nil {
		return err
	}
	labels := metric.GroupLabels(key)
	p.times[1] = *newTimeFamily(PushTime, key, labels, pushed, times[PushTime])
	for i := range p.encoded {
		p.encoded[i].time = times[p.encoded[i].Name()].UnixNano()
	}
	_, err = commit(s, func(b *batch) (struct{}, error) {
		if err := b.check(p, nil); err != nil {
			return struct{}{}, err
		}
		g, err := (*Group)(nil).afterPush(p)
		if err != nil {
			return struct{}{}, err
		}
		g.Pushed, g.Failed = pushed, failed
		g.Families[findFamily(g.Families, FailureTime)] = newTimeFamily(FailureTime, key, labels, failed, times[FailureTime])
		b.put(key.ID(), g)
		return struct{}{}, nil
	})
	return err
}
