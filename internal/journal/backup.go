package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"math/rand/v2"

	"pushgateway/internal/store"
)

// Backup calls send with a copy of the file at one moment, including pending changes, and
// its size. Meanwhile, changes continue and the file may be replaced. Backup also works
// while the journal is unavailable: it sends what was accepted.
func (j *Journal) Backup(ctx context.Context, send func(size int64, content io.Reader) error) error {
	if m := j.memory.Load(); m != nil {
		return m.Backup(ctx, send)
	}
	j.mu.Lock()
	if j.log == nil {
		j.mu.Unlock()
		return j.Ready()
	}
	// A descriptor of its own keeps the file even if another one replaces it.
	f, err := duplicate(j.log.file)
	salt, start, at := j.log.salt, j.start, j.committed
	pending := j.pending.changes()
	j.backups++
	j.mu.Unlock()
	defer func() {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.backups--
	}()
	if err != nil {
		return fmt.Errorf("copy %s: %w", j.options.Path, err)
	}
	defer f.Close()

	copied := start.end
	// What follows the batches of the file continues them, as if they began the copy.
	start.end, at.end = sectorSize, at.end-start.end+sectorSize
	rest := batches{salt: salt, at: at}
	if len(pending.Groups) > 0 {
		rest.add(pending)
	}
	return rest.send(start, io.NewSectionReader(f, copied, at.end-sectorSize), send)
}

// Copy calls send with a file of the groups, as Backup does. It is encoded in memory.
func Copy(groups iter.Seq[*store.Group], send func(size int64, content io.Reader) error) error {
	start := position{end: sectorSize}
	all := batches{salt: rand.Uint64(), at: start} // #nosec G404 -- tells files apart, and guards nothing
	var changes store.Changes
	for g := range groups {
		changes.Groups = append(changes.Groups, store.Change{ID: g.Key.ID(), Group: g})
	}
	if !changes.Empty() {
		all.add(changes)
	}
	return all.send(start, bytes.NewReader(nil), send)
}

// batches are the last batches of a copy.
type batches struct {
	salt    uint64
	at      position // in the copy, behind them
	content []byte
}

func (b *batches) add(changes store.Changes) {
	batch := encodeRecords(make([]byte, headSize, encodedSize(changes, staged{})), changes, staged{})
	end := b.at.end + roundUp(int64(len(batch)+trailerSize), sectorSize)
	batch, after := encodeBatch(batch, b.at, b.salt, end)
	b.content = append(append(b.content, batch...), make([]byte, after.end-b.at.end-int64(len(batch)))...)
	b.at = after
}

// send sends a copy: a header, batches that exist, and these. An empty batch at the end
// says how long the copy is.
func (b *batches) send(start position, existing io.Reader, send func(size int64, content io.Reader) error) error {
	b.add(store.Changes{})
	start.size = b.at.end
	h := header{salt: b.salt, position: start}
	return send(b.at.end, io.MultiReader(bytes.NewReader(h.encode()), existing, bytes.NewReader(b.content)))
}
