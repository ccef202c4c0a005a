package web

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math"
	"mime"
	"net/http"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/limits"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// Media types of pushed bodies. Anything else is read as the text format.
const (
	protobufType    = "application/vnd.google.protobuf"
	openMetricsType = "application/openmetrics-text"
)

// bodyReader decompresses and parses pushed bodies. It reuses its buffers: strings
// that it gives to a sink are valid until it reads the next body, and only as long as the
// received bytes stay unchanged.
type bodyReader struct {
	body   []byte // decompressed
	parser wire.Parser
	source bytes.Reader
	gzip   gzip.Reader
	snappy *snappy.Reader // nil until it is needed
	zstd   *zstd.Decoder  // likewise
}

const (
	// maxIdleBuffer bounds the memory of an idle bodyReader.
	maxIdleBuffer = 128 << 10
	// maxIdleReceived bounds the memory of an idle buffer for bodies as they are received,
	// which is what a slow sender may hold.
	maxIdleReceived = 32 << 10
	// firstRead is how many bytes of a body must have arrived before memory is taken for
	// all of it.
	firstRead = 4 << 10
	// smallBody is the size of bodies that need no reservation: what they take is bounded
	// by the number of pushes that are applied at the same time.
	smallBody = minPushMemory / pushMemory
	// unlimited stands for a body of any size.
	unlimited = math.MaxInt - 1
)

// errTooLarge says that a body is larger than its limit.
var errTooLarge = errors.New("the body is too large")

// errEvicted says that a body was not read to its end.
var errEvicted = errors.New("the body arrived too slowly while other pushes waited for memory")

// reusable reports whether the reader should read another body.
func (b *bodyReader) reusable() bool { return cap(b.body) <= maxIdleBuffer }

// receive reads the body of a push, still compressed, into dst, which is empty. limit is
// the maximum decompressed size, or 0 if there is none. memory is what the push has
// reserved of the memory for pushes; receive enlarges it before it reads a body that is not
// small. interrupt makes reading the body fail. The error is that of memory or a
// *metric.RejectionError.
func receive(dst []byte, r *http.Request, limit int64, memory *reservation, interrupt func()) ([]byte, error) {
	if isRemoteWrite(r.Header) {
		return dst, metric.Reject(metric.WrongProtocol, "this is a Prometheus remote write request, which a Pushgateway does not accept: "+
			"point remote_write at a Prometheus server or another receiver, and let Prometheus scrape this gateway")
	}
	done := memory.receiving(interrupt)
	dst, err := readAll(dst, &progressReader{r.Body, memory}, r.ContentLength, maxSize(limit), memory.growFor(r.Context()))
	switch evicted := done(); {
	case err == nil:
		return dst, nil
	case evicted:
		return dst, &store.UnavailableError{Reason: errEvicted, RetryAfter: overloadRetry}
	case isUnavailable(err), reasonOf(err) != "": // of memory
		return dst, err
	case errors.Is(err, errTooLarge):
		return dst, rejectSize(limit)
	}
	return dst, metric.Reject(metric.Malformed, "read the body: %v", err)
}

func isUnavailable(err error) bool {
	_, ok := errors.AsType[*store.UnavailableError](err)
	return ok
}

// maxSize returns the maximum size of a body by a limit, which may be 0 for none.
func maxSize(limit int64) int {
	if limit <= 0 || limit > unlimited {
		return unlimited
	}
	return int(limit)
}

func rejectSize(limit int64) error {
	return metric.Reject(metric.TooLarge,
		"the body is larger than the limit of %s, decompressed (%s): push less, in several groups if need be",
		limits.FormatSize(limit), limits.BodySize)
}

// progressReader counts what has been received for a reservation.
type progressReader struct {
	io.Reader
	memory *reservation
}

func (r *progressReader) Read(p []byte) (int, error) {
	n, err := r.Reader.Read(p)
	r.memory.received.Add(int64(n))
	return n, err
}

