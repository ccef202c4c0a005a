package journal

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/store"
)

func TestMemory(t *testing.T) {
	journaltest.Run(t, func(*testing.T) *journaltest.Subject { return &journaltest.Subject{Journal: store.Memory{}} })
}

func TestFile(t *testing.T) {
	for _, mode := range []Sync{SyncEachPush, SyncInterval} {
		t.Run(mode.String(), func(t *testing.T) {
			journaltest.Run(t, func(t *testing.T) *journaltest.Subject { return fileSubject(t, mode) })
		})
	}
}

// fileSubject is a Journal in a new file.
func fileSubject(t *testing.T, mode Sync) *journaltest.Subject {
	t.Helper()
	dir := memoryDir(t)
	path := filepath.Join(dir, "f.db")
	j := newStill(t, path, mode)
	copies := 0
	another := func(t *testing.T, content []byte) store.Journal {
		t.Helper()
		copies++
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", copies))
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return newStill(t, path, mode)
	}
	subject := &journaltest.Subject{
		Journal:  j,
		Another:  func(t *testing.T) store.Journal { return another(t, readFile(t, path)) },
		Restored: another,
		Faults:   []journaltest.Fault{journaltest.Rejected, journaltest.Reported, journaltest.NoSpace, journaltest.NoSpaceAtSync},
		Fail:     func(_ *testing.T, f journaltest.Fault) { failDisk(j.disk, f) },
		Recover: func(t *testing.T) {
			// It does not recover while writing fails, and does no harm either.
			j.disk.write = noSpace
			before := readFile(t, path)
			j.tryToRecover()
			if j.Ready() == nil {
				t.Fatal("the journal says that it can write while it cannot")
			}
			if string(before) != string(readFile(t, path)) {
				t.Fatal("the file was changed by an attempt to recover that failed")
			}
			*j.disk = *newDisk()
			j.tryToRecover()
			if err := j.Ready(); err != nil {
				t.Fatalf("recovered, but not ready: %v", err)
			}
			wantOnly(t, filepath.Join(dir, "f.db"), append(copyNames(copies), "f.db")...)
		},
	}
	if mode == SyncInterval {
		subject.Flush = func() error { return j.Flush(t.Context()) }
	}
	return subject
}

func copyNames(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("copy%d.db", i+1))
	}
	return names
}

func noSpace(f *os.File, _ []byte, _ int64) error {
	return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.ENOSPC}
}

// failDisk has all writes, or all syncs, fail from now on.
func failDisk(d *disk, f journaltest.Fault) {
	switch *d = *newDisk(); f {
	case journaltest.Rejected:
		d.write = func(f *os.File, _ []byte, _ int64) error {
			return &os.PathError{Op: "write", Path: f.Name(), Err: syscall.EIO}
		}
	case journaltest.NoSpace:
		half := true // of the first write; nothing of the others
		d.write = func(f *os.File, b []byte, at int64) error {
			if half {
				half = false
				_ = writeAt(f, b[:len(b)/2], at)
			}
			return noSpace(f, b, at)
		}
	case journaltest.Reported:
		d.sync = func(f *os.File) error { return failAfter(fdatasync(f), syscall.EIO) }
	case journaltest.NoSpaceAtSync:
		d.sync = func(f *os.File) error { return failAfter(fdatasync(f), syscall.ENOSPC) }
	}
}

func failAfter(err, then error) error {
	if err != nil {
		return err
	}
	return then
}
