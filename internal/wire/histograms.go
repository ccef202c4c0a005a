package wire

import (
	"google.golang.org/protobuf/encoding/protowire"
)

// HistogramKinds reports whether native and classic histograms are among a family's metrics,
// which AppendProtobufMetrics encoded.
func HistogramKinds(metrics []byte) (native, classic bool, err error) {
	err = eachField(metrics, func(m field) error {
		is, err := isNative(m.bytes)
		native, classic = native || is, classic || !is
		return err
	})
	return native, classic, err
}

// AppendHistograms appends those of the metrics that are native histograms, or the others.
func AppendHistograms(dst, metrics []byte, native bool) ([]byte, error) {
	err := eachField(metrics, func(m field) error {
		is, err := isNative(m.bytes)
		if is == native {
			dst = protowire.AppendTag(dst, familyMetric, protowire.BytesType)
			dst = protowire.AppendBytes(dst, m.bytes)
		}
		return err
	})
	return dst, err
}

// isNative reports whether a metric is a native histogram for Prometheus' parser. That does
// not look at a float zero count alone, unlike metric.HistogramValue.Native.
func isNative(message []byte) (native bool, err error) {
	err = eachField(message, func(x field) error {
		if !x.is(metricHistogram, protowire.BytesType) {
			return nil
		}
		return eachField(x.bytes, func(h field) error {
			switch {
			case h.is(histogramPositiveSpan, protowire.BytesType), h.is(histogramNegativeSpan, protowire.BytesType),
				h.is(histogramZeroThreshold, protowire.Fixed64Type) && h.float() > 0,
				h.is(histogramZeroCount, protowire.VarintType) && h.bits > 0:
				native = true
			}
			return nil
		})
	})
	return native, err
}
