package journal

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// TestFileGone: a file that is deleted, moved or replaced under a journal is noticed
// before anything is acknowledged, and written again.
func TestFileGone(t *testing.T) {
	for what, remove := range map[string]func(path string) error{
		"deleted": os.Remove,
		"moved":   func(path string) error { return os.Rename(path, path+".moved") },
		"replaced": func(path string) error {
			return errors.Join(os.WriteFile(path+".other", []byte("other"), 0o600), os.Rename(path+".other", path))
		},
		"directory moved": func(path string) error {
			return errors.Join(os.Rename(filepath.Dir(path), filepath.Dir(path)+".moved"), os.Mkdir(filepath.Dir(path), 0o700))
		},
		"volume mounted": func(path string) error { return syscall.Mount("tmpfs", filepath.Dir(path), "tmpfs", 0, "size=4194304") },
	} {
		for _, mode := range []Sync{SyncEachPush, SyncInterval} {
			for _, byPush := range []bool{true, false} {
				path := filepath.Join(memoryDir(t), "data", "f.db")
				if err := os.Mkdir(filepath.Dir(path), 0o700); err != nil {
					t.Fatal(err)
				}
				j, s := open(t, path, mode)
				mustPush(t, s, "a", "m 1\n")
				mustPush(t, s, "b", "m 1\n")
				if err := remove(path); err != nil {
					t.Fatalf("%s: %v, which takes root", what, err)
				}
				if byPush {
					_, err := s.Delete(groupKey("job", "b")) // is written in both modes
					if unavailable := (*store.UnavailableError)(nil); !errors.As(err, &unavailable) {
						t.Errorf("%s, %v: a delete was answered %v", what, mode, err)
					}
				} else {
					j.checkFile()
				}
				if err := j.Ready(); err == nil || !strings.Contains(err.Error(), path) {
					t.Errorf("%s, %v: ready: %v", what, mode, err)
				}
				if j.Status().Durable {
					t.Errorf("%s, %v: says that it is durable", what, mode)
				}
				j.tryToRecover()
				if err := j.Ready(); err != nil {
					t.Errorf("%s, %v: not recovered: %v", what, mode, err)
				}
				if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
					t.Errorf("%s, %v: the new file has\n%s\nwant\n%s", what, mode, got, want)
				}
				mustPush(t, s, "c", "m 1\n")
				if mode == SyncEachPush && byPush { // which takes time
					if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); !errors.Is(err, errLocked) {
						t.Errorf("%s: a second journal: error %v, want %v", what, err, errLocked)
					}
				}
				shut(t, j)
				if what == "volume mounted" {
					if err := syscall.Unmount(filepath.Dir(path), syscall.MNT_DETACH); err != nil {
						t.Error(err)
					}
				}
			}
		}
	}
}

// TestFileGoneBeforeClose: a file that is gone when the journal stops is written again.
func TestFileGoneBeforeClose(t *testing.T) {
	for _, noticed := range []bool{true, false} {
		path := filepath.Join(memoryDir(t), "f.db")
		j, s := open(t, path, SyncEachPush)
		mustPush(t, s, "a", "m 1\n")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if noticed {
			j.checkFile()
		}
		want := journaltest.Exposed(t, s)
		if err := j.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := text(t, afterCrash(t, path)); got != want {
			t.Errorf("noticed before: %v; the file has\n%s\nwant\n%s", noticed, got, want)
		}
	}
}

// TestNoRegularFile: what cannot be a file is said so, without waiting for anyone.
func TestNoRegularFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{path, filepath.Dir(path), "/dev/null"} {
		if _, err := New(Options{Path: path, Logger: quiet}).Load(t.Context(), nil); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: error %v", path, err)
		}
		if _, err := Inspect(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("inspect %s: error %v", path, err)
		}
		_ = os.Remove(path + ".lock")
	}
}

// hang has all syncs wait until the result is called.
func hang(j *Journal) (hanging <-chan struct{}, release func()) {
	begun, released := make(chan struct{}, 100), make(chan struct{})
	j.disk.sync = func(f *os.File) error {
		begun <- struct{}{}
		<-released
		return fdatasync(f)
	}
	return begun, func() { close(released) }
}

// soon returns a context that ends before anyone loses patience.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	t.Cleanup(cancel)
	return ctx
}

