package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

func mustPush(t testing.TB, s *store.Store, job, body string) {
	t.Helper()
	if err := pushText(s, groupKey("job", job), body, time.Now(), metric.MergeGroup); err != nil {
		t.Fatal(err)
	}
}

// breakWith has the journal treat its file as after a write that failed.
func breakWith(j *Journal, err error) {
	_ = j.turn.acquire(context.Background())
	defer j.turn.release()
	j.fail(err)
}

// backup returns a copy made with Backup.
func backup(t testing.TB, j *Journal) []byte {
	t.Helper()
	var out bytes.Buffer
	err := j.Backup(t.Context(), func(size int64, content io.Reader) error {
		n, err := out.ReadFrom(content)
		if n != size {
			t.Errorf("a backup of %d bytes was said to have %d", n, size)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// TestBackupLivesOn opens a backup taken after each of some transactions, again and
// again, as a gateway does that is restarted with it.
func TestBackupLivesOn(t *testing.T) {
	dir := memoryDir(t)
	j, s := open(t, filepath.Join(dir, "first.db"), SyncEachPush)
	for n := range 4 {
		mustPush(t, s, "a", fmt.Sprintf("m %d\n", n))
		path := filepath.Join(dir, fmt.Sprintf("copy%d.db", n))
		if err := os.WriteFile(path, backup(t, j), 0o600); err != nil {
			t.Fatal(err)
		}
		want := journaltest.Exposed(t, s)
		for restart := range 4 {
			again, restored := open(t, path, SyncEachPush)
			if got := journaltest.Exposed(t, restored); got != want {
				t.Errorf("copy %d, start %d: exposed\n%s\nwant\n%s", n, restart, got, want)
			}
			if restart%2 == 1 { // so that the numbers of transactions are even and odd
				mustPush(t, restored, "b", fmt.Sprintf("m %d\n", restart))
				want = journaltest.Exposed(t, restored)
			}
			shut(t, again)
		}
	}
}

// TestBackupIncludesPending: what was acknowledged is in a backup.
func TestBackupIncludesPending(t *testing.T) {
	dir := memoryDir(t)
	j, s := open(t, filepath.Join(dir, "first.db"), SyncInterval)
	mustPush(t, s, "a", "m 1\n")
	if j.Status().PendingGroups != 1 {
		t.Errorf("%d groups pending, want 1", j.Status().PendingGroups)
	}
	path := filepath.Join(dir, "copy.db")
	if err := os.WriteFile(path, backup(t, j), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, restored := open(t, path, SyncInterval); journaltest.Exposed(t, restored) != journaltest.Exposed(t, s) {
		t.Error("the backup holds other than was acknowledged")
	}
}

// TestSlowBackupHoldsNothingUp: while someone takes a backup and does not read it,
// pushes are stored, rejected when the file fails, and stored again.
func TestSlowBackupHoldsNothingUp(t *testing.T) {
	for _, failure := range []error{syscall.EIO, fullDisk} {
		j, s := open(t, filepath.Join(memoryDir(t), "f.db"), SyncEachPush)
		mustPush(t, s, "a", "m 1\n")
		begun, release := make(chan struct{}), make(chan struct{})
		var wait sync.WaitGroup
		wait.Go(func() {
			_ = j.Backup(context.Background(), func(int64, io.Reader) error {
				close(begun)
				<-release
				return nil
			})
		})
		<-begun
		done := make(chan struct{})
		go func() {
			defer close(done)
			mustPush(t, s, "a", "m 2\n")
			breakWith(j, failure)
			err := pushText(s, groupKey("job", "a"), "m 3\n", time.Now(), metric.MergeGroup)
			if unavailable := (*store.UnavailableError)(nil); !errors.As(err, &unavailable) {
				t.Errorf("%v: push while the file fails: %v", failure, err)
			}
			j.tryToRecover()
			mustPush(t, s, "a", "m 4\n")
		}()
		select {
		case <-done:
		case <-time.After(time.Minute): // of a test that fails
			t.Errorf("%v: a backup that nobody reads holds up pushes", failure)
		}
		close(release)
		wait.Wait()
		<-done
	}
}

// TestUnavailableFileStaysLocked: a journal that cannot write keeps others from the file,
// since it writes it anew once it can.
func TestUnavailableFileStaysLocked(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "first", "m 1\n")
	breakWith(j, syscall.EIO)

	other := New(Options{Path: path, Logger: quiet})
	second := store.New(store.Config{Journal: still{other}})
	if err := second.Open(t.Context()); err != nil {
		return // as it should be
	}
	mustPush(t, second, "second", "m 2\n")
	j.tryToRecover()
	shut(t, other)
	if got := text(t, afterCrash(t, path)); !strings.Contains(got, `job="second"`) {
		t.Errorf("two journals had the file, and what one acknowledged is gone:\n%s", got)
	}
}

// TestCloseTellsOfLoss: a journal that stops with changes that it acknowledged and
// could not write says so.
func TestCloseTellsOfLoss(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncInterval)
	mustPush(t, s, "a", "m 1\n")
	breakWith(j, syscall.EIO)
	err := j.Close(t.Context())
	if err == nil && !strings.Contains(text(t, afterCrash(t, path)), `m{instance="",job="a"} 1`) {
		t.Error("closed without an error, but a push that was acknowledged is not in the file")
	}
}

// TestSymlink: a file that is a link to another place stays there.
func TestSymlink(t *testing.T) {
	dir := memoryDir(t)
	if err := os.Mkdir(filepath.Join(dir, "elsewhere"), 0o700); err != nil {
		t.Fatal(err)
	}
	target, path := filepath.Join(dir, "elsewhere", "f.db"), filepath.Join(dir, "link.db")
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "a", "m 1\n")
	breakWith(j, syscall.EIO)
	j.tryToRecover()
	mustPush(t, s, "a", "m 2\n")
	if info, err := os.Lstat(path); err != nil || info.Mode()&os.ModeSymlink == 0 {
		t.Errorf("the link was replaced: %v, %v", info, err)
	}
	if got := text(t, afterCrash(t, target)); !strings.Contains(got, "m{instance=\"\",job=\"a\"} 2") {
		t.Errorf("the file that the link names holds\n%s", got)
	}
}

// TestUpstreamFiles imports files that the upstream Pushgateway wrote.
func TestUpstreamFiles(t *testing.T) {
	for _, name := range []string{"v1.11.3", "v1.5.1"} {
		path := filepath.Join(memoryDir(t), "f.db")
		copyFile(t, "testdata/"+name+".store", path)
		want := string(readFile(t, "testdata/"+name+".metrics"))
		for start := range 2 {
			j, s := open(t, path, SyncEachPush)
			if got := journaltest.Exposed(t, s); sortedLines(got) != sortedLines(want) {
				t.Errorf("%s, start %d: exposed\n%s\nwant\n%s", name, start, sortedLines(got), sortedLines(want))
			}
			shut(t, j)
		}
		if !bytes.Equal(readFile(t, path+".original"), readFile(t, "testdata/"+name+".store")) {
			t.Errorf("%s: the file that was kept is another", name)
		}
		wantOnly(t, path, "f.db", "f.db.original")
	}
}

// sortedLines makes expositions comparable whose series come in different orders.
func sortedLines(text string) string {
	return strings.Join(slices.Sorted(strings.SplitSeq(text, "\n")), "\n")
}

// TestImportCutOff: a process that dies between the steps of a takeover leaves
// what the next one completes.
func TestImportCutOff(t *testing.T) {
	want := string(readFile(t, "testdata/v1.11.3.metrics"))
	for what, leave := range map[string]func(path string) error{
		"kept only":      func(path string) error { return os.Link(path, path+".original") },
		"kept as a copy": func(path string) error { return copySynced(path, path+".original") },
		"copy half done": func(path string) error { return os.WriteFile(path+".new", []byte("half"), 0o400) },
		"kept, new file half done": func(path string) error {
			return errors.Join(os.Link(path, path+".original"), os.WriteFile(path+".new", make([]byte, 5000), 0o600))
		},
	} {
		path := filepath.Join(memoryDir(t), "f.db")
		copyFile(t, "testdata/v1.11.3.store", path)
		if err := leave(path); err != nil {
			t.Fatal(err)
		}
		j := New(Options{Path: path, Logger: quiet})
		groups, err := j.open(t.Context())
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		shut(t, j)
		if got := text(t, groups); sortedLines(got) != sortedLines(want) {
			t.Errorf("%s: exposed\n%s", what, got)
		}
		if !bytes.Equal(readFile(t, path+".original"), readFile(t, "testdata/v1.11.3.store")) {
			t.Errorf("%s: the file that was kept is another", what)
		}
		wantOnly(t, path, "f.db", "f.db.original")
	}
}

// TestOriginalCopyIsNotOverwritten: if a file already has the name under which upstream's file
// would be kept, it stays.
func TestOriginalCopyIsNotOverwritten(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	copyFile(t, "testdata/v1.11.3.store", path)
	if err := os.WriteFile(path+".original", []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); err == nil || !strings.Contains(err.Error(), path+".original") {
		t.Errorf("error %v, want one that names the file that is in the way", err)
	}
	if string(readFile(t, path+".original")) != "precious" || !bytes.Equal(readFile(t, path), readFile(t, "testdata/v1.11.3.store")) {
		t.Error("a file was changed")
	}
	wantOnly(t, path, "f.db", "f.db.original")
}

// TestKeepWithoutLinks: if the file system has no hard links, upstream's file is copied.
func TestKeepWithoutLinks(t *testing.T) {
	for _, no := range []error{syscall.EPERM, syscall.ENOTSUP, syscall.EOPNOTSUPP, syscall.EXDEV, syscall.ENOSYS} {
		path := filepath.Join(memoryDir(t), "f.db")
		kept := path + ".original"
		link := func(from, to string) error { return &os.LinkError{Op: "link", Old: from, New: to, Err: no} }
		if err := os.WriteFile(path, []byte("original"), 0o640); err != nil {
			t.Fatal(err)
		}
		for range 2 { // a start that was cut off has kept it already
			if err := keep(path, kept, link); err != nil {
				t.Errorf("%v: %v", no, err)
			}
			if got := readFile(t, kept); string(got) != "original" {
				t.Errorf("%v: %q was kept", no, got)
			}
		}
		if info, err := os.Stat(kept); err != nil || info.Mode() != 0o640 {
			t.Errorf("%v: the copy has mode %v, %v", no, info.Mode(), err)
		}
		wantOnly(t, path, "f.db", "f.db.original")
		if err := os.WriteFile(kept, []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := keep(path, kept, link); err == nil || string(readFile(t, kept)) != "precious" {
			t.Errorf("%v: another file of that name: error %v, and it holds %q", no, err, readFile(t, kept))
		}
	}
	path := filepath.Join(memoryDir(t), "f.db")
	if err := os.WriteFile(path, []byte("original"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := keep(path, path+".original", func(string, string) error { return syscall.EIO }); !errors.Is(err, syscall.EIO) {
		t.Errorf("error %v, want %v", err, syscall.EIO)
	}
	wantOnly(t, path, "f.db")
}

// TestImportFails: a takeover that cannot be completed leaves all as it was.
func TestImportFails(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	copyFile(t, "testdata/v1.11.3.store", path)
	unblock := blockNewFile(t, path)
	if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); err == nil {
		t.Error("opened though no file could be written")
	}
	unblock()
	if !bytes.Equal(readFile(t, path), readFile(t, "testdata/v1.11.3.store")) {
		t.Error("the file was changed")
	}
	wantOnly(t, path, "f.db")
}

// body returns about two kilobytes of text.
func body(value int) string {
	var b strings.Builder
	b.WriteString("# HELP load_seconds Time taken by a part of the job.\n# TYPE load_seconds gauge\n")
	for i := range 25 {
		fmt.Fprintf(&b, "load_seconds{part=\"a-part-with-a-name-%02d\",zone=\"north-%d\"} %d.%03d\n", i, i%3, value, i)
	}
	return b.String()
}

// TestFileSize: overwriting does not make the file grow without end, and it shrinks
// once most of it is unused.
func TestFileSize(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	const groups, overwrites, batch = 10_000, 60_000, 64
	var states [2][]*store.Group
	for i := range states {
		of := store.InMemory()
		for n := range groups {
			mustPush(t, of, fmt.Sprintf("job-%d", n), body(i*groups+n))
		}
		states[i] = slices.Collect(of.Groups())
	}
	live := int64(0)
	for _, g := range states[0] {
		live += int64(len(store.AppendRecord(nil, g)))
	}
	// Straight to the journal, in the order of the groups first and then in none.
	random := rand.New(rand.NewPCG(15, 16))
	stored := map[string]*store.Group{}
	largest := int64(0)
	for n := 0; n < groups+overwrites; n += batch {
		j.current = func() iter.Seq[*store.Group] { return maps.Values(maps.Clone(stored)) }
		if _, err := j.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		var changes store.Changes
		for i := n; i < n+batch; i++ {
			g := states[0][i%groups]
			if i >= groups {
				g = states[random.IntN(2)][random.IntN(groups)]
			}
			if !slices.ContainsFunc(changes.Groups, func(c store.Change) bool { return c.ID == g.Key.ID() }) {
				changes.Groups = append(changes.Groups, store.Change{ID: g.Key.ID(), Group: g})
			}
		}
		if err := j.Commit(changes); err != nil {
			t.Fatal(err)
		}
		for _, c := range changes.Groups {
			stored[c.ID] = c.Group
		}
		if n > groups {
			largest = max(largest, j.Status().SizeBytes)
		}
	}
	for range 2 { // no disk is as fast as memory, where a compaction comes late
		j.background.Wait()
		if _, err := j.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	size := j.Status().SizeBytes
	t.Logf("%d groups, %d bytes each; the file has %.2f x the live bytes, at most %.2f x", groups, live/int64(groups),
		float64(size)/float64(live), float64(largest)/float64(live))
	if size > live*3/2 {
		t.Errorf("the file has %d bytes, more than 1.5 x the %d that live", size, live)
	}
	j.current = s.Groups
	if _, err := s.Wipe(); err != nil {
		t.Fatal(err)
	}
	shut(t, j)
	j, _ = open(t, path, SyncEachPush)
	if after := j.Status().SizeBytes; after > size/10 {
		t.Errorf("with nothing left and opened again, the file still has %d of %d bytes", after, size)
	}
}

// writeLog makes a file with the groups, as a compaction does.
func writeLog(t testing.TB, path string, groups iter.Seq[*store.Group]) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	l, err := newLog(f, newDisk())
	if err == nil {
		err = l.writeGroups(t.Context(), groups)
	}
	if err == nil {
		err = l.seal()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
}

// BenchmarkLoad opens files of 2 KB groups. x-read is the time taken as a multiple
// of what reading the bytes takes.
func BenchmarkLoad(b *testing.B) {
	for _, count := range []int{1_000, 10_000, 100_000} {
		b.Run(fmt.Sprint(count), func(b *testing.B) {
			path := filepath.Join(b.TempDir(), "f.db")
			s := store.InMemory()
			for n := range count {
				mustPush(b, s, fmt.Sprintf("job-%d", n), body(n))
			}
			writeLog(b, path, s.Groups())
			started := time.Now()
			readFile(b, path)
			reading := time.Since(started)
			for b.Loop() {
				j, loaded := open(b, path, SyncEachPush)
				if loaded.Totals().Groups != count {
					b.Fatal("not all groups are there")
				}
				shut(b, j)
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(reading), "x-read")
		})
	}
}