// read decompresses and parses a body as it was received and gives its families to the
// sink. It enlarges memory before it takes more. limit is as for receive. The error is that
// of the sink, of memory, or a *metric.RejectionError about the body.
func (b *bodyReader) read(
	ctx context.Context, h http.Header, received []byte, limit int64, memory *reservation, names metric.ValidationScheme, sink wire.Sink,
) error {
	body, err := b.decompress(h.Get("Content-Encoding"), received, limit, memory.growFor(ctx))
	if err != nil {
		return err
	}
	err = b.parser.ParseTo(body, formatOf(h), names, sink)
	if rejection, ok := errors.AsType[*metric.RejectionError](err); ok && rejection.Reason == metric.Malformed {
		addHint(rejection, body, h, names)
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

// decompress returns the body, decompressed. It calls grow with the size before it takes
// more memory. An unknown encoding counts as none: clients put other things in that header.
func (b *bodyReader) decompress(encoding string, received []byte, limit int64, grow func(size int) error) ([]byte, error) {
	defer b.source.Reset(nil) // it may be large
	var err error
	switch strings.ToLower(encoding) {
	case "gzip":
		b.source.Reset(received)
		if err = b.gzip.Reset(&b.source); err == nil {
			b.body, err = readAll(b.body[:0], &b.gzip, 0, maxSize(limit), grow)
		}
	case "snappy":
		if b.snappy == nil {
			b.snappy = snappy.NewReader(nil)
		}
		b.source.Reset(received)
		b.snappy.Reset(&b.source)
		b.body, err = readAll(b.body[:0], b.snappy, 0, maxSize(limit), grow)
	case "zstd":
		err = b.decompressZstd(received, maxSize(limit), grow)
	default:
		return received, nil
	}
	switch {
	case err == nil:
		return b.body, nil
	case isUnavailable(err), reasonOf(err) != "": // of grow
		b.body = nil
		return nil, err
	case errors.Is(err, errTooLarge):
		b.body = nil
		return nil, rejectSize(limit)
	}
	fix := "send the body compressed with it, or without that header"
	if strings.EqualFold(encoding, "snappy") {
		fix = "send the body in the framing format of snappy (in Go snappy.NewBufferedWriter), not in the block format, or " +
			"without that header"
	}
	return nil, metric.Reject(metric.BadEncoding,
		"the body could not be decompressed as its header Content-Encoding: %s says: %v; %s", encoding, err, fix)
}

// readAll appends what r has, at most limit bytes, to dst, which is empty. size is how much
// that is, or not positive if that is not known. Before it takes more memory than dst has,
// it calls grow with the new size. It takes no memory for more than firstRead bytes before
// they have arrived, whatever the size.
func readAll(dst []byte, r io.Reader, size int64, limit int, grow func(size int) error) ([]byte, error) {
	if size > int64(limit) {
		return dst, errTooLarge
	}
	if size >= int64(cap(dst)) {
		if err := grow(int(size)); err != nil {
			return dst, err
		}
		first := dst[:0]
		if size > firstRead {
			var err error
			if first, err = readFirst(dst, r); err != nil {
				return first, err
			}
		}
		dst = append(make([]byte, 0, size+1), first...) // with room to see the end
	}
	// A large body of unknown size is read in pieces and joined at the end: a buffer
	// that grows would be copied, and take twice the memory at the end.
	const maxGrown = 1 << 20
	var pieces [][]byte
	total := len(dst)
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
		if total += n; total > limit {
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

// readFirst reads the first bytes of a body that has more than firstRead.
func readFirst(dst []byte, r io.Reader) ([]byte, error) {
	if cap(dst) < firstRead {
		dst = make([]byte, 0, firstRead)
	}
	n, err := io.ReadFull(r, dst[:firstRead])
	return dst[:n], err
}

// decompressZstd decompresses what was received to b.body. The memory of the decoder is that
// of the result, however large a window or content the frames declare.
func (b *bodyReader) decompressZstd(compressed []byte, maxBody int, grow func(size int) error) error {
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
	limit := min(maxBody+1, (len(compressed)/3+1)<<17)
	size := min(max(cap(b.body), 4*len(compressed), 4<<10), limit)
	for {
		if cap(b.body) < size {
			if err := grow(size); err != nil {
				return err
			}
			b.body = make([]byte, 0, size)
		}
		body, err := b.zstd.DecodeAll(compressed, b.body[:0])
		switch {
		case err == nil && len(body) > maxBody:
			return errTooLarge
		case err == nil:
			b.body = body
			return nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !strings.Contains(err.Error(), "output bigger than max block size"):
			return err // the second one, too, says that there is no room
		case size > maxBody:
			return errTooLarge
		case size == limit:
			return err
		}
		size = min(2*max(size, cap(b.body)), limit)
	}
}
