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

// representation says which bytes of a chunk are written.
type representation uint8

const (
	text representation = iota
	protobuf
)

func (r representation) of(c *store.EncodedFamily) []byte {
	if r == text {
		return c.Text()
	}
	return c.Protobuf()
}

// sink takes an exposition in pieces: bytes, and blocks of chunks that may be
// there in compressed form already.
type sink interface {
	io.Writer
	block(*store.Segment[*store.EncodedFamily], representation) error
	close() error
	written() int64
}

// keepWeight is from how many bytes on a block keeps its compressed form. Smaller ones compress better together with their neighbours.
const keepWeight = 4 << 10

func worthKeeping(b *store.Segment[*store.EncodedFamily]) bool {
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
		return &piecesSink{compression: newGzipPieces(c.deflaters, buffered), count: counted}
	case Zstd:
		return &piecesSink{compression: &zstdPieces{encoder: c.zstd, out: buffered}, count: counted}
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

func (s *plainSink) block(b *store.Segment[*store.EncodedFamily], r representation) error {
	for _, c := range b.Items {
		if _, err := s.Write(r.of(c)); err != nil {
			return err
		}
	}
	return nil
}

func (s *plainSink) close() error   { return s.Flush() }
func (s *plainSink) written() int64 { return s.count.count }

// piecesSink compresses an exposition in pieces: what is written gathers until it
// makes a piece of its own, and blocks that are worth it are pieces that keep their
// compressed form.
type piecesSink struct {
	compression
	count   *countingWriter
	pending []byte
}

// compression makes of pieces, of which none knows of those before it, one
// compressed content.
type compression interface {
	// piece writes the piece that stands for plain.
	piece(plain []byte) error
	// encode makes the piece that stands for the chunks of a block.
	encode(*store.Segment[*store.EncodedFamily], representation) *store.CachedForm
	// kept writes a piece that encode made.
	kept(*store.CachedForm) error
	form(representation) store.Form
	// end writes what follows the last piece.
	end() error
}

// pendingSize is how many bytes make a piece.
const pendingSize = 32 << 10

func (s *piecesSink) Write(p []byte) (int, error) {
	s.pending = append(s.pending, p...)
	if len(s.pending) < pendingSize {
		return len(p), nil
	}
	return len(p), s.flush()
}

func (s *piecesSink) flush() error {
	if len(s.pending) == 0 {
		return nil
	}
	err := s.piece(s.pending)
	s.pending = s.pending[:0]
	return err
}

func (s *piecesSink) block(b *store.Segment[*store.EncodedFamily], r representation) error {
	if !worthKeeping(b) {
		for _, c := range b.Items {
			if _, err := s.Write(r.of(c)); err != nil {
				return err
			}
		}
		return nil
	}
	if err := s.flush(); err != nil {
		return err
	}
	return s.kept(b.Cached(s.form(r), func() *store.CachedForm { return s.encode(b, r) }))
}

func (s *piecesSink) close() error { return errors.Join(s.flush(), s.end()) }

func (s *piecesSink) written() int64 { return s.count.count }

// gzipPieces write one gzip member (RFC 1952), since several in a row, though
// allowed, are cut off after the first by some readers. Its deflate stream is made
// of pieces that each begin with an empty window and end on a byte boundary (a sync
// flush, RFC 1951 section 3.2.4), so that they can stand in any order. The checksum
// of the whole comes from those of the pieces.
type gzipPieces struct {
	deflaters *sync.Pool
	deflater  *flate.Writer
	out       *bufio.Writer
	checksum  uint32
	size      uint32 // modulo 2^32, as the format has it
}

func newGzipPieces(deflaters *sync.Pool, out *bufio.Writer) *gzipPieces {
	// ID1 ID2 CM FLG MTIME(4) XFL OS: deflate, no time, unknown system. What
	// cannot be written shows at the end.
	_, _ = out.Write([]byte{0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff})
	return &gzipPieces{deflaters: deflaters, deflater: deflaters.Get().(*flate.Writer), out: out}
}

func (*gzipPieces) form(r representation) store.Form { return store.Form(r) }

func (g *gzipPieces) piece(plain []byte) error {
	g.append(uint32(len(plain)), crc32.ChecksumIEEE(plain))
	g.deflater.Reset(g.out)
	if _, err := g.deflater.Write(plain); err != nil {
		return err
	}
	return g.deflater.Flush()
}

// append accounts for a piece of the plain exposition.
func (g *gzipPieces) append(size, checksum uint32) {
	g.checksum = combineChecksums(g.checksum, checksum, int64(size))
	g.size += size
}

func (g *gzipPieces) encode(b *store.Segment[*store.EncodedFamily], r representation) *store.CachedForm {
	var m store.CachedForm
	out := appendWriter(make([]byte, 0, 2<<10))
	g.deflater.Reset(&out)
	for _, c := range b.Items {
		p := r.of(c)
		m.Size += len(p)
		m.Checksum = crc32.Update(m.Checksum, crc32.IEEETable, p)
		_, _ = g.deflater.Write(p) // to memory, which does not fail
	}
	_ = g.deflater.Flush()
	m.Bytes = append([]byte(nil), out...)
	return &m
}

type appendWriter []byte

func (w *appendWriter) Write(p []byte) (int, error) {
	*w = append(*w, p...)
	return len(p), nil
}

func (g *gzipPieces) kept(m *store.CachedForm) error {
	g.append(uint32(m.Size), m.Checksum)
	_, err := g.out.Write(m.Bytes)
	return err
}

func (g *gzipPieces) end() error {
	g.deflater.Reset(io.Discard)
	g.deflaters.Put(g.deflater)
	// An empty last block with the fixed codes, then the trailer.
	end := []byte{0x03, 0x00}
	end = binary.LittleEndian.AppendUint32(end, g.checksum)
	end = binary.LittleEndian.AppendUint32(end, g.size)
	_, err := g.out.Write(end)
	return errors.Join(err, g.out.Flush())
}

// zstdPieces write a zstd frame for each piece; readers take frames in a row as
// one content (RFC 8878 section 3).
type zstdPieces struct {
	encoder *zstd.Encoder
	out     *bufio.Writer
	frame   []byte
}

func (*zstdPieces) form(r representation) store.Form { return store.Form(2 + r) }

func (z *zstdPieces) piece(plain []byte) error {
	z.frame = z.encoder.EncodeAll(plain, z.frame[:0])
	_, err := z.out.Write(z.frame)
	return err
}

func (z *zstdPieces) encode(b *store.Segment[*store.EncodedFamily], r representation) *store.CachedForm {
	var plain []byte
	for _, c := range b.Items {
		plain = append(plain, r.of(c)...)
	}
	frame := z.encoder.EncodeAll(plain, nil)
	return &store.CachedForm{Bytes: append([]byte(nil), frame...), Size: len(plain)}
}

func (z *zstdPieces) kept(m *store.CachedForm) error {
	_, err := z.out.Write(m.Bytes)
	return err
}

func (z *zstdPieces) end() error { return z.out.Flush() }
