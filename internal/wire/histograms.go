package wire

import (
	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/protofield"
)

// HistogramKinds reports whether native and classic histograms are among a family's metrics,
// which AppendProtobufMetrics encoded.
func HistogramKinds(metrics []byte) (native, classic bool, err error) {
	err = protofield.Each(metrics, func(m protofield.Field) error {
		is, err := isNative(m.Bytes)
		native, classic = native || is, classic || !is
		return err
	})
	return native, classic, err
}

// AppendHistograms appends those of the metrics that are native histograms, or the others.
func AppendHistograms(dst, metrics []byte, native bool) ([]byte, error) {
	err := protofield.Each(metrics, func(m protofield.Field) error {
		is, err := isNative(m.Bytes)
		if is == native {
			dst = protowire.AppendTag(dst, familyMetric, protowire.BytesType)
			dst = protowire.AppendBytes(dst, m.Bytes)
		}
		return err
	})
	return dst, err
}

// isNative reports whether a metric is a native histogram for Prometheus' parser. That does
// not look at a float zero count alone, unlike metric.HistogramValue.Native.
func isNative(message []byte) (native bool, err error) {
	err = protofield.Each(message, func(x protofield.Field) error {
		if !x.Is(metricHistogram, protowire.BytesType) {
			return nil
		}
		return protofield.Each(x.Bytes, func(h protofield.Field) error {
			switch {
			case h.Is(histogramPositiveSpan, protowire.BytesType), h.Is(histogramNegativeSpan, protowire.BytesType),
				h.Is(histogramZeroThreshold, protowire.Fixed64Type) && h.Float() > 0,
				h.Is(histogramZeroCount, protowire.VarintType) && h.Bits > 0:
				native = true
			}
			return nil
		})
	})
	return native, err
}
