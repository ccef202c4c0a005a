package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"syscall"

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
	fd, err := syscall.Dup(int(j.log.file.Fd()))
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
	syscall.CloseOnExec(fd)
	f := os.NewFile(uintptr(fd), j.options.Path)
	defer f.Close()

	// The copy ends with an empty batch, which says how long it is.
	batches := io.NewSectionReader(f, start.end, at.end-start.end)
	at.end -= start.end - sectorSize
	start.end = sectorSize
	var rest []byte
	add := func(changes store.Changes) {
		batch := encodeRecords(make([]byte, headSize, encodedSize(changes)), changes)
		var after position
		batch, after = encodeBatch(batch, at, salt, at.end+roundUp(int64(len(batch)+trailerSize), sectorSize))
		rest = append(append(rest, batch...), make([]byte, after.end-at.end-int64(len(batch)))...)
		at = after
	}
	if len(pending.Groups) > 0 {
		add(pending)
	}
	add(store.Changes{})
	start.size = at.end
	return send(at.end, io.MultiReader(bytes.NewReader(header{salt, start}.encode()), batches, bytes.NewReader(rest)))
}
