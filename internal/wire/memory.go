package wire

import (
	"bytes"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/protofield"
)

// What parsing a body takes at most, in bytes, until what it contains is stored.
const (
	byteMemory   = 3 // for each byte of the body
	familyMemory = 500
	labelMemory  = 40  // in protobuf, where a label can be as short as two bytes
	bucketMemory = 100 // likewise, of a bucket or quantile
)

// Memory returns about how much memory a body takes at most while it is parsed and applied, in
// bytes, and never less than enough. A body of many short families takes many times its size.
// Memory counts them only if the number of lines leaves open whether enough is enough.
func Memory(body []byte, f Format, enough int64) int64 {
	memory := byteMemory * int64(len(body))
	if f == Protobuf {
		memory += protobufMemory(body)
	} else if bound := memory + familyMemory*int64(1+bytes.Count(body, []byte{'\n'})); bound > enough {
		memory += familyMemory * int64(countNames(protofield.Alias(body)))
	}
	return max(memory, enough)
}

// countNames returns how many lines of a text are of another metric than the line before, which is no
// less than the number of metrics.
func countNames(text string) (count int) {
	last := "\n" // no name
	for len(text) > 0 {
		line := text
		if end := strings.IndexByte(text, '\n'); end >= 0 {
			line, text = text[:end], text[end+1:]
		} else {
			text = ""
		}
		line = strings.TrimPrefix(line, "# HELP ")
		line = strings.TrimPrefix(line, "# TYPE ")
		if len(line) > len(last) && line[:len(last)] == last && (line[len(last)] == ' ' || line[len(last)] == '{') {
			continue
		}
		count++
		last = line
		if end := strings.IndexAny(line, " {"); end > 0 {
			last = line[:end]
		}
	}
	return count
}

// protobufMemory returns what the messages of a body take beside their bytes. It stops where the
// body is not valid.
func protobufMemory(body []byte) (memory int64) {
	for len(body) > 0 {
		message, n := protowire.ConsumeBytes(body)
		if n < 0 {
			break
		}
		body = body[n:]
		memory += familyMemory
		_ = protofield.Each(message, func(x protofield.Field) error {
			if !x.Is(familyMetric, protowire.BytesType) {
				return nil
			}
			return protofield.Each(x.Bytes, func(x protofield.Field) error {
				switch {
				case x.Is(metricLabel, protowire.BytesType):
					memory += labelMemory
				case x.Is(metricSummary, protowire.BytesType):
					memory += bucketMemory * countAll(x.Bytes, summaryQuantile)
				case x.Is(metricHistogram, protowire.BytesType):
					memory += bucketMemory * countAll(x.Bytes, histogramBucket)
				}
				return nil
			})
		})
	}
	return memory
}

// countAll returns how many messages a message has in the field.
func countAll(message []byte, number protowire.Number) (count int64) {
	_ = protofield.Each(message, func(x protofield.Field) error {
		if x.Is(number, protowire.BytesType) {
			count++
		}
		return nil
	})
	return count
}
