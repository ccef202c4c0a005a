package journal

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	bolt "go.etcd.io/bbolt"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// sample makes a small file with groups of every size, changed often enough for
// old and free pages to lie between. It returns its bytes and what it exposes.
func sample(t testing.TB, dir string) (file []byte, want string) {
	t.Helper()
	path := filepath.Join(dir, "sample.db")
	j, s := open(t, path, SyncEachPush)
	random := rand.New(rand.NewPCG(9, 9))
	for n := range 150 {
		key := groupKey("job", "sample", "n", fmt.Sprint(random.IntN(50)))
		var err error
		if n%9 == 8 {
			_, err = s.Delete(key)
		} else {
			err = pushText(s, key, fmt.Sprintf("# HELP m Help.\n# TYPE m counter\n%s", largeBody(1+random.IntN(1+n%40))), stepTime(n), metric.MergeGroup)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	shut(t, j)
	return readFile(t, path), exposed(t, s)
}

// opens writes the bytes to path and opens it. It must either be rejected, with an
// error that names the file and without being touched, or hold what exposes want.
// It reports whether it was rejected.
func opens(t testing.TB, path string, file []byte, want, what string) (rejected bool) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	j := New(Options{Path: path, Logger: quiet})
	groups, err := j.open()
	if err == nil {
		shut(t, j)
		if got := text(t, groups); got != want {
			t.Errorf("%s: opened, and exposes other than was stored", what)
		}
		return false
	}
	damage, newer := (*DamageError)(nil), (*NewerError)(nil)
	if !errors.As(err, &damage) && !errors.As(err, &newer) {
		t.Errorf("%s: the error is no *DamageError: %v", what, err)
	}
	if !strings.Contains(err.Error(), path) {
		t.Errorf("%s: the error does not name the file: %v", what, err)
	}
	if !bytes.Equal(readFile(t, path), file) {
		t.Errorf("%s: rejected, but the file was changed", what)
	}
	wantOnly(t, path, filepath.Base(path), "sample.db")
	return true
}

// TestCutFile cuts a file at every 512th byte.
func TestCutFile(t *testing.T) {
	dir := memoryDir(t)
	file, want := sample(t, dir)
	path := filepath.Join(dir, "cut.db")
	rejected, longest := 0, 0
	// What lies behind the pages in use is free space, of which a little will do.
	file = file[:min(len(file), pagesInUse(file)+64*512)]
	for at := 512; at < len(file); at += 512 {
		if opens(t, path, file[:at], want, fmt.Sprintf("cut at %d", at)) {
			rejected++
			longest = at
		}
		if t.Failed() {
			return
		}
	}
	t.Logf("%d of %d cuts rejected; behind byte %d nothing is in use", rejected, len(file)/512, longest)
	if rejected < 50 {
		t.Errorf("only %d cuts were rejected", rejected)
	}
}

// pagesInUse returns how many bytes the pages take that a file of the gateway has,
// which is more.
func pagesInUse(file []byte) int {
	size := os.Getpagesize()
	return size * int(max(native.Uint64(file[pageHeader+metaPages:]), native.Uint64(file[size+pageHeader+metaPages:])))
}

// TestFlippedBits flips one bit at a time: random ones, and more of those that
// hold the pages together.
func TestFlippedBits(t *testing.T) {
	dir := memoryDir(t)
	file, want := sample(t, dir)
	inUse := pagesInUse(file)
	if inUse < 20*os.Getpagesize() || inUse > len(file) {
		t.Fatalf("the first root page says that %d of %d bytes are in use", inUse, len(file))
	}
	var bits []int
	random := rand.New(rand.NewPCG(11, 12))
	for range 300 {
		bits = append(bits, random.IntN(8*inUse))
	}
	// All of the root pages; much of the headers of the others and of the elements
	// that come first in them.
	for page := 0; page < inUse; page += os.Getpagesize() {
		for bit := range 8 * (pageHeader + metaLength) {
			if page < 2*os.Getpagesize() || bit/8 < pageHeader && random.IntN(2) == 0 || random.IntN(8) == 0 {
				bits = append(bits, 8*page+bit)
			}
		}
	}
	path := filepath.Join(dir, "flipped.db")
	rejected := 0
	for _, bit := range bits {
		bad := slices.Clone(file[:inUse])
		bad[bit/8] ^= 1 << (bit % 8)
		if opens(t, path, bad, want, fmt.Sprintf("bit %d of byte %d (page %d, byte %d of it)", bit%8, bit/8, bit/8/os.Getpagesize(), bit/8%os.Getpagesize())) {
			rejected++
		}
	}
	t.Logf("%d of %d flips rejected, the others changed nothing that counts", rejected, len(bits))
	if rejected < 100 {
		t.Errorf("only %d flips were rejected", rejected)
	}
}

// TestStalePage has single pages from an earlier moment, as a disk leaves them that
// drops a write it confirmed.
func TestStalePage(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "stale.db")
	j, s := open(t, path, SyncEachPush)
	var before []byte
	for n := range 40 {
		if n == 37 {
			before = readFile(t, path)
		}
		if err := pushText(s, groupKey("job", fmt.Sprint(n%10)), fmt.Sprintf("m %d\n", n), stepTime(n), metric.MergeGroup); err != nil {
			t.Fatal(err)
		}
	}
	shut(t, j)
	file, want := readFile(t, path), exposed(t, s)
	changed := 0
	for page := 0; page < len(file); page += os.Getpagesize() {
		bad := slices.Clone(file)
		copy(bad[page:page+os.Getpagesize()], before[page:])
		if !bytes.Equal(bad, file) {
			changed++
			opens(t, path, bad, want, fmt.Sprintf("page %d as it was before", page/os.Getpagesize()))
		}
	}
	if changed < 3 {
		t.Errorf("only %d pages differ", changed)
	}
}

