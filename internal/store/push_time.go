package store

import (
	"time"

	"pushgateway/internal/metric"
)

// Names and help texts of the families that every group has besides the pushed ones. A
// pushed family of one of these names is dropped.
const (
	PushTime    = "push_time_seconds"
	FailureTime = "push_failure_time_seconds"

	pushTimeHelp    = "Last Unix time when changing this group in the Pushgateway succeeded."
	failureTimeHelp = "Last Unix time when changing this group in the Pushgateway failed."
)

// pushTimeFamilies is how many of a group's families are push times.
const pushTimeFamilies = 2

var (
	pushTimeHeader    = &header{PushTime, pushTimeHelp, "", metric.Gauge}
	failureTimeHeader = &header{FailureTime, failureTimeHelp, "", metric.Gauge}
)

// newTimeFamily returns one of the two push time families, with the labels that every
// metric of the group has. A zero value is exposed as 0: it has not happened yet.
func newTimeFamily(name string, key metric.GroupingKey, labels []metric.Label, value, at time.Time) *EncodedFamily {
	header := pushTimeHeader
	if name == FailureTime {
		header = failureTimeHeader
	}
	seconds := 0.0
	if !value.IsZero() {
		seconds = float64(value.UnixNano()) / 1e9
	}
	f := metric.Family{Name: name, Type: metric.Gauge, Metrics: []metric.Metric{{Labels: labels, HasValue: true, Value: seconds}}}
	plain := true
	for _, l := range labels {
		plain = plain && metric.LegacyLabelName(l.Name)
	}
	var scratch [512]byte
	e, _ := newEncodedFamily(&f, header, key, at, plain, scratch[:0])
	return e
}
