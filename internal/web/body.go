package web

import (
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// Media types of pushed bodies. Anything else is read as the text format.
const (
	protobufType    = "application/vnd.google.protobuf"
	openMetricsType = "application/openmetrics-text"
)

// bodyReader reads pushed bodies. It reuses its buffers: the strings that it gives to a
// sink are valid until the next read.
type bodyReader struct {
	body       []byte
	compressed []byte // of zstd
	parser     wire.Parser
	gzip       gzip.Reader
	snappy     *snappy.Reader // nil until it is needed
	zstd       *zstd.Decoder  // likewise
}

// maxBodySize bounds a body, as it is sent and decompressed: a few kilobytes can expand
// to gigabytes.
const maxBodySize = 256 << 20

// maxIdleBuffer bounds the memory of an idle bodyReader.
const maxIdleBuffer = 128 << 10

// reusable reports whether the reader should read another body.
func (b *bodyReader) reusable() bool { return cap(b.body) <= maxIdleBuffer }

// read reads and parses the body of a push and gives its families to the sink. memory is
// what the push has of the memory for pushes; read enlarges it before it reads. The error
// is that of the sink, of memory, or a *metric.RejectionError about the body.
func (b *bodyReader) read(r *http.Request, memory *reservation, names metric.ValidationScheme, sink wire.Sink) error {
	if isRemoteWrite(r.Header) {
		return metric.Reject(metric.WrongProtocol, "this is a Prometheus remote write request, which a Pushgateway does not accept: "+
			"point remote_write at a Prometheus server or another receiver, and let Prometheus scrape this gateway")
	}
	if err := memory.grow(r.Context(), r.ContentLength); err != nil {
		return err
	}
	if err := b.decompress(r, func(size int) error { return memory.grow(r.Context(), int64(size)) }); err != nil {
		return err
	}
	err := b.parser.ParseTo(b.body, formatOf(r.Header), names, sink)
	if rejection, ok := errors.AsType[*metric.RejectionError](err); ok && rejection.Reason == metric.Malformed {
		addHint(rejection, b.body, r.Header, names)
	}
	return err
}

// isRemoteWrite reports whether a request has the headers that the remote write protocol
// demands. A compression is among them.
func isRemoteWrite(h http.Header) bool {
	encoding := h.Get("Content-Encoding")
	return encoding != "" && (h.Get("X-Prometheus-Remote-Write-Version") != "" ||
		strings.HasPrefix(h.Get("Content-Type"), "application/x-protobuf") && strings.EqualFold(encoding, "snappy"))
}

// formatOf returns the format that the Content-Type header says.
func formatOf(h http.Header) wire.Format {
	contentType := h.Get("Content-Type")
	if strings.HasPrefix(contentType, "text/") {
		return wire.Text // no need to look closer
	}
	mediaType, params, err := mime.ParseMediaType(contentType)
	switch {
	case err != nil: // such as none at all
	case mediaType == protobufType && params["encoding"] == "delimited" && params["proto"] == "io.prometheus.client.MetricFamily":
		return wire.Protobuf
	case mediaType == openMetricsType:
		return wire.OpenMetrics
	}
	return wire.Text
}

// decompress reads the whole body. It calls grow with the size before it takes more
// memory. An unknown encoding counts as none: clients put other things in that header.
func (b *bodyReader) decompress(r *http.Request, grow func(size int) error) error {
	encoding := r.Header.Get("Content-Encoding")
	var err error
	switch strings.ToLower(encoding) {
	case "gzip":
		if err = b.gzip.Reset(r.Body); err == nil {
			b.body, err = readAll(b.body[:0], &b.gzip, 0, grow)
		}
	case "snappy":
		if b.snappy == nil {
			b.snappy = snappy.NewReader(nil)
		}
		b.snappy.Reset(r.Body)
		b.body, err = readAll(b.body[:0], b.snappy, 0, grow)
	case "zstd":
		if b.compressed, err = readAll(b.compressed[:0], r.Body, r.ContentLength, grow); err == nil {
			err = b.decompressZstd(grow)
		}
		if cap(b.compressed) > maxIdleBuffer {
			b.compressed = nil
		}
	default:
		encoding = ""
		b.body, err = readAll(b.body[:0], r.Body, r.ContentLength, grow)
	}
	_, unavailable := errors.AsType[*store.UnavailableError](err)
	switch {
	case err == nil:
		return nil
	case unavailable, reasonOf(err) != "": // of grow
		b.body = nil
		return err
	case errors.Is(err, errTooLarge):
		b.body = nil
		return metric.Reject(metric.TooLarge,
			"the body is larger than the limit of %d MiB, decompressed: push less, in several groups if need be",
			maxBodySize>>20)
	case encoding == "":
		return metric.Reject(metric.Malformed, "read the body: %v", err)
	}
	fix := "send the body compressed with it, or without that header"
	if strings.EqualFold(encoding, "snappy") {
		fix = "send the body in the framing format of snappy (in Go snappy.NewBufferedWriter), not in the block format, or " +
			"without that header"
	}
	return metric.Reject(metric.BadEncoding, "the body could not be decompressed as its header Content-Encoding: %s says: %v; %s",
		encoding, err, fix)
}

// errTooLarge says that a body is larger than maxBodySize.
var errTooLarge = errors.New("the body is too large")

// readAll appends what r has to dst, which is empty. size is how much that is, or not
// positive if that is not known. Before it takes more memory than dst has, it calls grow
// with the new size.
func readAll(dst []byte, r io.Reader, size int64, grow func(size int) error) ([]byte, error) {
	if size > maxBodySize {
		return dst, errTooLarge
	}
	if size >= int64(cap(dst)) {
		if err := grow(int(size)); err != nil {
			return dst, err
		}
		dst = make([]byte, 0, size+1) // with room to see the end
	}
	// A large body of unknown size is read in pieces and joined at the end: a buffer
	// that grows would be copied, and take twice the memory at the end.
	const maxGrown = 1 << 20
	var pieces [][]byte
	total := 0
	for {
		if len(dst) == cap(dst) {
			if err := grow(total + min(max(total, 512), 2*maxGrown)); err != nil {
				return dst, err
			}
			if cap(dst) >= maxGrown {
				pieces = append(pieces, dst)
				dst = make([]byte, 0, 2*maxGrown)
			} else {
				dst = append(dst, 0)[:len(dst)]
			}
		}
		n, err := r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+n]
		if total += n; total > maxBodySize {
			return dst[:0], errTooLarge
		}
		switch {
		case err == io.EOF && len(pieces) == 0:
			return dst, nil
		case err == io.EOF:
			all := make([]byte, 0, total)
			for _, piece := range append(pieces, dst) {
				all = append(all, piece...)
			}
			return all, nil
		case err != nil:
			return dst, err
		}
	}
}

