package exposition

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"sync"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/zstd"

	"pushgateway/internal/store"
)

// Encoding is a content coding of HTTP.
type Encoding string

const (
	Identity Encoding = "identity"
	Gzip     Encoding = "gzip"
	Zstd     Encoding = "zstd"
)

// representation says which bytes of a chunk are written.
type representation uint8

const (
	text representation = iota
	protobuf
)

func (r representation) of(c *store.Chunk) []byte {
	if r == text {
		return c.Text()
	}
	return c.Protobuf()
}

// Forms that a block keeps: one for each representation and compression.
func gzipForm(r representation) store.Form { return store.Form(r) }
func zstdForm(r representation) store.Form { return store.Form(2 + r) }

// sink takes an exposition in pieces: bytes, and blocks of chunks that may be
// there in compressed form already.
type sink interface {
	io.Writer
	block(*store.Block[*store.Chunk], representation) error
	close() error
	written() int64
}

// keepWeight is from how many bytes on a block keeps its compressed form. Smaller ones compress better together with their neighbours.
const keepWeight = 4 << 10

func worthKeeping(b *store.Block[*store.Chunk]) bool {
	size := 0
	for _, c := range b.Items {
		if size += c.Size(); size >= keepWeight {
			return true
		}
	}
	return false
}

// compressors are what sinks compress with.
type compressors struct {
	deflaters *sync.Pool // of *flate.Writer
	zstd      *zstd.Encoder
}

func newCompressors() (compressors, error) {
	// The zstd encoder is used through EncodeAll only, which is stateless.
	z, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithLowerEncoderMem(true))
	if err != nil {
		return compressors{}, fmt.Errorf("make zstd encoder: %w", err)
	}
	deflaters := &sync.Pool{New: func() any {
		d, err := flate.NewWriter(io.Discard, flate.BestSpeed)
		if err != nil {
			panic(err) // the level is a constant that it knows
		}
		return d
	}}
	return compressors{deflaters, z}, nil
}

func (c compressors) newSink(out io.Writer, encoding Encoding) sink {
	counted := &countingWriter{out: out}
	buffered := bufio.NewWriterSize(counted, 64<<10)
	switch encoding {
	case Gzip:
		return newGzipSink(c, buffered, counted)
	case Zstd:
		return &zstdSink{compressors: c, out: buffered, count: counted}
	}
	return &plainSink{Writer: buffered, count: counted}
}

type countingWriter struct {
	out   io.Writer
	count int64
}

func (w *countingWriter) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.count += int64(n)
	return n, err
}

// plainSink writes without compression.
type plainSink struct {
	*bufio.Writer
	count *countingWriter
}

func (s *plainSink) block(b *store.Block[*store.Chunk], r representation) error {
	for _, c := range b.Items {
		if _, err := s.Write(r.of(c)); err != nil {
			return err
		}
	}
	return nil
}

func (s *plainSink) close() error   { return s.Flush() }
func (s *plainSink) written() int64 { return s.count.count }

// pendingSize is how many bytes a compressing sink gathers before it compresses
// them as one piece.
const pendingSize = 32 << 10

// gzipSink writes one gzip member (RFC 1952), since several in a row, though
// allowed, are cut off after the first by some readers. Its deflate stream is
// made of pieces that each begin with an empty window and end on a byte boundary
// (a sync flush, RFC 1951 section 3.2.4), so that they can stand in any order.
// The checksum of the whole comes from those of the pieces.
type gzipSink struct {
	compressors
	out      *bufio.Writer
	count    *countingWriter
	deflater *flate.Writer
	pending  []byte
	checksum uint32
	size     uint32 // modulo 2^32, as the format has it
}

func newGzipSink(c compressors, out *bufio.Writer, count *countingWriter) *gzipSink {
	// ID1 ID2 CM FLG MTIME(4) XFL OS: deflate, no time, unknown system. What
	// cannot be written shows when the sink is closed.
	_, _ = out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	return &gzipSink{compressors: c, out: out, count: count, deflater: c.deflaters.Get().(*flate.Writer)}
}

