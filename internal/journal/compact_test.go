package journal

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/store"
)

// compacting returns a journal of a file that is always due for compaction, with a group
// that has changed often enough.
func compacting(t *testing.T, path string) (*Journal, *store.Store) {
	t.Helper()
	j, s := open(t, path, SyncEachPush)
	for n := range 10 {
		mustPush(t, s, "a", fmt.Sprintf("m %d\n", n))
	}
	j.spare, j.compactAt = 1, 0
	return j, s
}

// isBeside reports whether a file is not the one of that name.
func isBeside(path string, f *os.File) bool {
	named, err := os.Stat(path)
	if err != nil {
		return true
	}
	is, err := f.Stat()
	return err != nil || !os.SameFile(named, is)
}

// TestChangesDuringCompaction: what changes while a new file is written is in it.
func TestChangesDuringCompaction(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := compacting(t, path)
	before := readFile(t, path)
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	j.disk.sync = func(f *os.File) error {
		if isBeside(path, f) {
			once()
			<-release
		}
		return fdatasync(f)
	}
	mustPush(t, s, "b", "m 1\n") // begins it
	<-begun
	mustPush(t, s, "b", "m 2\n")
	mustPush(t, s, "c", "m 3\n")
	if _, err := s.Delete(groupKey("job", "a")); err != nil {
		t.Fatal(err)
	}
	if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
		t.Errorf("during the compaction the file has\n%s\nwant\n%s", got, want)
	}
	close(release)
	j.background.Wait()
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o640 {
		t.Errorf("the new file has mode %v: %v", info.Mode(), err)
	}
	if size := j.committed.end; size >= int64(len(bytes.TrimRight(before, "\x00"))) {
		t.Errorf("the file is not smaller: %d bytes", size)
	}
	for range 2 {
		if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
			t.Errorf("after the compaction the file has\n%s\nwant\n%s", got, want)
		}
		mustPush(t, s, "d", "m 4\n")
		j.background.Wait()
	}
	wantOnly(t, path, "f.db")
}

// TestCompactionWithoutPush: a file that is too large becomes smaller when nobody pushes any more,
// and has what was committed, whether or not the store has published it.
func TestCompactionWithoutPush(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, _ := compacting(t, path)
	before := j.committed.end
	_, other := open(t, filepath.Join(memoryDir(t), "other.db"), SyncEachPush)
	mustPush(t, other, "b", "m 1\n")
	for g := range other.Snapshot().Groups() {
		if err := j.Commit(store.Changes{Groups: []store.Change{{ID: g.Key.ID(), Group: g}}}); err != nil {
			t.Fatal(err)
		}
	}
	j.checkFile()
	j.background.Wait()
	if j.committed.end >= before {
		t.Errorf("the file was not compacted: its batches end at %d, before at %d", j.committed.end, before)
	}
	got := text(t, afterCrash(t, path))
	for _, want := range []string{"m{instance=\"\",job=\"a\"} 9\n", "m{instance=\"\",job=\"b\"} 1\n"} {
		if !strings.Contains(got, want) {
			t.Errorf("the file has\n%s\nwithout %s", got, want)
		}
	}
}

// TestCompactionFails: a compaction that fails at any write or sync of the new file, or
// cannot give it its name, leaves a journal that goes on with the old one.
func TestCompactionFails(t *testing.T) {
	for _, kind := range []string{"write", "sync", "name"} {
		for at := range 5 {
			path := filepath.Join(memoryDir(t), "f.db")
			j, s := compacting(t, path)
			calls := 0
			fails := func(of string, f *os.File) bool {
				if kind != of || !isBeside(path, f) {
					return false
				}
				calls++
				return calls > at
			}
			j.disk.write = func(f *os.File, b []byte, offset int64) error {
				if fails("write", f) {
					return noSpace(f, b, offset)
				}
				return writeAt(f, b, offset)
			}
			j.disk.sync = func(f *os.File) error {
				if fails("sync", f) {
					return syscall.EIO
				}
				if kind == "name" && isBeside(path, f) {
					_ = os.Remove(path + newSuffix)
				}
				return fdatasync(f)
			}
			old, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			mustPush(t, s, "b", "m 1\n")
			j.background.Wait()
			if is, err := os.Stat(path); err != nil || !os.SameFile(is, old) {
				if calls > at {
					t.Errorf("%s %d failed, but the file is another: %v", kind, at, err)
				}
			}
			wantOnly(t, path, "f.db")
			if err := j.Ready(); err != nil {
				t.Errorf("%s %d failed: %v", kind, at, err)
			}
			mustPush(t, s, "b", "m 2\n")
			j.background.Wait()
			if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
				t.Errorf("%s %d failed: the file has\n%s\nwant\n%s", kind, at, got, want)
			}
		}
	}
}

