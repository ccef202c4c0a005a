package main

import (
	"net/url"
	"slices"
	"time"
)

const (
	// fewGroups is what upstream can check in about a millisecond.
	fewGroups = 100
	// someGroups is what scrapes are measured with: 23 MB of text.
	someGroups = 10_000
	// manyGroups is where a cost that grows with the store shows.
	manyGroups = 100_000
	// millionGroups is measured only on request, with small groups.
	millionGroups = 1_000_000
)

// A measure is one row of the table. Its sides are started before its rounds.
// In each round each side is measured once; the ratio is that of ours to the
// reference or, if there is none, to upstream.
type measure struct {
	name      string // what -only matches
	what      string
	reference side
	upstream  side
	ours      side
	rounds    int                  // at most
	unit      func(float64) string // duration if nil
	goal      goal
	onRequest bool // see choose
}

// measures returns all measures, in the order of the table.
func measures() []measure { return slices.Concat(usualMeasures(), overloadMeasures()) }

func usualMeasures() []measure {
	const sumRules = "rules:\n- match: '{}'\n  merge: sum\n"
	interval := []string{"--persistence.sync=interval", "--persistence.interval=1s"}
	large := ours(1).inFile().filled(fillBesideLarge)
	slowFloor, slowOurs := floor().inFile().withSlowSync(), ours(fewGroups).inFile().withSlowSync()
	inOpenMetrics := ours(someGroups, "--web.enable-openmetrics")
	hundredThousand, million := ours(manyGroups).filled(fillGauges), ours(millionGroups).filled(fillGauges)

	return []measure{{
		name: "push-latency", what: "checked push, 1 connection, median latency, 100 groups",
		reference: pushLatency(0.5, floor()),
		upstream:  pushLatency(0.5, upstream(fewGroups)),
		ours:      pushLatency(0.5, ours(fewGroups)),
		rounds:    400, goal: atMost(1.6, "× floor"),
	}, {
		name: "push-rate", what: "checked pushes per second, 8 connections, 100 groups",
		reference: pushRate(8, floor()), upstream: pushRate(8, upstream(fewGroups)), ours: pushRate(8, ours(fewGroups)),
		rounds: 80, unit: rate, goal: atLeast(0.6, "× floor"),
	}, {
		name: "push-otlp", what: "the same by OTLP, 1 connection, median latency, 100 groups, against the text format",
		reference: pushLatency(0.5, ours(fewGroups)), ours: exportLatency(ours(fewGroups, "--otlp.group-by=service.instance.id")),
		rounds: 80, goal: atMost(2, "× text"),
	}, {
		name: "push-many-groups", what: "push, 1 connection, median latency, 100,000 groups against 100",
		reference: pushLatency(0.5, ours(fewGroups)), ours: pushLatency(0.5, ours(manyGroups)),
		rounds: 250, goal: atMost(1.25, "× 100 groups"),
	}, {
		name: "scrape-unchanged-plain", what: "scrape of 10,000 groups, unchanged, plain",
		upstream: scrapes(plain, asText, upstream(someGroups)), ours: scrapes(plain, asText, ours(someGroups)),
		rounds: 8, goal: atMost(1.0/20, "of upstream"),
	}, {
		name: "scrape-unchanged-gzip", what: "scrape of 10,000 groups, unchanged, gzip",
		upstream: scrapes(gzipped, asText, upstream(someGroups)), ours: scrapes(gzipped, asText, ours(someGroups)),
		rounds: 8, goal: atMost(1.0/40, "of upstream"),
	}, {
		name: "scrape-changed-gzip", what: "scrape of 10,000 groups, 1 % pushed since the last one, gzip",
		upstream: scrapesAfterPushes(someGroups/100, gzipped, upstream(someGroups)),
		ours:     scrapesAfterPushes(someGroups/100, gzipped, ours(someGroups)),
		rounds:   8, goal: atMost(1.0/10, "of upstream"),
	}, {
		name: "scrape-openmetrics-plain", what: "OpenMetrics scrape of 10,000 groups, unchanged, plain",
		reference: scrapes(plain, asText, inOpenMetrics), ours: scrapes(plain, asOpenMetrics, inOpenMetrics),
		rounds: 20, goal: atMost(1.5, "× text"),
	}, {
		name: "scrape-openmetrics-gzip", what: "OpenMetrics scrape of 10,000 groups, unchanged, gzip",
		reference: scrapes(gzipped, asText, inOpenMetrics), ours: scrapes(gzipped, asOpenMetrics, inOpenMetrics),
		rounds: 20, goal: atMost(1.5, "× text"),
	}, {
		name: "push-under-scrape-gzip", what: "push, median latency, while another client scrapes without pause, 10,000 groups, gzip",
		reference: pushLatency(0.5, ours(someGroups)), ours: whileScraped(gzipped, pushLatency(0.5, ours(someGroups))),
		rounds: 30, goal: atMost(2, "× no scrapes"),
	}, {
		name: "push-under-scrape-plain", what: "push, median latency, while another client scrapes without pause, 10,000 groups, plain",
		reference: pushLatency(0.5, ours(someGroups)), ours: whileScraped(plain, pushLatency(0.5, ours(someGroups))),
		rounds: 30, goal: atMost(2, "× no scrapes"),
	}, {
		name: "memory", what: "resident memory, 10,000 groups, after scrapes",
		upstream: residentMemory(true, upstream(someGroups)), ours: residentMemory(true, ours(someGroups)),
		rounds: 1, unit: size, goal: atMost(1.0/3, "of upstream"),
	}, {
		name: "memory-many-groups", what: "resident memory, 100,000 groups, before the first scrape",
		reference: constant(300e6), ours: residentMemory(false, ours(manyGroups)),
		rounds: 1, unit: size, goal: atMost(1, "of 300 MB"),
	}, {
		name: "memory-many-groups-scraped", what: "resident memory, 100,000 groups, after text scrapes, plain and gzip",
		reference: constant(450e6), ours: residentMemory(true, ours(manyGroups)),
		rounds: 1, unit: size, goal: atMost(1, "of 450 MB"),
	}, {
		name: "memory-push-text", what: "peak memory beyond what is stored, one push of 400,000 series, text",
		reference: bodySize(largePush(asText)),
		upstream:  peakOfPush(largePush(asText), upstream(1)), ours: peakOfPush(largePush(asText), ours(1, selfMetrics)),
		rounds: 1, unit: size, goal: atMost(8, "× body"),
	}, {
		name: "memory-push-openmetrics", what: "peak memory beyond what is stored, one push of 400,000 series, OpenMetrics",
		reference: bodySize(largePush(asOpenMetrics)),
		upstream:  peakOfPush(largePush(asOpenMetrics), upstream(1)), ours: peakOfPush(largePush(asOpenMetrics), ours(1, selfMetrics)),
		rounds: 1, unit: size, goal: atMost(8, "× body"),
	}, {
		name: "memory-push-protobuf", what: "peak memory beyond what is stored, one push of 400,000 series, protobuf",
		reference: bodySize(largePush(asProtobuf)),
		upstream:  peakOfPush(largePush(asProtobuf), upstream(1)), ours: peakOfPush(largePush(asProtobuf), ours(1, selfMetrics)),
		rounds: 1, unit: size, goal: atMost(8, "× body"),
	}, {
		name: "memory-push-short", what: "peak memory beyond what is stored, one push of 32 MB of the line `x 1`, gzip",
		reference: bodySize(shortLines),
		ours:      peakOfPush(shortLines, ours(1, selfMetrics)), // upstream takes 15 GB
		rounds:    1, unit: size, goal: atMost(8, "× decompressed body"),
	}, {
		name: "memory-after-push", what: "resident memory beyond what is stored, within half a minute after that push, text",
		reference: bodySize(largePush(asText)), ours: settledAfterPush(largePush(asText), ours(1, selfMetrics)),
		rounds: 1, unit: size, goal: atMost(3, "× body"),
	}, {
		name: "durable-rate-floor", what: "pushes on disk per second, 64 connections, against the disk (this row or the next reaches its goal)",
		reference: pushRate(64, floor().inFile()), ours: pushRate(64, ours(fewGroups).inFile()),
		rounds: 30, unit: rate, goal: atLeast(0.35, "× append and fdatasync"),
	}, {
		name: "durable-rate-memory", what: "pushes on disk per second, 64 connections, against memory",
		reference: pushRate(64, ours(fewGroups)), ours: pushRate(64, ours(fewGroups).inFile()),
		rounds: 30, unit: rate, goal: atLeast(0.8, "× in memory"),
	}, {
		name: "durable-latency", what: "push on disk, 1 connection, median latency",
		reference: sum(1.3, pushLatency(0.5, floor().inFile()), pushLatency(0.5, ours(fewGroups))),
		ours:      pushLatency(0.5, ours(fewGroups).inFile()),
		rounds:    60, goal: atMost(1, "× (1.3 × append and fdatasync + in memory)"),
	}, {
		name: "durable-interval-rate", what: "pushes per second, synced at intervals, 64 connections",
		reference: pushRate(64, ours(fewGroups)),
		ours:      pushRate(64, ours(fewGroups).inFile(interval...)),
		rounds:    30, unit: rate, goal: atLeast(0.85, "× in memory"),
	}, {
		name: "durable-slow-latency", what: "push on a disk with 1 ms more per sync, 1 connection, median latency",
		reference: sum(1.3, pushLatency(0.5, slowFloor), pushLatency(0.5, ours(fewGroups))),
		ours:      pushLatency(0.5, slowOurs),
		rounds:    60, goal: atMost(1, "× (1.3 × append and fdatasync + in memory)"),
	}, {
		name: "durable-slow-rate", what: "pushes per second on a disk with 1 ms more per sync, 64 connections",
		reference: pushRate(64, slowFloor), ours: pushRate(64, slowOurs),
		rounds: 30, unit: rate, goal: atLeast(0.8, "× append and fdatasync"),
	}, {
		name: "durable-neighbor-median", what: "push on disk beside a group of 400,000 series, median latency",
		reference: pushLatency(0.5, ours(1).inFile()), ours: pushLatency(0.5, large),
		rounds: 60, goal: atMost(1.2, "× without that group"),
	}, {
		name: "durable-neighbor-p99", what: "push on disk beside a group of 400,000 series, 99th percentile",
		reference: pushLatency(0.99, ours(1).inFile()), ours: pushLatency(0.99, large),
		rounds: 60, goal: atMost(1.2, "× without that group"),
	}, {
		name: "replicas-rate", what: "pushes per second, 64 connections, one replica on PostgreSQL against the file",
		reference: pushRate(64, ours(fewGroups).inFile()), ours: pushRate(64, ours(fewGroups).inDatabase(1)),
		rounds: 30, unit: rate, goal: atLeast(0.5, "× in the file"),
	}, {
		name: "replicas-three-rate", what: "pushes per second, 64 connections, three replicas against one",
		reference: pushRate(64, ours(fewGroups).inDatabase(1)), ours: pushRate(64, ours(fewGroups).inDatabase(3)),
		rounds: 30, unit: rate, goal: atLeast(1, "× one replica"),
	}, {
		name: "replicas-three-slow-rate", what: "the same, with a database whose syncs take 1 ms longer",
		reference: pushRate(64, ours(fewGroups).inDatabase(1).withSlowSync()), ours: pushRate(64, ours(fewGroups).inDatabase(3).withSlowSync()),
		rounds: 30, unit: rate, goal: atLeast(1, "× one replica"),
	}, {
		name: "replicas-three-small-rate", what: "pushes per second, 64 connections, three replicas against one, each with a quarter of a processor of its own",
		reference: pushRate(64, ours(fewGroups).inDatabase(1).onSmallMachines()), ours: pushRate(64, ours(fewGroups).inDatabase(3).onSmallMachines()),
		rounds: 30, unit: rate, goal: atLeast(1, "× one replica"),
	}, {
		name: "replicas-median", what: "push at 500 pushes per second, median latency, one replica on PostgreSQL",
		reference: constant(20e-3), ours: pacedLatency(0.5, 500, ours(fewGroups).inDatabase(1)),
		rounds: 10, goal: atMost(1, "of 20 ms"),
	}, {
		name: "replicas-p99", what: "push at 500 pushes per second, 99th percentile, three replicas on PostgreSQL",
		reference: constant(100e-3), ours: pacedLatency(0.99, 500, ours(fewGroups).inDatabase(3)),
		rounds: 10, goal: atMost(1, "of 100 ms"),
	}, {
		name: "file-size", what: "size of the file with 10,000 groups, each overwritten 20 times",
		reference: fileSize(0, ours(someGroups).inFile(interval...)),
		ours:      fileSize(20, ours(someGroups).inFile(interval...)),
		rounds:    1, unit: size, goal: atMost(1.5, "× the file before"),
	}, {
		name: "start", what: "start with a file of 100,000 groups until ready",
		reference: constant(0.5), ours: startTime(1, ours(manyGroups).inFile(interval...)),
		rounds: 5, goal: atMost(1, "of 500 ms"),
	}, {
		name: "push-summed", what: "summed push, 1 connection, median latency, 100 groups",
		reference: pushLatency(0.5, ours(fewGroups)), ours: pushLatency(0.5, ours(fewGroups).withRules(sumRules)),
		rounds: 250, goal: atMost(1.5, "× replacing push"),
	}, {
		name: "push-bulk-memory", what: "push to 10,000 groups in one request, in memory",
		reference: constant(1), ours: bulkPush(someGroups, ours(0)),
		rounds: 12, goal: atMost(1, "of 1 s"),
	}, {
		name: "push-bulk-disk", what: "push to 10,000 groups in one request, on disk",
		reference: constant(1), ours: bulkPush(someGroups, ours(0).inFile()),
		rounds: 12, goal: atMost(1, "of 1 s"),
	}, {
		name: "page-list", what: "list of 100,000 groups after a push, to the first byte",
		reference: constant(150e-3), ours: firstByte("/", hundredThousand),
		rounds: 10, goal: atMost(1, "of 150 ms"),
	}, {
		name: "page-search", what: "search in 100,000 groups after a push, to the first byte",
		reference: constant(150e-3), ours: firstByte("/?search=db-10012", hundredThousand),
		rounds: 10, goal: atMost(1, "of 150 ms"),
	}, {
		name: "page-selector", what: "PromQL selector in 100,000 groups after a push, to the first byte",
		reference: constant(150e-3), ours: firstByte("/?search="+url.QueryEscape(`{instance=~".*7.*"}`)+"&sort=-pushed", hundredThousand),
		rounds: 10, goal: atMost(1, "of 150 ms"),
	}, {
		name:      "push-beside-large",
		what:      "longest wait of a push while another client pushes 1,000,000 metric families twice, and scrapes, beyond that of a bare server",
		reference: constant(100e-3), ours: longestWaitBesideLarge(ours(fewGroups), floor()),
		rounds: 1, goal: atMost(1, "of 100 ms"),
	}, {
		name: "push-beside-large-disk", what: "the same, on disk",
		reference: constant(100e-3), ours: longestWaitBesideLarge(ours(fewGroups).inFile(), floor().inFile()),
		rounds: 1, goal: atMost(1, "of 100 ms"),
	}, {
		name: "expire", what: "longest wait of a push while 100,000 groups expire",
		reference: constant(50e-3), ours: longestWaitWhileExpiring,
		rounds: 1, goal: atMost(1, "of 50 ms"),
	}, {
		name: "million-push", what: "push, 1 connection, median latency, 1,000,000 groups against 100,000",
		reference: pushLatency(0.5, hundredThousand), ours: pushLatency(0.5, million),
		rounds: 250, goal: atMost(1.25, "× 100,000 groups"), onRequest: true,
	}, {
		name: "million-scrape", what: "scrape per group, gzip, 1,000,000 groups of 3 gauges against 100,000",
		reference: perGroup(scrapes(gzipped, asText, hundredThousand), manyGroups),
		ours:      perGroup(scrapes(gzipped, asText, million), millionGroups),
		rounds:    8, goal: atMost(1.25, "× 100,000 groups"), onRequest: true,
	}, {
		name: "million-start", what: "start per group, 1,000,000 groups of 3 gauges against 100,000",
		reference: startTime(manyGroups, hundredThousand.inFile()), ours: startTime(millionGroups, million.inFile()),
		rounds: 5, goal: atMost(1.25, "× 100,000 groups"), onRequest: true,
	}}
}

// How long one side is under load in one round. The rounds are short, as the
// speed of a shared machine changes within seconds.
const (
	pushTurn   = 40 * time.Millisecond
	rateTurn   = 200 * time.Millisecond
	scrapeTurn = 200 * time.Millisecond
	pacedTurn  = time.Second
)
