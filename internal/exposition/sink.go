package exposition

import (
	"bufio"
	"encoding/binary"
	"errors"
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

// sink takes an exposition in pieces: bytes, and segments in a form.
type sink interface {
	io.Writer
	segment(*segment, *form) error
	close() error
	written() int64
}

// minCached is the minimum size of a segment, in stored bytes, whose compressed form is
// cached. Smaller segments compress better together with their neighbors.
const minCached = 4 << 10

func worthCaching(s *segment) bool {
	size := 0
	for _, c := range s.Items {
		if size += c.Size(); size >= minCached {
			return true
		}
	}
	return false
}

// compressed is a compressed piece of an exposition.
type compressed struct {
	bytes    []byte
	size     int    // of what is compressed
	checksum uint32 // CRC-32 (IEEE) of what is compressed
}

// compressors compress for sinks.
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
			panic(err) // the level is a valid constant
		}
		return d
	}}
	return compressors{deflaters, z}, nil
}

// newSink returns a sink that writes to out. With keep, forms of segments are cached, besides
// compressed ones, which always are.
func (c compressors) newSink(out io.Writer, encoding Encoding, keep bool) sink {
	counted := &countingWriter{out: out}
	buffered := bufio.NewWriterSize(counted, 64<<10)
	switch encoding {
	case Gzip:
		return &compressingSink{compression: newGzip(c.deflaters, buffered), count: counted, keep: keep}
	case Zstd:
		return &compressingSink{compression: &zstdFrames{encoder: c.zstd, out: buffered}, count: counted, keep: keep}
	}
	return &plainSink{Writer: buffered, count: counted, keep: keep}
}

func newPlainSink(out io.Writer) sink {
	counted := &countingWriter{out: out}
	return &plainSink{Writer: bufio.NewWriter(counted), count: counted}
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
	keep  bool // see newSink
}

func (s *plainSink) segment(seg *segment, f *form) error {
	return f.each(seg, s.keep, func(p []byte) error {
		_, err := s.Write(p)
		return err
	})
}

func (s *plainSink) close() error   { return s.Flush() }
func (s *plainSink) written() int64 { return s.count.count }

// compressingSink compresses an exposition in pieces. Bytes are collected until they make a
// piece. A segment that is large enough is a piece of its own, which is cached.
type compressingSink struct {
	compression
	count   *countingWriter
	keep    bool // see newSink
	pending []byte
}

// compression makes one compressed content of pieces. No piece refers to those before it.
type compression interface {
	// piece compresses and writes a piece.
	piece(plain []byte) error
	// compress makes a piece of a segment.
	compress(*segment, *form) *compressed
	// write writes a piece that compress made.
	write(*compressed) error
	// kind is that of cached pieces.
	kind() uint8
	// end writes what follows the last piece.
	end() error
}

// pieceSize is the number of collected bytes that make a piece.
const pieceSize = 32 << 10

func (s *compressingSink) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	if len(s.pending) < pieceSize {
		return len(p), nil
	}
	return len(p), s.flush()
}

func (s *compressingSink) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	err := s.piece(s.pending)
	s.pending = s.pending[:0]
	return err
}

func (s *compressingSink) segment(seg *segment, f *form) error {
	if !worthCaching(seg) {
		return f.each(seg, s.keep && !f.cheap, func(p []byte) error {
			_, err := s.Write(p)
			return err
		})
	}
	if err := s.flush(); err != nil {
		return err
	}
	key := store.Form{Kind: s.kind() + uint8(f.kind), Variant: f.variant}
	return s.write(seg.Cached(key, func() any { return s.compress(seg, f) }).(*compressed))
}

func (s *compressingSink) close() error { return errors.Join(s.flush(), s.end()) }

func (s *compressingSink) written() int64 { return s.count.count }

// gzipMember writes one gzip member (RFC 1952): some readers ignore all members but the
// first. Its deflate stream consists of pieces, each of which begins with an empty window
// and ends on a byte boundary (a sync flush, RFC 1951 section 3.2.4), so that any piece can
// follow any other. The checksum of the whole is combined from those of the pieces.
type gzipMember struct {
	deflaters *sync.Pool
	deflater  *flate.Writer
	out       *bufio.Writer
	checksum  uint32
	size      uint32 // modulo 2^32, as the format has it
}

func newGzip(deflaters *sync.Pool, out *bufio.Writer) *gzipMember {
	// ID1 ID2 CM FLG MTIME(4) XFL OS: deflate, no time, unknown system. An error shows at
	// the end.
	_, _ = out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	return &gzipMember{deflaters: deflaters, deflater: deflaters.Get().(*flate.Writer), out: out}
}

func (*gzipMember) kind() uint8 { return gzipKind }

func (g *gzipMember) piece(plain []byte) error {
	g.append(uint32(len(plain)), crc32.ChecksumIEEE(plain))
	g.deflater.Reset(g.out)
	if _, err := g.deflater.Write(plain); err != nil {
		return err
	}
	return g.deflater.Flush()
}

// append accounts for a piece of the plain exposition.
func (g *gzipMember) append(size, checksum uint32) {
	g.checksum = combineChecksums(g.checksum, checksum, int64(size))
	g.size += size
}

func (g *gzipMember) compress(s *segment, f *form) *compressed {
	var c compressed
	out := appendWriter(make([]byte, 0, 2<<10))
	g.deflater.Reset(&out)
	_ = f.each(s, false, func(p []byte) error { // to memory, which does not fail
		c.size += len(p)
		c.checksum = crc32.Update(c.checksum, crc32.IEEETable, p)
		_, err := g.deflater.Write(p)
		return err
	})
	_ = g.deflater.Flush()
	c.bytes = append([]byte(nil), out...)
	return &c
}

type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func (g *gzipMember) write(c *compressed) error {
	g.append(uint32(c.size), c.checksum)
	_, err := g.out.Write(c.bytes)
	return err
}

func (g *gzipMember) end() error {
	g.deflater.Reset(io.Discard)
	g.deflaters.Put(g.deflater)
	// An empty last block with the fixed codes, then the trailer.
	end := []byte{0x03, 0x00}
	end = binary.LittleEndian.AppendUint32(end, g.checksum)
	end = binary.LittleEndian.AppendUint32(end, g.size)
	_, err := g.out.Write(end)
	return errors.Join(err, g.out.Flush())
}

// zstdFrames writes a zstd frame for each piece. Readers concatenate the contents of
// consecutive frames (RFC 8878 section 3).
type zstdFrames struct {
	encoder *zstd.Encoder
	out     *bufio.Writer
	frame   []byte
}

func (*zstdFrames) kind() uint8 { return zstdKind }

func (z *zstdFrames) piece(plain []byte) error {
	z.frame = z.encoder.EncodeAll(plain, z.frame[:0])
	_, err := z.out.Write(z.frame)
	return err
}

func (z *zstdFrames) compress(s *segment, f *form) *compressed {
	var plain []byte
	_ = f.each(s, false, func(p []byte) error { // to memory, which does not fail
		plain = append(plain, p...)
		return nil
	})
	frame := z.encoder.EncodeAll(plain, nil)
	return &compressed{bytes: append([]byte(nil), frame...), size: len(plain)}
}

func (z *zstdFrames) write(c *compressed) error {
	_, err := z.out.Write(c.bytes)
	return err
}

func (z *zstdFrames) end() error { return z.out.Flush() }
