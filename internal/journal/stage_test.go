package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// groupOf returns a group with so many series.
func groupOf(t testing.TB, job string, series int) *store.Group {
	t.Helper()
	s := store.InMemory()
	key := groupKey("job", job)
	if err := pushText(s, key, largeBody(series), stepTime(series), metric.MergeGroup); err != nil {
		t.Fatal(err)
	}
	return s.Snapshot().Group(key)
}

func changesTo(groups ...*store.Group) (c store.Changes) {
	for _, g := range groups {
		c.Groups = append(c.Groups, store.Change{ID: g.Key.ID(), Group: g})
	}
	return c
}

func commitTo(t testing.TB, j *Journal, groups ...*store.Group) {
	t.Helper()
	if err := j.Commit(changesTo(groups...)); err != nil {
		t.Fatal(err)
	}
}

// wantGroups checks what a process finds after a crash.
func wantGroups(t testing.TB, path string, want ...*store.Group) {
	t.Helper()
	if got := journaltest.RecordsOf(slices.Values(afterCrash(t, path))); !maps.Equal(got, journaltest.RecordsOf(slices.Values(want))) {
		t.Errorf("after a crash %d groups are found, not the %d that were committed, or other ones", len(got), len(want))
	}
}

// openWithParts opens a file whose parts have 1,000 bytes.
func openWithParts(t testing.TB) (j *Journal, path string) {
	t.Helper()
	path = filepath.Join(memoryDir(t), "f.db")
	j, _ = open(t, path, SyncEachPush)
	j.maxPart = 1000
	return j, path
}

// TestStagedGroup: a staged group is written in parts, between which others commit. It counts
// from its commit on, and that writes no more than a reference to the parts.
func TestStagedGroup(t *testing.T) {
	j, path := openWithParts(t)
	first, second, small := groupOf(t, "large", 300), groupOf(t, "large", 600), groupOf(t, "small", 1)
	commitTo(t, j, first)
	parts, largest := 0, 0
	between := make(chan error, 1)
	j.disk.write = func(f *os.File, b []byte, at int64) error {
		if len(b) > headSize && b[headSize] == partRecord {
			if parts++; parts == 3 {
				go func() { between <- j.Commit(changesTo(small)) }()
			}
		}
		largest = max(largest, len(b))
		return writeAt(f, b, at)
	}
	done := j.Stage(second)
	if err := <-between; err != nil {
		t.Fatal(err)
	}
	if want := len(store.AppendRecord(nil, second))/1000 + 1; parts != want {
		t.Errorf("%d parts, want %d", parts, want)
	}
	wantGroups(t, path, first, small)
	largest = 0
	commitTo(t, j, second)
	done()
	if largest > sectorSize {
		t.Errorf("the commit of a staged group wrote %d bytes at once", largest)
	}
	wantGroups(t, path, second, small)
	commitTo(t, j, first) // as usual, without parts
	wantGroups(t, path, first, small)
}

// TestStagedInVain: parts that nothing refers to have no effect, whatever comes later.
func TestStagedInVain(t *testing.T) {
	j, path := openWithParts(t)
	first, second := groupOf(t, "large", 300), groupOf(t, "large", 200)
	j.Stage(first)()
	wantGroups(t, path)
	commitTo(t, j, first) // is no longer staged
	wantGroups(t, path, first)
	done := j.Stage(second)
	commitTo(t, j, first)
	wantGroups(t, path, first)
	commitTo(t, j, second)
	done()
	wantGroups(t, path, second)
}

// TestStagingFails: if a part cannot be written, or the file with the parts is replaced, the
// commit writes the whole record.
func TestStagingFails(t *testing.T) {
	j, path := openWithParts(t)
	g := groupOf(t, "large", 300)
	writes := 0
	j.disk.sync = func(f *os.File) error {
		if writes++; writes == 3 {
			return &os.PathError{Op: "sync", Path: f.Name(), Err: errors.New("broken")}
		}
		return fdatasync(f)
	}
	done := j.Stage(g)
	if j.Ready() == nil || writes != 3 {
		t.Fatalf("available after a part failed, or %d syncs", writes)
	}
	j.tryToRecover()
	commitTo(t, j, g)
	done()
	wantGroups(t, path, g)

	other := groupOf(t, "other", 300)
	done = j.Stage(other)
	j.fail(errors.New("broken"))
	j.tryToRecover()
	commitTo(t, j, other)
	done()
	wantGroups(t, path, g, other)
}

// TestStagingAndCompaction: a compaction, which would leave the parts behind, begins neither
// while a group is being staged nor before it is committed; and staging waits for one.
func TestStagingAndCompaction(t *testing.T) {
	j, path := openWithParts(t)
	j.spare = 1 << 10
	g := groupOf(t, "large", 300)
	compacting := func() bool {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.compactAt = 0
		j.compactIfDue()
		return j.compaction != nil
	}
	done := j.Stage(g)
	if compacting() {
		t.Error("a compaction began while a group was staged")
	}
	commitTo(t, j, g)
	done()

	hold, release, current := make(chan struct{}), make(chan struct{}), j.log.file
	j.disk.write = func(f *os.File, b []byte, at int64) error {
		if f != current { // the first write to the new file
			hold <- struct{}{}
			<-release
			current = f
		}
		return writeAt(f, b, at)
	}
	for range 5 { // outdated
		commitTo(t, j, g)
	}
	if !compacting() {
		t.Fatal("no compaction began")
	}
	<-hold
	staged := make(chan func(), 1)
	go func() { staged <- j.Stage(g) }()
	for waiting := false; !waiting; time.Sleep(time.Millisecond) {
		j.mu.Lock()
		waiting = j.staging
		j.mu.Unlock()
	}
	release <- struct{}{}
	done = <-staged
	j.mu.Lock()
	if j.compaction != nil {
		t.Error("staged during a compaction")
	}
	j.mu.Unlock()
	commitTo(t, j, g)
	done()
	wantGroups(t, path, g)
}

