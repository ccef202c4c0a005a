package store

import (
	"slices"
	"time"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
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
	e := new(EncodedFamily)
	e.init(1, header, key, at, plainNames(labels), appendTimeMetric(nil, labels, value))
	return e
}

// initTimeFamilies sets families to the two push time families of a group without rejected
// pushes. They share one piece of memory. scratch is working space, returned for the next call.
func initTimeFamilies(families []EncodedFamily, key metric.GroupingKey, labels []metric.Label, at time.Time, scratch []byte) []byte {
	scratch = appendTimeMetric(scratch[:0], labels, time.Time{})
	failed := len(scratch)
	scratch = appendTimeMetric(scratch, labels, at)
	protobuf, plain := slices.Clone(scratch), plainNames(labels)
	families[0].init(1, failureTimeHeader, key, at, plain, protobuf[:failed])
	families[1].init(1, pushTimeHeader, key, at, plain, protobuf[failed:])
	return scratch
}

// plainNames is EncodedFamily.Plain for a family with these labels.
func plainNames(labels []metric.Label) bool {
	return !slices.ContainsFunc(labels, func(l metric.Label) bool { return !metric.LegacyLabelName(l.Name) })
}

func appendTimeMetric(dst []byte, labels []metric.Label, value time.Time) []byte {
	seconds := 0.0
	if !value.IsZero() {
		seconds = float64(value.UnixNano()) / 1e9
	}
	metrics := [...]metric.Metric{{Labels: labels, HasValue: true, Value: seconds}}
	return wire.AppendProtobufMetrics(dst, &metric.Family{Type: metric.Gauge, Metrics: metrics[:]})
}
