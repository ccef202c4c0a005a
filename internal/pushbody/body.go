// Package pushbody reads the bodies of pushes: it receives and decompresses them within
// limits and a budget of memory that all pushes share, parses them in the format that their
// headers say, and says what is likely wrong with one that cannot be parsed.
package pushbody

import (
	"bytes"
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
	"pushgateway/internal/wire"
)

// Media types of pushed bodies. Anything else is read as the text format.
const (
	protobufType    = "application/vnd.google.protobuf"
	openMetricsType = "application/openmetrics-text"
)

// Reader decompresses and parses bodies, one at a time. The zero value is ready to use. It
// reuses its buffers, so a body costs few allocations beside those of the sink.
type Reader struct {
	body   []byte // decompressed
	parser wire.Parser
	source bytes.Reader
	gzip   gzip.Reader
	snappy *snappy.Reader // nil until it is needed
	zstd   *zstd.Decoder  // likewise
}

const (
	// maxIdleBuffer bounds the memory of an idle Reader.
	maxIdleBuffer = 128 << 10
	// maxIdleReceived bounds the memory of an idle buffer for bodies as they are received,
	// which is what a slow sender may hold.
	maxIdleReceived = 32 << 10
	// firstRead is how many bytes of a body must have arrived before memory is taken for
	// all of it.
	firstRead = 4 << 10
	// smallBody is the size of bodies that need no reservation: what they take is bounded
	// by the number of pushes that are applied at the same time.
	smallBody = minPushMemory / int64(InBatches)
	// unlimited stands for a body of any size.
	unlimited = math.MaxInt - 1
)

// errTooLarge says that a body is larger than its limit.
var errTooLarge = errors.New("the body is too large")

// Reusable reports whether the reader should be kept for another body: not if the last one
// was so large that an idle reader would take much memory.
func (r *Reader) Reusable() bool { return cap(r.body) <= maxIdleBuffer }

// Body is the body of a push as it was received, still compressed, together with the memory
// that is reserved for it. Only one goroutine at a time may use it.
type Body struct {
	reservation
	request *http.Request
	limit   int64   // of the decompressed size; 0 for none
	buffer  *[]byte // whose memory raw may have
	raw     []byte  // as received
}

// Release gives back the memory of the body. What was read from it must not be used any
// more, unless the sink has copied it.
func (b *Body) Release() {
	if cap(b.raw) <= maxIdleReceived {
		*b.buffer = b.raw
		b.budget.buffers.Put(b.buffer)
	}
	b.release()
}

// Receive receives the body of a push. limit is the maximum of its size in bytes,
// decompressed, or 0 if there is none; cost says what reading it takes. The caller must
// release the body.
//
// Receive reserves memory in the budget before it takes any for more than 10 KiB, and takes
// none for more than 4 KiB before they have arrived. If other pushes have it all, Receive and
// Read together wait for up to 10 seconds. If other pushes wait while this body arrives more
// slowly than any other, the budget calls interrupt, from another goroutine; that must make
// reading the body of the request fail.
//
// The error is a *limits.TemporaryRejection if there was no memory or the body arrived too
// slowly. Otherwise it is a *metric.RejectionError: TooLarge, Malformed if the client did not
// send all of the body, or WrongProtocol for a remote write request. Receive is safe for
// concurrent use.
func (b *Budget) Receive(r *http.Request, cost Cost, limit int64, interrupt func()) (*Body, error) {
	buffer, ok := b.buffers.Get().(*[]byte)
	if !ok {
		buffer = new([]byte)
	}
	body := &Body{reservation: reservation{budget: b, cost: cost}, request: r, limit: limit, buffer: buffer}
	var err error
	if body.raw, err = receive((*buffer)[:0], r, limit, &body.reservation, interrupt); err != nil {
		body.Release()
		return nil, err
	}
	return body, nil
}

// receive reads the body of a push, still compressed, into dst, which is empty. It enlarges
// memory before it reads a body that is not small. The error is as for Receive.
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
		return dst, overloaded("the body arrived too slowly while other pushes waited for memory (push.max-inflight-bytes): try again")
	case isOfBudget(err):
		return dst, err
	case errors.Is(err, errTooLarge):
		return dst, rejectSize(limit)
	}
	return dst, metric.Reject(metric.Malformed, "read the body: %v", err)
}