// TestCompactionInParts: a new file gets a large group in parts, and is synced in between: other
// files on the disk do not wait for all of it.
func TestCompactionInParts(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	key := groupKey("job", "large")
	if err := pushText(s, key, largeBody(300_000), stepTime(1), metric.MergeGroup); err != nil {
		t.Fatal(err)
	}
	largest, unsynced, mostUnsynced := 0, 0, 0
	j.disk.write = func(f *os.File, b []byte, at int64) error {
		largest, unsynced = max(largest, len(b)), unsynced+len(b)
		mostUnsynced = max(mostUnsynced, unsynced)
		return writeAt(f, b, at)
	}
	j.disk.sync = func(f *os.File) error {
		unsynced = 0
		return fdatasync(f)
	}
	l, err := j.writeNew(t.Context(), s.Groups())
	if err != nil {
		t.Fatal(err)
	}
	defer l.file.Close()
	size := s.Snapshot().Group(key).Size()
	if largest > maxBuffer || mostUnsynced > maxUnsynced+maxBuffer || size < 2*maxUnsynced {
		t.Errorf("of a group of %d bytes, %d were written at once, and %d without a sync", size, largest, mostUnsynced)
	}
	if got := journaltest.RecordsOf(slices.Values(afterCrash(t, path+newSuffix))); !maps.Equal(got, journaltest.RecordsOf(s.Groups())) {
		t.Error("the new file has other than the store")
	}
}

// TestDamagedParts: a change anywhere in the parts of a group is noticed.
func TestDamagedParts(t *testing.T) {
	j, path := openWithParts(t)
	g := groupOf(t, "large", 300)
	start := j.log.end
	done := j.Stage(g)
	end := j.log.end
	commitTo(t, j, g)
	done()
	commitTo(t, j, groupOf(t, "small", 1))
	file := readFile(t, path)
	damaged := filepath.Join(memoryDir(t), "damaged.db")
	for at := start; at < end; at += 300 {
		if allZero(file[at : at+1]) { // perhaps what fills a sector, where it would be noticed, too
			continue
		}
		changed := slices.Clone(file)
		changed[at] ^= 1
		if !opens(t, damaged, changed, "", fmt.Sprint("byte ", at)) {
			t.Errorf("byte %d is changed, and the file was opened", at)
		}
	}
}

// TestJoinParts: parts that do not follow each other are damage.
func TestJoinParts(t *testing.T) {
	part := func(kind byte, at uint64, data string) record {
		return record{kind, append(binary.LittleEndian.AppendUint64(nil, at), data...)}
	}
	whole := []record{part(partRecord, 0, "abc"), {deletionRecord, []byte("d")}, part(partRecord, 3, "de"), part(partsRecord, 5, "")}
	join := func(records []record) (joined []record, err error) {
		var p parts
		for _, r := range records {
			r, ok, failed := p.join(r)
			err = errors.Join(err, failed)
			if ok {
				joined = append(joined, r)
			}
		}
		return joined, err
	}
	got, err := join(whole)
	if err != nil || len(got) != 2 || got[0].kind != deletionRecord || got[1].kind != groupRecord || string(got[1].data) != "abcde" {
		t.Errorf("joined %v, %v", got, err)
	}
	for _, wrong := range [][]record{
		{part(partRecord, 3, "de")},
		{part(partRecord, 0, "abc"), part(partRecord, 4, "e")},
		{part(partRecord, 0, "abc"), part(partsRecord, 4, "")},
		{part(partRecord, 0, "abc"), part(partsRecord, 3, "x")},
		{part(partRecord, 0, "abc"), {partRecord, []byte("short")}},
		append(slices.Clone(whole), whole[3]),
	} {
		if got, err := join(wrong); err == nil {
			t.Errorf("%v is joined to %v", wrong, got)
		}
	}
}

// TestFileWithoutParts: a file of the version before parts is continued, as one of today.
func TestFileWithoutParts(t *testing.T) {
	j, path := openWithParts(t)
	g, large := groupOf(t, "a", 10), groupOf(t, "large", 300)
	commitTo(t, j, g)
	shut(t, j)
	file := readFile(t, path)
	binary.LittleEndian.PutUint32(file[8:], versionWithoutParts)
	appendSum(file[:12], file[:12])
	appendSum(file[:headerSize-4], file[:headerSize-4])
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	wantGroups(t, path, g)
	j, _ = open(t, path, SyncEachPush)
	j.maxPart = 1000
	if v := binary.LittleEndian.Uint32(readFile(t, path)[8:]); v != version {
		t.Errorf("a file that may get parts has version %d", v)
	}
	done := j.Stage(large)
	commitTo(t, j, large)
	done()
	wantGroups(t, path, g, large)
}
