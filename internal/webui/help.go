package webui

import "pushgateway/internal/metric"

// helpReason explains a reason of rejections.
type helpReason struct {
	Reason  metric.Reason
	Meaning string
	Do      string
}

// helpReasons explains all reasons. A test holds it against metric.Reasons.
var helpReasons = []helpReason{
	{metric.BadPath, "The URL does not name a group: labels and values do not alternate, a name is not allowed, or base64 is broken.",
		"Write /metrics/job/<job>/<label>/<value>. A value with a slash goes in base64: path@base64/L3Zhci90bXA. An empty one is <label>@base64/=."},
	{metric.BadEncoding, "The body is not compressed as its header Content-Encoding says, or was cut short.",
		"Compress with gzip, snappy or zstd and name it, or send neither."},
	{metric.Malformed, "The body is not in the format that its header Content-Type says: by default the text format, one sample per line.",
		"With curl, send files with --data-binary @file; --data @file joins the lines."},
	{metric.BadTimestamp, "A sample carries a timestamp. Prometheus records the time of its scrape instead.",
		"Leave timestamps out, or push with timestamps=drop, which takes the samples without them. Push the time of an event as the value of a gauge, such as backup_last_success_timestamp_seconds."},
	{metric.BadName, "A metric or label name has a character that is not allowed.",
		"Use letters, digits and underscores, or start the gateway with --push.enable-utf8-names."},
	{metric.BadUTF8, "A label value or a help text is not UTF-8.",
		"Encode texts as UTF-8 before they are pushed."},
	{metric.BadValue, "A value does not fit the type of its metric, such as a histogram whose buckets do not add up, or with merge=sum a counter below 0.",
		"Push what the client library gives, or check the TYPE line: what also goes down is a gauge."},
	{metric.ReservedLabel, "A label has a name that the exposition needs itself: le on a histogram, quantile on a summary, or one that begins with __.",
		"Rename the label, in the body and in the URL."},
	{metric.DuplicateSeries, "The same series, name and labels, is twice in the push, or in another group already.",
		"The message names both groups. Give the groups a label that tells them apart, or delete the other one."},
	{metric.TypeConflict, "Another group, or the gateway itself, has the same metric name with another type.",
		"The message says who. Send the same TYPE line from everywhere, or delete the old group."},
	{metric.SuffixCollision, "The name is taken by the samples of a histogram or summary, which end in _bucket, _sum and _count.",
		"Rename one of the two."},
	{metric.WrongProtocol, "The body belongs to another protocol, such as remote write.",
		"Point remote_write at a Prometheus server, and let that scrape this gateway."},
	{metric.TooLarge, "The push is larger than a gateway takes.",
		"Push fewer series at once, or to several groups; the message names the bound."},
	{metric.BadOption, "An option of the push, such as ttl or merge, is unknown, has a value that cannot be read, is given twice, or does not fit the method.",
		"The message says which, and what it may be."},
	{metric.BadMerge, "The push cannot be merged in the way asked for. With merge=sum, a metric may have no type that adds up, or the group may hold what was not summed or has buckets of another kind. Without it, the push would replace a part of what the group has summed.",
		"The message says which. Mostly the push is to be changed and nothing is lost: give each metric its TYPE line, and push to a summed group with merge=sum. Only where what the group holds stands in the way, delete or replace the group; its values are gone then."},
}
