package otlp

import (
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/protofield"
)

// What decoding takes at most, in bytes, beside byteMemory for each byte of the request. A message can be
// shorter than that.
const (
	byteMemory      = 24
	resourceMemory  = 1000
	metricMemory    = 700
	pointMemory     = 150
	histogramMemory = 800 // of a data point of a histogram
)

// memoryOf returns about how much memory decoding a request takes, in bytes.
func memoryOf(request []byte) (int64, error) {
	memory := byteMemory * int64(len(request))
	err := protofield.Each(request, func(x protofield.Field) error {
		if !x.Is(requestResourceMetrics, protowire.BytesType) {
			return nil
		}
		memory += resourceMemory
		return eachMetric(x.Bytes, func(message []byte) error {
			m, err := decodeDescription(message)
			memory += metricMemory
			switch m.kind {
			case metricHistogram, metricExponentialHistogram:
				memory += histogramMemory * int64(m.points)
			default:
				memory += pointMemory * int64(m.points)
			}
			return err
		})
	})
	return memory, err
}