func (s *gzipSink) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	if len(s.pending) < pendingSize {
		return len(p), nil
	}
	return len(p), s.flushPending()
}

func (s *gzipSink) flushPending() error {
	if len(s.pending) == 0 {
		return nil
	}
	s.append(uint32(len(s.pending)), crc32.ChecksumIEEE(s.pending))
	s.deflater.Reset(s.out)
	if _, err := s.deflater.Write(s.pending); err != nil {
		return err
	}
	s.pending = s.pending[:0]
	return s.deflater.Flush()
}

// append accounts for a piece of the plain exposition.
func (s *gzipSink) append(size, checksum uint32) {
	s.checksum = combineChecksums(s.checksum, checksum, int64(size))
	s.size += size
}

func (s *gzipSink) block(b *store.Block[*store.Chunk], r representation) error {
	if !worthKeeping(b) {
		for _, c := range b.Items {
			if _, err := s.Write(r.of(c)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.flushPending(); err != nil {
		return err
	}
	m := b.Memo(gzipForm(r), func() *store.Memo { return s.deflate(b, r) })
	s.append(uint32(m.Size), m.Checksum)
	_, err := s.out.Write(m.Bytes)
	return err
}

// deflate makes the piece that stands for the block.
func (s *gzipSink) deflate(b *store.Block[*store.Chunk], r representation) *store.Memo {
	var m store.Memo
	out := appendWriter(make([]byte, 0, 2<<10))
	s.deflater.Reset(&out)
	for _, c := range b.Items {
		p := r.of(c)
		m.Size += len(p)
		m.Checksum = crc32.Update(m.Checksum, crc32.IEEETable, p)
		_, _ = s.deflater.Write(p) // to memory, which does not fail
	}
	_ = s.deflater.Flush()
	m.Bytes = append([]byte(nil), out...)
	return &m
}

type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func (s *gzipSink) close() error {
	err := s.flushPending()
	s.deflater.Reset(io.Discard)
	s.deflaters.Put(s.deflater)
	if err != nil {
		return err
	}
	// An empty last block with the fixed codes, then the trailer.
	end := []byte{0x03, 0x00}
	end = binary.LittleEndian.AppendUint32(end, s.checksum)
	end = binary.LittleEndian.AppendUint32(end, s.size)
	if _, err := s.out.Write(end); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *gzipSink) written() int64 { return s.count.count }

// zstdSink writes a zstd frame for each piece; readers take frames in a row as
// one content (RFC 8878 section 3).
type zstdSink struct {
	compressors
	out     *bufio.Writer
	count   *countingWriter
	pending []byte
	frame   []byte
}

func (s *zstdSink) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	if len(s.pending) < pendingSize {
		return len(p), nil
	}
	return len(p), s.flushPending()
}

func (s *zstdSink) flushPending() error {
	if len(s.pending) == 0 {
		return nil
	}
	s.frame = s.zstd.EncodeAll(s.pending, s.frame[:0])
	s.pending = s.pending[:0]
	_, err := s.out.Write(s.frame)
	return err
}

func (s *zstdSink) block(b *store.Block[*store.Chunk], r representation) error {
	if !worthKeeping(b) {
		for _, c := range b.Items {
			if _, err := s.Write(r.of(c)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.flushPending(); err != nil {
		return err
	}
	m := b.Memo(zstdForm(r), func() *store.Memo {
		for _, c := range b.Items {
			s.pending = append(s.pending, r.of(c)...)
		}
		size := len(s.pending)
		frame := s.zstd.EncodeAll(s.pending, nil)
		s.pending = s.pending[:0]
		return &store.Memo{Bytes: append([]byte(nil), frame...), Size: size}
	})
	_, err := s.out.Write(m.Bytes)
	return err
}

func (s *zstdSink) close() error {
	if err := s.flushPending(); err != nil {
		return err
	}
	return s.out.Flush()
}

func (s *zstdSink) written() int64 { return s.count.count }