// TestFailureDuringCompaction: if the old file fails meanwhile, the compaction gives way
// to the recovery, which needs the same name.
func TestFailureDuringCompaction(t *testing.T) {
	for _, failure := range []error{syscall.EIO, fullDisk} {
		path := filepath.Join(memoryDir(t), "f.db")
		j, s := compacting(t, path)
		begun, release := make(chan struct{}), make(chan struct{})
		once := sync.OnceFunc(func() { close(begun); <-release })
		j.disk.sync = func(f *os.File) error {
			if isBeside(path, f) {
				once()
			}
			return fdatasync(f)
		}
		mustPush(t, s, "b", "m 1\n")
		<-begun
		breakWith(j, failure)
		recovered := make(chan struct{})
		go func() {
			defer close(recovered)
			j.tryToRecover()
		}()
		close(release)
		<-recovered
		if err := j.Ready(); err != nil {
			t.Errorf("%v: %v", failure, err)
		}
		mustPush(t, s, "b", "m 2\n")
		j.background.Wait()
		if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
			t.Errorf("%v: the file has\n%s\nwant\n%s", failure, got, want)
		}
		wantOnly(t, path, "f.db")
	}
}

// TestBackupOfReplacedFile: a backup has what it was to have though the file is replaced
// before it is read.
func TestBackupOfReplacedFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := compacting(t, path)
	want := journaltest.Exposed(t, s)
	var copied bytes.Buffer
	err := j.Backup(t.Context(), func(_ int64, content io.Reader) error {
		for n := range 3 {
			mustPush(t, s, "b", fmt.Sprintf("m %d\n", n))
			j.background.Wait()
		}
		_, err := copied.ReadFrom(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".copy", copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := text(t, afterCrash(t, path+".copy")); got != want {
		t.Errorf("the backup has\n%s\nwant\n%s", got, want)
	}
}

// TestCompactionInPlace: a file that no other one can replace gives its space back to the
// file system, which takes root to see.
func TestCompactionInPlace(t *testing.T) {
	path := singleFile(t, fileWith(t, "m 1\n"), nil)
	j, s := open(t, path, SyncEachPush)
	before := readFile(t, path)[:sectorSize]
	j.spare = 64 << 10
	j.compactAt = 0
	for n := range 400 {
		mustPush(t, s, fmt.Sprintf("job-%d", n%10), body(n))
		j.background.Wait()
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if taken := info.Sys().(*syscall.Stat_t).Blocks * 512; taken > 1<<20 || info.Size() < 1<<20 {
		t.Errorf("a file of %d bytes takes %d on disk", info.Size(), taken)
	}
	if size := j.Status().SizeBytes; size > 1<<20 {
		t.Errorf("the status says that the file has %d bytes", size)
	}
	want := journaltest.Exposed(t, s)

	// Its space is not given back while a backup reads it.
	var copied bytes.Buffer
	if err := j.Backup(t.Context(), func(_ int64, content io.Reader) error {
		for n := range 100 {
			mustPush(t, s, "job-0", body(n))
			j.background.Wait()
		}
		_, err := copied.ReadFrom(content)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	copyPath := filepath.Join(memoryDir(t), "copy.db")
	if err := os.WriteFile(copyPath, copied.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := text(t, afterCrash(t, copyPath)); got != want || copied.Len() > 1<<20 {
		t.Errorf("the backup has %d bytes and is right: %v", copied.Len(), got == want)
	}

	want = journaltest.Exposed(t, s)
	for range 2 {
		if err := j.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		j, s = open(t, path, SyncEachPush)
		if got := journaltest.Exposed(t, s); got != want {
			t.Fatalf("opened again it has\n%s\nwant\n%s", got, want)
		}
		mustPush(t, s, "new", "m 1\n")
		want = journaltest.Exposed(t, s)
	}

	// The header from before says that there is more than can be found.
	file := readFile(t, path)
	copy(file, before)
	if !opens(t, filepath.Join(memoryDir(t), "f.db"), file, "", "the header of an earlier moment") {
		t.Error("the header of an earlier moment: accepted")
	}
}

// TestSpaceAhead: a file that a compaction has written does not grow until the next one, so each
// push takes a single sync.
func TestSpaceAhead(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	j.spare, j.compactAt = 1<<20, 0
	for first := j.log; j.log == first; j.background.Wait() {
		mustPush(t, s, "a", body(0))
	}
	syncs, pushes := 0, 0
	j.disk.sync = func(f *os.File) error {
		syncs++
		return fdatasync(f)
	}
	before := j.committed.end
	for end := j.compactAt; j.committed.end < end; pushes++ {
		mustPush(t, s, "a", body(pushes))
	}
	if grown := j.committed.end - before; grown < j.spare*3/4 || syncs != pushes {
		t.Errorf("%d pushes of %d bytes together took %d syncs, want one each", pushes, grown, syncs)
	}
}

// TestNoSpaceAhead: a compaction only needs space for what is stored.
func TestNoSpaceAhead(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	j.spare, j.compactAt = 1<<20, 0
	full := false
	j.disk.write = func(f *os.File, b []byte, at int64) error {
		if isBeside(path, f) && at+int64(len(b)) > minStep+64<<10 {
			full = true
			return fullDisk
		}
		return writeAt(f, b, at)
	}
	for first := j.log; j.log == first; j.background.Wait() {
		mustPush(t, s, "a", body(0))
		if used := j.committed.end; used > 2*j.sizeLimit(0) {
			t.Fatalf("not compacted with %d bytes in use", used)
		}
	}
	if !full {
		t.Error("there was space ahead")
	}
	mustPush(t, s, "a", body(1))
	if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
		t.Errorf("the file has\n%s\nwant\n%s", got, want)
	}
}

// TestCompactionAfterDeletes: space that deletes and wipes left free is given back though
// hardly anything is written.
func TestCompactionAfterDeletes(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	j.spare = 64 << 10
	j.compactAt = j.sizeLimit(0)
	for n := range 400 {
		mustPush(t, s, fmt.Sprintf("job-%d", n), body(n))
	}
	settle := func() {
		j.background.Wait() // the compaction that began before the last change
		mustPush(t, s, "next", "m 1\n")
		j.background.Wait()
	}
	settle()
	before := j.Status().SizeBytes
	if _, err := s.Wipe(); err != nil {
		t.Fatal(err)
	}
	settle()
	if after := j.Status().SizeBytes; after > before/2 {
		t.Errorf("after a wipe the file has %d bytes, before it %d", after, before)
	}
	for n := range 400 {
		mustPush(t, s, fmt.Sprintf("job-%d", n), body(n))
	}
	j.background.Wait()
	before = j.Status().SizeBytes
	for n := range 400 {
		if _, err := s.Delete(groupKey("job", fmt.Sprintf("job-%d", n))); err != nil {
			t.Fatal(err)
		}
	}
	settle()
	if after := j.Status().SizeBytes; after > before/2 {
		t.Errorf("after deletes the file has %d bytes, before them %d", after, before)
	}
}

// TestCloseDuringCompaction leaves nothing behind.
func TestCloseDuringCompaction(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := compacting(t, path)
	begun := make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	j.disk.sync = func(f *os.File) error {
		if isBeside(path, f) {
			once()
			<-j.ctx.Done()
		}
		return fdatasync(f)
	}
	mustPush(t, s, "b", "m 1\n")
	<-begun
	want := journaltest.Exposed(t, s)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := j.Close(ctx); err != nil {
		t.Error(err)
	}
	wantOnly(t, path, "f.db")
	if got := text(t, afterCrash(t, path)); got != want {
		t.Errorf("the file has\n%s\nwant\n%s", got, want)
	}
}
