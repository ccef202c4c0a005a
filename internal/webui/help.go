package webui

import "pushgateway/internal/metric"

// document is a document of package docs.
type document struct{ Name, About string }

// documents are those that users and operators need.
var documents = []document{
	{"README.md", "contents of all documents"},
	{"PUSHING.md", "groups, push options, expiry, sums, retries"},
	{"CLIENTS.md", "client libraries and their settings"},
	{"API.md", "every URL, its parameters and answers"},
	{"OTLP.md", "pushing with OpenTelemetry"},
	{"OPERATING.md", "running the gateway: storage, backups, limits, monitoring"},
	{"FLAGS.md", "flags of the gateway"},
	{"ALERTS.md", "alerts, and reasons of rejections"},
	{"METRICS.md", "the gateway's own metrics"},
	{"KUBERNETES.md", "running the gateway in Kubernetes"},
	{"SECURITY.md", "users, rights and what they protect from"},
	{"COMPATIBILITY.md", "differences from the Prometheus Pushgateway"},
	{"PERFORMANCE.md", "what a push, a scrape and a page cost"},
}

// helpReason explains a reason for rejections.
type helpReason struct {
	Reason  metric.Reason
	Meaning string
	Do      string
}

// helpReasons explains all reasons of metric.Reasons.
var helpReasons = []helpReason{
	{
		metric.BadPath,
		"The URL does not name a group: labels and values do not alternate, a name is not allowed, or base64 is invalid.",
		"Use /metrics/job/<job>/<label>/<value>. Encode a value that is empty or contains a slash as URL-safe base64 " +
			"and append @base64 to the label name: path@base64/L3Zhci90bXA, or <label>@base64/= for an empty value.",
	},
	{
		metric.BadEncoding,
		"The body is not compressed as its Content-Encoding header says, or it was cut short.",
		"Compress the body with gzip, snappy or zstd and name that in the header, or send neither.",
	},
	{
		metric.Malformed,
		"The body is not in the format that its Content-Type header names. The default is the text format, with one sample per line.",
		"With curl, send files with --data-binary @file; --data @file joins the lines.",
	},
	{
		metric.BadTimestamp,
		"A sample has a timestamp. Prometheus uses the time of the scrape instead.",
		"Leave timestamps out, or push with timestamps=drop, which ignores them. To push the time of an event, " +
			"use it as the value of a gauge such as backup_last_success_timestamp_seconds.",
	},
	{
		metric.BadName,
		"A metric or label name contains a character that is not allowed.",
		"Use letters, digits and underscores, or start the gateway with --push.enable-utf8-names.",
	},
	{
		metric.BadUTF8,
		"A label value or a help text is not valid UTF-8.",
		"Encode texts as UTF-8.",
	},
	{
		metric.BadValue,
		"A value does not fit the type of its metric: for example, the buckets of a histogram decrease, " +
			"or a counter pushed with merge=sum is below 0.",
		"Push the output of a client library, or check the TYPE line: a value that also goes down is a gauge.",
	},
	{
		metric.ReservedLabel,
		"A label has a name that the exposition uses itself: le on a histogram, quantile on a summary, or a name that begins with __.",
		"Rename the label, in the body and in the URL.",
	},
	{
		metric.DuplicateSeries,
		"The push contains the same series (name and labels) twice, or another group already has it.",
		"The message names the lines or the other group. Push a series once, or give the metrics or the group a label that differs.",
	},
	{
		metric.TypeConflict,
		"Another group, or the gateway itself, has a metric of the same name with another type.",
		"The message says which type the others have. Send the same TYPE line from everywhere, or rename the metric. " +
			"Deleting a group of the others does not help while they are pushed, and loses its metrics; " +
			"do it only if it is one of the same job that nothing pushes to anymore.",
	},
	{
		metric.SuffixCollision,
		"The name collides with the samples of a histogram or summary, which end in _bucket, _sum and _count.",
		"Rename one of the two metrics.",
	},
	{
		metric.WrongProtocol,
		"The body belongs to another protocol, such as remote write.",
		"Send remote write to a Prometheus server, and let that server scrape this gateway.",
	},
	{
		metric.TooLarge,
		"The push is larger than a limit.",
		"The message names the limit. Push fewer series at once, or push to several groups.",
	},
	{
		metric.BadOption,
		"An option of the push, such as ttl or merge, is unknown, has an invalid value, is given twice, or does not fit the method.",
		"The message names the option and lists the allowed values.",
	},
	{
		metric.BadMerge,
		"The push cannot be merged as requested. With merge=sum, every metric needs a type that can be summed, and buckets must be " +
			"of the same kind as the group's. Without merge=sum, a push cannot replace metrics that the group has summed.",
		"Give each metric its TYPE line, and push to a summed group with merge=sum. If the group's own metrics are the problem, " +
			"delete or replace the group; this loses its values.",
	},
	{
		metric.LimitExceeded,
		"The push, or its group with it, exceeds a limit of the operator: too many series or labels, or names or values that are too long.",
		"Push less, shorten labels, or spread the series over more groups. " +
			"The message names the limit; the operator sets it in the rules file or by a flag.",
	},
	{
		metric.QuotaExceeded,
		"With the push, more would be stored than the operator allows, in all or for the groups of a rule.",
		"Delete groups that are no longer needed, or have them expire with ttl. What is stored can always be replaced by something no larger.",
	},
	{
		metric.RateLimited,
		"This client pushes more often than the operator allows. The answer says in Retry-After when to try again.",
		"Push less often, or many groups in one request with POST /api/v1/push.",
	},
	{
		metric.Overloaded,
		"More pushes arrived than the gateway can take at the moment.",
		"Try again, as Retry-After says. If it happens often, spread the pushes over time, or give the gateway more processors or memory.",
	},
}