// isOfBudget reports whether the budget had no memory for a body.
func isOfBudget(err error) bool {
	_, ok := errors.AsType[*metric.RejectionError](err)
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

// Read decompresses and parses a body, and gives its families to the sink in batches. Their
// strings are valid until the body is released or the reader reads another one. Before the
// decompressed body, or what it is parsed to, takes more memory, Read reserves it, and may wait as
// Receive does.
//
// The error is that of the sink, a *limits.TemporaryRejection if there was no memory, or a
// *metric.RejectionError: TooLarge, BadEncoding if the body cannot be decompressed, or that
// of the parser. If a body of up to 1 MiB cannot be parsed, Read parses it as what else it may
// be, and the message says what to do; of a larger one it only looks whether it is compressed. If a body
// of up to 1 MiB has a series twice, the message names the lines.
func (r *Reader) Read(body *Body, names metric.ValidationScheme, sink wire.Sink) error {
	text, err := r.Decompress(body)
	if err != nil {
		return err
	}
	h := body.request.Header
	if isJoined(text, h) && text[0] == '#' { // a comment, as which it would be ignored
		return metric.Reject(metric.Malformed, "%s (as it is, the body is a comment)", joinedAdvice)
	}
	format := formatOf(h)
	if err := body.Reserve(wire.Memory(text, format, max(int64(body.cost)*int64(len(text)), minPushMemory))); err != nil {
		return err
	}
	err = r.parser.ParseTo(text, format, names, sink)
	if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
		switch {
		case rejection.Reason == metric.Malformed:
			addHint(rejection, text, h, names)
		case rejection.Reason == metric.DuplicateSeries && format != wire.Protobuf:
			addLines(rejection, text, names)
		}
	}
	return err
}

// Decompress returns a body, decompressed. It is valid until the body is released or the reader
// reads another one. The error is as for Read, but not that of a sink or parser.
func (r *Reader) Decompress(body *Body) ([]byte, error) {
	return r.decompress(body.request.Header.Get("Content-Encoding"), body.raw, body.limit, body.growFor(body.request.Context()))
}

// Reserve reserves memory for what a body is decoded to, in bytes, if that is more than what was reserved
// for its size. It may wait as Receive does. The error is as for Receive.
func (b *Body) Reserve(memory int64) error {
	if memory <= minPushMemory {
		return nil // as a small body
	}
	return b.growTo(b.request.Context(), memory)
}

// ReserveMore is Reserve for memory in addition to what has been reserved.
func (b *Body) ReserveMore(memory int64) error {
	return b.growTo(b.request.Context(), b.n+memory)
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
func (r *Reader) decompress(encoding string, received []byte, limit int64, grow func(size int) error) ([]byte, error) {
	defer r.source.Reset(nil) // it may be large
	var err error
	switch strings.ToLower(encoding) {
	case "gzip":
		r.source.Reset(received)
		if err = r.gzip.Reset(&r.source); err == nil {
			r.body, err = readAll(r.body[:0], &r.gzip, 0, maxSize(limit), grow)
		}
	case "snappy":
		if r.snappy == nil {
			r.snappy = snappy.NewReader(nil)
		}
		r.source.Reset(received)
		r.snappy.Reset(&r.source)
		r.body, err = readAll(r.body[:0], r.snappy, 0, maxSize(limit), grow)
	case "zstd":
		err = r.decompressZstd(received, maxSize(limit), grow)
	default:
		return received, nil
	}
	switch {
	case err == nil:
		return r.body, nil
	case isOfBudget(err):
		r.body = nil
		return nil, err
	case errors.Is(err, errTooLarge):
		r.body = nil
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
// it calls grow with the new size, but not before firstRead bytes have arrived, whatever the
// size: others must not wait for senders that send nothing.
func readAll(dst []byte, r io.Reader, size int64, limit int, grow func(size int) error) ([]byte, error) {
	if size > int64(limit) {
		return dst, errTooLarge
	}
	if size >= int64(cap(dst)) {
		first := dst[:0]
		if size > firstRead {
			var err error
			if first, err = readFirst(dst, r); err != nil {
				return first, err
			}
		}
		if err := grow(int(size)); err != nil {
			return first, err
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

// decompressZstd decompresses what was received to r.body. The memory of the decoder is that
// of the result, however large a window or content the frames declare.
func (r *Reader) decompressZstd(compressed []byte, maxBody int, grow func(size int) error) error {
	if r.zstd == nil {
		z, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxMemory(math.MaxInt64), zstd.WithDecoderMaxWindow(zstd.MaxWindowSize), zstd.WithDecodeAllCapLimit(true))
		if err != nil {
			return err
		}
		r.zstd = z
	}
	// The decoder fills no more than the capacity of its destination, so one that is
	// too small is doubled. That a frame declares its size is no reason to believe it,
	// but a block of 3 bytes or more has at most 128 KiB.
	limit := min(maxBody+1, (len(compressed)/3+1)<<17)
	size := min(max(cap(r.body), 4*len(compressed), 4<<10), limit)
	for {
		if cap(r.body) < size {
			if err := grow(size); err != nil {
				return err
			}
			r.body = make([]byte, 0, size)
		}
		body, err := r.zstd.DecodeAll(compressed, r.body[:0])
		switch {
		case err == nil && len(body) > maxBody:
			return errTooLarge
		case err == nil:
			r.body = body
			return nil
		case !errors.Is(err, zstd.ErrDecoderSizeExceeded) && !strings.Contains(err.Error(), "output bigger than max block size"):
			return err // the second one, too, says that there is no room
		case size > maxBody:
			return errTooLarge
		case size == limit:
			return err
		}
		size = min(2*max(size, cap(r.body)), limit)
	}
}