// decompressZstd decompresses what is in b.compressed. The memory of the decoder is that
// of the result, however large a window or content the frames declare.
func (b *bodyReader) decompressZstd(grow func(size int) error) error {
	if b.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(math.MaxInt64), zstd.WithDecoderMaxWindow(zstd.MaxWindowSize), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
		b.zstd = z
	}
	// The decoder fills no more than the capacity of its destination, so one that is
	// too small is doubled. That a frame declares its size is no reason to believe it,
	// but a block of 3 bytes or more has at most 128 KiB.
	limit := min(maxBodySize+1, (len(b.compressed)/3+1)<<17)
	size := min(max(cap(b.body), 4*len(b.compressed), 4<<10), limit)
	for {
		if cap(b.body) < size {
			if err := grow(size); err != nil {
				return err
			}
			b.body = make([]byte, 0, size)
		}
		body, err := b.zstd.DecodeAll(b.compressed, b.body[:0])
		switch {
		case err == nil && len(body) > maxBodySize:
			return errTooLarge
		case err == nil:
			b.body = body
			return nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !strings.Contains(err.Error(), "output bigger than max block size"):
			return err // the second one, too, says that there is no room
		case size > maxBodySize:
			return errTooLarge
		case size == limit:
			return err
		}
		size = min(2*max(size, cap(b.body)), limit)
	}
}
