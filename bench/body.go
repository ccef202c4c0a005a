package main

import (
	"fmt"
	"math/rand/v2"
	"strconv"
)

const (
	// pushedPrefix begins the name of every pushed family.
	pushedPrefix = "job_"
	// pushedSamples is the number of sample lines in a body: 5 gauges, 2
	// counters of 5 series, and a histogram's 11 buckets, +Inf, sum and count.
	pushedSamples = 5 + 2*5 + 11 + 3

	// bodyCount bodies with different values are made beforehand and used in
	// turn. They are few enough to stay in the processor's cache, so that the
	// load generator takes little time from the servers it shares two cores with.
	bodyCount = 128

	// seed makes every run push the same values to the same groups.
	seed = 20240229
)

// gauges, counters, stages and bounds describe the one shape of all bodies.
func gauges() [5][2]string {
	return [5][2]string{
		{"job_last_success_timestamp_seconds", "Time of last success."},
		{"job_duration_seconds", "Time taken."},
		{"job_size_bytes", "Size of output."},
		{"job_files", "Files written."},
		{"job_free_bytes", "Free space."},
	}
}

func counters() [2][2]string {
	return [2][2]string{
		{"job_read_bytes_total", "Bytes read."},
		{"job_retries_total", "Retries."},
	}
}

func stages() [5]string { return [5]string{"scan", "dump", "pack", "seal", "send"} }

func bounds() [11]string {
	return [11]string{"0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10"}
}

// makeBodies returns n bodies of the same families and series with different
// values, the same ones at each call.
func makeBodies(n int) [][]byte {
	rng := rand.New(rand.NewPCG(seed, 1))
	bodies := make([][]byte, n)
	for i := range bodies {
		bodies[i] = appendBody(nil, rng)
	}
	return bodies
}

// appendBody appends one push in the text format, about 1.7 KB.
func appendBody(dst []byte, rng *rand.Rand) []byte {
	number := func(v float64) {
		dst = strconv.AppendFloat(dst, v, 'g', -1, 64)
		dst = append(dst, '\n')
	}
	header := func(name, help, kind string) {
		dst = fmt.Appendf(dst, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, kind)
	}

	values := [5]float64{
		1.7e9 + float64(rng.IntN(1e8))/1e3,
		float64(rng.IntN(1e7)) / 1e3,
		float64(rng.Int64N(1e12)),
		float64(rng.IntN(1e6)),
		float64(rng.Int64N(1e12)),
	}
	for i, g := range gauges() {
		header(g[0], g[1], "gauge")
		dst = append(append(dst, g[0]...), ' ')
		number(values[i])
	}
	for _, c := range counters() {
		header(c[0], c[1], "counter")
		for _, stage := range stages() {
			dst = fmt.Appendf(dst, "%s{stage=%q} ", c[0], stage)
			number(float64(rng.IntN(1e9)))
		}
	}

	const histogram = "job_step_seconds"
	header(histogram, "Time per step.", "histogram")
	count := 0
	for _, le := range bounds() {
		count += rng.IntN(50)
		dst = fmt.Appendf(dst, "%s_bucket{le=%q} %d\n", histogram, le, count)
	}
	count += rng.IntN(5)
	dst = fmt.Appendf(dst, "%s_bucket{le=\"+Inf\"} %d\n", histogram, count)
	dst = append(dst, histogram+"_sum "...)
	number(float64(count) * rng.Float64())
	return fmt.Appendf(dst, "%s_count %d\n", histogram, count)
}

// appendPath appends the push URL's path of a group.
func appendPath(dst []byte, group int) []byte {
	dst = append(dst, "/metrics/job/etl-"...)
	dst = strconv.AppendInt(dst, int64(group%10), 10)
	dst = append(dst, "/instance/db-"...)
	return strconv.AppendInt(dst, int64(1_000_000+group), 10)
}

// appendPush appends a whole request that replaces a group by a body.
func appendPush(dst []byte, group int, body []byte) []byte {
	dst = append(dst, "PUT "...)
	dst = appendPath(dst, group)
	dst = append(dst, " HTTP/1.1\r\nHost: bench\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: "...)
	dst = strconv.AppendInt(dst, int64(len(body)), 10)
	dst = append(dst, "\r\n\r\n"...)
	return append(dst, body...)
}