// TestNotOurs rejects what is no file of a Pushgateway.
func TestNotOurs(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "not-ours.db")
	random := rand.New(rand.NewPCG(13, 14))
	noise := make([]byte, 10_000)
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	for what, file := range map[string][]byte{
		"one byte":       {0},
		"zeros":          make([]byte, 5000),
		"noise":          noise,
		"text":           []byte("global:\n  scrape_interval: 15s\n"),
		"original, cut":  readFile(t, "testdata/v1.11.3.store")[:3000],
		"original, more": append(readFile(t, "testdata/v1.11.3.store"), "more"...),
	} {
		if !opens(t, path, file, "", what) {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestForeignDatabase rejects the bbolt databases of other programs.
func TestForeignDatabase(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "foreign.db")
	for _, bucket := range []string{"key", "meta", "groups"} {
		edit(t, path, func(tx *bolt.Tx) error {
			b, err := tx.CreateBucket([]byte(bucket))
			if err != nil {
				return err
			}
			return b.Put([]byte("version"), []byte("x"))
		})
		if !opens(t, path, readFile(t, path), "", "a database with a bucket "+bucket) {
			t.Errorf("a database with a bucket %s: accepted", bucket)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// edit changes a database behind the journal's back.
func edit(t testing.TB, path string, change func(*bolt.Tx) error) {
	t.Helper()
	db, err := bolt.Open(path, 0o600, boltOptions(false))
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(change), db.Close()); err != nil {
		t.Fatal(err)
	}
}

// TestNewerVersion rejects a file of a later layout and says so, whatever else that
// layout has changed.
func TestNewerVersion(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "newer.db")
	for what, change := range map[string]func(*bolt.Tx) error{
		"version only":    func(*bolt.Tx) error { return nil },
		"no groups":       func(tx *bolt.Tx) error { return tx.DeleteBucket(groupsBucket) },
		"no count":        func(tx *bolt.Tx) error { return tx.Bucket(metaBucket).Delete(contentKey) },
		"another content": func(tx *bolt.Tx) error { return tx.Bucket(groupsBucket).Put([]byte("x"), []byte("y")) },
	} {
		file, _ := sample(t, dir)
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bolt.Tx) error {
			if err := change(tx); err != nil {
				return err
			}
			return tx.Bucket(metaBucket).Put(versionKey, []byte{version + 1})
		})
		before := readFile(t, path)
		_, err := New(Options{Path: path, Logger: quiet}).open()
		if newer := (*NewerError)(nil); !errors.As(err, &newer) {
			t.Errorf("%s: error %v, want a *NewerError", what, err)
		}
		if !bytes.Equal(readFile(t, path), before) {
			t.Errorf("%s: the file was changed", what)
		}
		if err := os.Remove(filepath.Join(dir, "sample.db")); err != nil {
			t.Fatal(err)
		}
	}
}

// TestContentIsCounted rejects a file in which each record is right, but not all
// are there that should be.
func TestContentIsCounted(t *testing.T) {
	dir := memoryDir(t)
	file, _ := sample(t, dir)
	path := filepath.Join(dir, "counted.db")
	for what, change := range map[string]func(b *bolt.Bucket) error{
		"a group is missing": func(b *bolt.Bucket) error {
			key, _ := b.Cursor().First()
			return b.Delete(key)
		},
		"a group under another name": func(b *bolt.Bucket) error {
			_, record := b.Cursor().First()
			return b.Put([]byte("other"), record)
		},
		"a group changed for another": func(b *bolt.Bucket) error {
			_, first := b.Cursor().First()
			key, _ := b.Cursor().Last()
			return b.Put(key, first)
		},
		"an old state of a group": func(b *bolt.Bucket) error {
			key, record := b.Cursor().First()
			g, err := store.DecodeRecord(record)
			if err != nil {
				return err
			}
			g.Failed = time.Unix(1, 0)
			return b.Put(key, store.AppendRecord(nil, g))
		},
	} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		edit(t, path, func(tx *bolt.Tx) error { return change(tx.Bucket(groupsBucket)) })
		if !opens(t, path, readFile(t, path), "", what) {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestEmptyFile: a file without a byte is as good as none.
func TestEmptyFile(t *testing.T) {
	path := filepath.Join(memoryDir(t), "empty.db")
	if opens(t, path, nil, "", "empty file") {
		t.Error("rejected")
	}
}

// TestNoRoomForTheFile: a file that cannot be made for want of space must not be
// taken for a damaged one once there is some.
func TestNoRoomForTheFile(t *testing.T) {
	dir := smallDisk(t, 1<<20)
	filler := filepath.Join(dir, "filler")
	path := filepath.Join(dir, "pushgateway.db")
	for _, left := range []int{0, 1, 2, 3, 4, 8, 64} { // pages
		if err := os.WriteFile(filler, make([]byte, 1<<20-left*os.Getpagesize()), 0o600); err != nil {
			t.Fatal(err)
		}
		j := New(Options{Path: path, Logger: quiet})
		_, err := j.open()
		if err == nil {
			shut(t, j)
		} else if !errors.Is(err, syscall.ENOSPC) {
			t.Errorf("%d pages of room: %v", left, err)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		j, s := open(t, path, SyncEachPush)
		if err := pushText(s, groupKey("job", "a"), "m 1\n", stepTime(0), metric.MergeGroup); err != nil {
			t.Errorf("%d pages of room, then more: %v", left, err)
		}
		shut(t, j)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// smallDisk mounts a file system of this size, which takes root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d", size)); err != nil {
		t.Fatalf("mount a file system to fill up, which takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return dir
}
