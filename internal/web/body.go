package web

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// Media types of pushed bodies. Anything else is tried as the text format.
const (
	protobufType    = "application/vnd.google.protobuf"
	openMetricsType = "application/openmetrics-text"
)

// bodyReader reads pushed bodies. It keeps its buffers from one to the next: what
// it returns aliases them and is overwritten by the next read.
type bodyReader struct {
	buffer bytes.Buffer
	text   wire.TextParser
	gzip   gzip.Reader
}

// maxBodySize is how large a body may be once it is decompressed. Nobody pushes as
// much; a few kilobytes can expand to gigabytes.
const maxBodySize = 256 << 20

// maxIdleBuffer bounds what an idle bodyReader holds on to: what a body of the size
// was parsed to takes many times as much.
const maxIdleBuffer = 128 << 10

// reusable reports whether the reader should serve another body.
func (b *bodyReader) reusable() bool { return b.buffer.Cap() <= maxIdleBuffer }

// read reads and parses the body of a push. What is wrong with the body is a
// *metric.RejectionError.
func (b *bodyReader) read(r *http.Request, names metric.ValidationScheme) ([]metric.Family, error) {
	if isRemoteWrite(r.Header) {
		return nil, metric.Reject(metric.WrongProtocol,
			"this is a Prometheus remote write request, which a Pushgateway does not take: point remote_write at a Prometheus server or another receiver, and let Prometheus scrape this gateway")
	}
	if err := b.decompress(r); err != nil {
		return nil, err
	}
	families, err := b.parse(r.Header, names)
	if err != nil {
		if hint := b.hint(r.Header); hint != "" {
			err = metric.Reject(metric.Malformed, "%v; %s", err, hint)
		}
		return nil, err
	}
	return families, nil
}

// isRemoteWrite goes by the headers that the remote write protocol demands, a
// compression among them.
func isRemoteWrite(h http.Header) bool {
	encoding := h.Get("Content-Encoding")
	return encoding != "" && (h.Get("X-Prometheus-Remote-Write-Version") != "" ||
		strings.HasPrefix(h.Get("Content-Type"), "application/x-protobuf") && strings.EqualFold(encoding, "snappy"))
}

// decompress reads the whole body into the buffer.
func (b *bodyReader) decompress(r *http.Request) error {
	b.buffer.Reset()
	encoding := r.Header.Get("Content-Encoding")
	body, err := b.decompressor(strings.ToLower(encoding), r.Body)
	if err == nil {
		_, err = b.buffer.ReadFrom(io.LimitReader(body, maxBodySize+1))
	}
	switch {
	case err == nil && b.buffer.Len() <= maxBodySize:
		return nil
	case err == nil:
		b.buffer = bytes.Buffer{}
		return metric.Reject(metric.TooLarge, "the body is larger than %d MiB, decompressed: push less, in several groups if need be", maxBodySize>>20)
	}
	if body == nil || body != io.Reader(r.Body) {
		return metric.Reject(metric.BadEncoding, "the body is not what its header Content-Encoding: %s says: %v", encoding, err)
	}
	return metric.Reject(metric.Malformed, "read the body: %v", err)
}

// decompressor returns a reader of what body holds compressed. An encoding that
// is not known is taken for none, as clients put other things in that header.
func (b *bodyReader) decompressor(encoding string, body io.Reader) (io.Reader, error) {
	switch encoding {
	case "gzip":
		return &b.gzip, b.gzip.Reset(body)
	case "snappy":
		return snappy.NewReader(body), nil
	case "zstd":
		z, err := zstd.NewReader(body, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, err
		}
		return z, nil
	}
	return body, nil
}

func (b *bodyReader) parse(h http.Header, names metric.ValidationScheme) ([]metric.Family, error) {
	contentType := h.Get("Content-Type")
	if strings.HasPrefix(contentType, "text/") {
		contentType = "" // no need to look closer
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil: // such as none at all
	case mediaType == protobufType && params["encoding"] == "delimited" && params["proto"] == "io.prometheus.client.MetricFamily":
		return wire.ParseProtobuf(b.buffer.Bytes())
	case mediaType == openMetricsType && b.buffer.Len() > 0:
		return wire.ParseOpenMetrics(strings.TrimPrefix(wire.Alias(b.buffer.Bytes()), "\ufeff"), names)
	}
	b.text.Names = names
	return b.text.Parse(wire.Alias(b.buffer.Bytes()))
}

// hint tells what may be behind a body that could not be parsed.
func (b *bodyReader) hint(h http.Header) string {
	body := b.buffer.Bytes()
	contentType := h.Get("Content-Type")
	for _, magic := range []struct{ prefix, encoding string }{
		{"\x1f\x8b", "gzip"},
		{"\x28\xb5\x2f\xfd", "zstd"},
		{"\xff\x06\x00\x00sNaPpY", "snappy"},
	} {
		if bytes.HasPrefix(body, []byte(magic.prefix)) {
			return fmt.Sprintf("the body looks compressed: send it with the header Content-Encoding: %s", magic.encoding)
		}
	}
	isProtobuf := strings.HasPrefix(contentType, protobufType)
	if families, err := wire.ParseProtobuf(body); !isProtobuf && err == nil && len(families) > 0 && families[0].Name != "" {
		return "the body looks like protobuf: send it with the header Content-Type: " + protobufType +
			"; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	}
	switch encoding := h.Get("Content-Encoding"); strings.ToLower(encoding) {
	case "", "identity", "gzip", "snappy", "zstd":
	default:
		return fmt.Sprintf("the header Content-Encoding: %s is none that is known here, so the body was read as it is", encoding)
	}
	switch {
	case isProtobuf:
		return "the header Content-Type says that the body is protobuf: leave it out to push the text format"
	case strings.HasPrefix(contentType, "multipart/form-data"):
		return "the body is a form with parts: with curl, use --data-binary @file instead of -F"
	case strings.HasPrefix(contentType, "application/x-www-form-urlencoded") && !bytes.Contains(body, []byte("\n")) && len(body) > 0:
		return "if several lines were meant: curl's --data @file joins them, --data-binary @file does not"
	}
	return ""
}
