package journal

import (
	"bytes"
	"fmt"
	"iter"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// powerDisk is a disk whose power can fail: it knows what of each file is on disk, and
// what was written since the last sync. A failure leaves some sectors of that.
type powerDisk struct {
	mu    sync.Mutex // guards all below
	files map[uint64]*powerFile
	may   []journaltest.Records // one of these states must be found; the last acknowledged one comes first
	tried int
	t     *testing.T
	rand  *rand.Rand
	path  string
}

type powerFile struct {
	durable  []byte
	volatile []powerSector
}

type powerSector struct {
	at   int64
	data []byte
}

func (f *powerFile) image(kept func() bool) []byte {
	image := slices.Clone(f.durable)
	for _, s := range f.volatile {
		if kept() {
			image = put(image, s)
		}
	}
	return image
}

func put(image []byte, s powerSector) []byte {
	if end := int(s.at) + len(s.data); end > len(image) {
		image = append(image, make([]byte, end-len(image))...)
	}
	copy(image[s.at:], s.data)
	return image
}

// fileOf returns what is known of a file, which may have got its name since.
func (d *powerDisk) fileOf(f *os.File) *powerFile {
	info, err := f.Stat()
	if err != nil {
		d.t.Error(err)
	}
	id := info.Sys().(*syscall.Stat_t).Ino
	if d.files[id] == nil {
		d.files[id] = &powerFile{}
	}
	return d.files[id]
}

func (d *powerDisk) write(f *os.File, b []byte, at int64) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := d.fileOf(f)
	for i := 0; i < len(b); {
		// A sector is one of the file, wherever the write begins.
		n := min(len(b)-i, sectorSize-int(at+int64(i))%sectorSize)
		file.volatile = append(file.volatile, powerSector{at + int64(i), slices.Clone(b[i : i+n])})
		i += n
	}
	return writeAt(f, b, at)
}

func (d *powerDisk) sync(f *os.File) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	file := d.fileOf(f)
	named, err := os.Stat(d.path)
	if is, _ := f.Stat(); err == nil && os.SameFile(named, is) {
		odds := 1 + d.rand.IntN(4)
		for _, kept := range []func() bool{
			func() bool { return false },
			func() bool { return true },
			func() bool { return d.rand.IntN(odds+1) > 0 },
			func() bool { return d.rand.IntN(odds+1) == 0 },
		} {
			d.fail(file.image(kept))
		}
	}
	for _, s := range file.volatile {
		file.durable = put(file.durable, s)
	}
	file.volatile = nil
	return nil
}

// fail checks what a process finds after a power failure that left this.
func (d *powerDisk) fail(image []byte) {
	d.tried++
	is, err := loadFile(bytes.NewReader(image), int64(len(image)))
	if err != nil {
		d.t.Errorf("after a power failure: %v", err)
		return
	}
	got := journaltest.RecordsOf(slices.Values(is.groups))
	for _, state := range d.may {
		if maps.Equal(got, state) {
			return
		}
	}
	d.t.Errorf("after a power failure %d groups are found, not those that were acknowledged, %d", len(got), len(d.may[0]))
}

// TestPowerFailure makes random changes in batches of every size, with compactions, and
// has the power fail at each sync. What was acknowledged is there; of the batch that was
// being written, all or nothing.
func TestPowerFailure(t *testing.T) {
	for _, seed := range []uint64{1, 2, 3} {
		path := filepath.Join(memoryDir(t), "f.db")
		d := &powerDisk{files: map[uint64]*powerFile{}, may: []journaltest.Records{{}}, t: t, rand: rand.New(rand.NewPCG(seed, 1)), path: path}
		j := newStill(t, path, SyncEachPush)
		j.disk.write, j.disk.sync, j.spare, j.maxPart = d.write, d.sync, 8<<10, 3000
		random := rand.New(rand.NewPCG(seed, 2))
		var published atomic.Pointer[store.Store]
		published.Store(store.InMemory())
		if _, err := j.Load(t.Context(), func() iter.Seq[*store.Group] { return published.Load().Groups() }); err != nil {
			t.Fatal(err)
		}
		for n := range 400 {
			if _, err := j.Begin(t.Context()); err != nil {
				t.Fatal(err)
			}
			next := store.InMemory(journaltest.Copies(t, published.Load().Groups())...)
			var changes store.Changes
			if random.IntN(50) == 0 {
				if _, err := next.Wipe(); err != nil {
					t.Fatal(err)
				}
				changes.Wiped = true
			}
			for range random.IntN(4) {
				key := groupKey("job", fmt.Sprint(random.IntN(20)))
				if slices.ContainsFunc(changes.Groups, func(c store.Change) bool { return c.ID == key.ID() }) {
					continue
				}
				var err error
				if random.IntN(4) == 0 {
					_, err = next.Delete(key)
				} else {
					err = pushText(next, key, largeBody(1+random.IntN(60)*random.IntN(10)), stepTime(n), metric.MergeGroup)
				}
				if err != nil {
					t.Fatal(err)
				}
				changes.Groups = append(changes.Groups, store.Change{ID: key.ID(), Group: next.Snapshot().Group(key)})
			}
			after := journaltest.RecordsOf(next.Groups())
			done := func() {}
			if len(changes.Groups) > 0 && changes.Groups[0].Group != nil && random.IntN(3) == 0 {
				done = j.Stage(changes.Groups[0].Group)
			}
			d.mu.Lock()
			d.may = append(d.may, after)
			d.mu.Unlock()
			if err := j.Commit(changes); err != nil {
				t.Fatal(err)
			}
			done()
			d.mu.Lock()
			d.may = []journaltest.Records{after}
			d.mu.Unlock()
			published.Store(next)
			if t.Failed() {
				t.Fatalf("seed %d, batch %d", seed, n)
			}
		}
		j.background.Wait()
		t.Logf("%d power failures, %d files", d.tried, len(d.files))
		if len(d.files) < 5 || d.tried < 400 {
			t.Errorf("%d power failures, %d files: too few", d.tried, len(d.files))
		}
		shut(t, j.Journal)
		if got := journaltest.RecordsOf(slices.Values(afterCrash(t, path))); !maps.Equal(got, d.may[0]) {
			t.Error("in the end there is other than was acknowledged")
		}
	}
}