// TestHangingDisk: nobody but those who change something waits for the disk, and Close
// does so within its bounds, and says what for.
func TestHangingDisk(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "a", "m 1\n")
	hanging, release := hang(j)
	pushed := make(chan error, 1)
	go func() { pushed <- pushText(s, groupKey("job", "a"), "m 2\n", time.Now(), metric.MergeGroup) }()
	<-hanging
	if err := j.Ready(); err != nil {
		t.Errorf("ready: %v", err)
	}
	if status := j.Status(); !status.Durable {
		t.Errorf("status %+v", status)
	}
	if _, err := j.Begin(t.Context()); err != nil {
		t.Errorf("Begin: %v", err)
	}
	if err := j.Backup(t.Context(), func(_ int64, content io.Reader) error {
		_, err := io.Copy(io.Discard, content)
		return err
	}); err != nil {
		t.Errorf("backup: %v", err)
	}
	j.checkFile()
	err := j.Close(soon(t))
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "writing to "+path) {
		t.Errorf("Close returned %v", err)
	}
	release()
	if err := <-pushed; err != nil {
		t.Errorf("the push: %v", err)
	}
}

// TestIntervalDoesNotWait: with syncs in intervals, pushes do not wait for one.
func TestIntervalDoesNotWait(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncInterval)
	mustPush(t, s, "a", "m 1\n")
	mustPush(t, s, "b", "m 1\n")
	hanging, release := hang(j)
	flushed := make(chan error, 1)
	go func() { flushed <- j.Flush(context.Background()) }()
	<-hanging
	mustPush(t, s, "a", "m 2\n")
	mustPush(t, s, "c", "m 2\n")
	release()
	if err := <-flushed; err != nil {
		t.Fatal(err)
	}
	if n := j.Status().PendingGroups; n != 2 {
		t.Errorf("%d groups are pending, want the two that were pushed meanwhile", n)
	}
	if err := j.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
		t.Errorf("the file has\n%s\nwant\n%s", got, want)
	}
}

// TestHangingLoad: Load returns once its context ends, and Close says what it waits for.
func TestHangingLoad(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j := New(Options{Path: path, Logger: quiet})
	hanging, release := hang(j)
	ctx, cancel := context.WithCancelCause(t.Context())
	loaded := make(chan error, 1)
	go func() {
		_, err := j.Load(ctx, nil)
		loaded <- err
	}()
	<-hanging
	stopping := errors.New("stopping")
	cancel(stopping)
	if err := <-loaded; !errors.Is(err, stopping) || !strings.Contains(err.Error(), path) {
		t.Errorf("Load returned %v", err)
	}
	if err := j.Close(soon(t)); err == nil || !strings.Contains(err.Error(), "opening "+path) {
		t.Errorf("Close returned %v", err)
	}
	release()
	// What hung ends by itself, and lets go of the file.
	other, _ := open(t, path, SyncEachPush)
	shut(t, other)
	wantOnly(t, path, "f.db")
}

// TestOptional: a file that cannot be used is done without, unless there is something
// in it.
func TestOptional(t *testing.T) {
	dir := memoryDir(t)
	load := func(path string) (*Journal, error) {
		j := New(Options{Path: path, Logger: quiet, Optional: true})
		t.Cleanup(func() { shut(t, j) })
		_, err := j.Load(t.Context(), nil)
		return j, err
	}
	made := filepath.Join(dir, "data", "f.db")
	if j, err := load(made); err != nil || !j.Status().Durable {
		t.Errorf("in a directory that is not there: %v, %+v", err, j.Status())
	}
	j, err := load(made) // is in use
	if status := j.Status(); err != nil || status.Durable || !errors.Is(status.Err, errLocked) || j.Ready() != nil {
		t.Errorf("a file in use: %v, %+v, ready: %v", err, status, j.Ready())
	}
	if _, err := j.Begin(t.Context()); err != nil {
		t.Error(err)
	}
	if err := j.Commit(store.Changes{Wiped: true}); err != nil {
		t.Error(err)
	}
	if err := j.Backup(t.Context(), nil); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("backup: %v", err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Error(err)
	}
	damaged := filepath.Join(dir, "damaged.db")
	if err := os.WriteFile(damaged, []byte("no such thing"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(damaged); !errors.As(err, new(*DamageError)) {
		t.Errorf("a damaged file: error %v, want a *DamageError", err)
	}
}
