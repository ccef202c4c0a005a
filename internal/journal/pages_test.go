package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	bolt "go.etcd.io/bbolt"

	"pushgateway/internal/store"
)

const testPage = 512 // bytes

// pageOf returns a page, or several that it runs on for. Elements are at 16 bytes each
// behind the header, and what is behind them follows in order.
func pageOf(number uint64, flags uint16, elements ...[]byte) []byte {
	page := make([]byte, pageHeader)
	native.PutUint64(page, number)
	native.PutUint16(page[pageFlags:], flags)
	native.PutUint16(page[pageCount:], uint16(len(elements)))
	at := pageHeader + len(elements)*elementSize
	var behind []byte
	for _, e := range elements {
		offset := uint32(at + len(behind) - len(page))
		if flags == leafPage {
			native.PutUint32(e[leafAt:], offset)
		} else {
			native.PutUint32(e[branchAt:], offset)
		}
		page = append(page, e[:elementSize]...)
		behind = append(behind, e[elementSize:]...)
	}
	page = append(page, behind...)
	run := max(1, (len(page)+testPage-1)/testPage)
	native.PutUint32(page[pageOverflow:], uint32(run-1))
	return append(page, make([]byte, run*testPage-len(page))...)
}

// leafKeys returns a leaf page.
func leafKeys(number uint64, keys ...string) []byte {
	var elements [][]byte
	for _, key := range keys {
		elements = append(elements, leafElement(0, key, "value"))
	}
	return pageOf(number, leafPage, elements...)
}

func leafElement(flags uint32, key, value string) []byte {
	e := make([]byte, elementSize, elementSize+len(key)+len(value))
	native.PutUint32(e[leafFlags:], flags)
	native.PutUint32(e[leafKey:], uint32(len(key)))
	native.PutUint32(e[leafValueSize:], uint32(len(value)))
	return append(append(e, key...), value...)
}

func branchElement(key string, child uint64) []byte {
	e := make([]byte, elementSize, elementSize+len(key))
	native.PutUint32(e[branchKey:], uint32(len(key)))
	native.PutUint64(e[branchChild:], child)
	return append(e, key...)
}

// bucketOn returns a leaf page with one bucket, whose root is another page.
func bucketOn(number, root uint64) []byte {
	value := make([]byte, bucketHeader)
	native.PutUint64(value, root)
	return pageOf(number, leafPage, leafElement(bucketElement, "bucket", string(value)))
}

// bucketIn returns a leaf page with one bucket, whose root follows in the value.
func bucketIn(number uint64, page []byte) []byte {
	return pageOf(number, leafPage, leafElement(bucketElement, "bucket", string(make([]byte, bucketHeader))+string(page)))
}

// freePages returns a list of free pages.
func freePages(number uint64, count uint16, free ...uint64) []byte {
	page := pageOf(number, freelistPage)
	native.PutUint16(page[pageCount:], count)
	for i, n := range free {
		native.PutUint64(page[pageHeader+8*i:], n)
	}
	return page
}

// with sets bytes of a page, numbers of 16 bits at a time.
func with(page []byte, at int, value uint16) []byte {
	native.PutUint16(page[at:], value)
	return page
}

// fileOf returns a file whose root page says that the tree begins with page 2, and
// that page free lists the free pages.
func fileOf(free uint64, pages ...[]byte) []byte {
	file := make([]byte, 2*testPage)
	for _, page := range pages {
		file = append(file, page...)
	}
	root := file[pageHeader:]
	native.PutUint32(root[metaPageSize:], testPage)
	native.PutUint64(root[metaRoot:], 2)
	native.PutUint64(root[metaFreelist:], free)
	native.PutUint64(root[metaPages:], uint64(len(file)/testPage))
	native.PutUint64(root[metaTxID:], 7) // the other root page has 0
	return file
}

func TestCheckTree(t *testing.T) {
	const none = noFreelist
	long := strings.Repeat("x", 3*testPage)
	for _, c := range []struct {
		what string
		file []byte
		want string // in the error; none where empty
	}{
		{"nothing", fileOf(none, leafKeys(2)), ""},
		{"a leaf", fileOf(none, leafKeys(2, "a", "b")), ""},
		{"a long value", fileOf(none, pageOf(2, leafPage, leafElement(0, "a", long))), ""},
		{"a branch", fileOf(none, pageOf(2, branchPage, branchElement("a", 3), branchElement("c", 4)), leafKeys(3, "a", "b"), leafKeys(4, "d")), ""},
		{"branches", fileOf(none, pageOf(2, branchPage, branchElement("a", 3)), pageOf(3, branchPage, branchElement("a", 4)), leafKeys(4, "a")), ""},
		{"a bucket", fileOf(none, bucketOn(2, 3), leafKeys(3, "a")), ""},
		{"an empty bucket", fileOf(none, bucketOn(2, 3), leafKeys(3)), ""},
		{"an inline bucket", fileOf(none, bucketIn(2, leafKeys(0, "a"))), ""},
		{"an empty inline bucket", fileOf(none, bucketIn(2, leafKeys(0)[:pageHeader])), ""},
		{"free pages", fileOf(3, leafKeys(2), freePages(3, 2, 5, 4), leafKeys(9), leafKeys(9)), ""},
		{"many free pages", fileOf(3, leafKeys(2), freePages(3, manyFree, 1, 4), leafKeys(9)), ""},
		{"bytes behind the last page", append(fileOf(none, leafKeys(2)), 1, 2, 3), ""},

		{"cut", fileOf(none, leafKeys(2), leafKeys(3))[:4*testPage-1], "cut short"},
		{"no such page", fileOf(none, bucketOn(2, 3)), "page 3 is referred to, but there are 3"},
		{"a root page", fileOf(none, bucketOn(2, 1)), "page 1 is used twice"},
		{"in a circle", fileOf(none, pageOf(2, branchPage, branchElement("a", 2))), "page 2 is used twice"},
		{"twice", fileOf(none, pageOf(2, branchPage, branchElement("a", 3), branchElement("b", 3)), leafKeys(3, "a")), "page 3 is used twice"},
		{"another number", fileOf(none, leafKeys(3)), "page 2 says that it is page 3"},
		{"runs on beyond the last", fileOf(none, with(leafKeys(2), pageOverflow, 1)), "page 3 is referred to, but there are 3"},
		{"runs on far beyond", fileOf(none, with(with(leafKeys(2), pageOverflow, 0xFFFF), pageOverflow+2, 0xFFFF)), "page 3 is referred to, but there are 3"},
		{"runs on into another", fileOf(none, bucketOn(2, 3), with(bucketOn(3, 4), pageOverflow, 1), leafKeys(4)), "page 4 is used twice"},
		{"a root page in the tree", fileOf(none, pageOf(2, 0x04)), "no known kind"},
		{"a freelist in the tree", fileOf(none, freePages(2, 0)), "no known kind"},
		{"an empty branch", fileOf(none, pageOf(2, branchPage)), "it is empty"},
		{"an empty leaf below", fileOf(none, pageOf(2, branchPage, branchElement("a", 3)), leafKeys(3)), "it is empty"},
		{"too many elements", fileOf(none, with(leafKeys(2), pageCount, testPage/elementSize)), "do not fit"},
		{"a key outside", fileOf(none, with(leafKeys(2, "a"), pageHeader+leafAt, testPage-pageHeader)), "does not lie within"},
		{"a long key", fileOf(none, with(leafKeys(2, "a"), pageHeader+leafKey, testPage)), "does not lie within"},
		{"a value outside", fileOf(none, with(leafKeys(2, "a"), pageHeader+leafValueSize, testPage)), "does not lie within"},
		{"a value far outside", fileOf(none, with(leafKeys(2, "a"), pageHeader+leafValueSize+2, 0xFFFF)), "does not lie within"},
		{"a key of a branch outside", fileOf(none, with(pageOf(2, branchPage, branchElement("a", 3)), pageHeader+branchAt, testPage), leafKeys(3, "a")), "does not lie within"},
		{"no key", fileOf(none, leafKeys(2, "")), "out of order"},
		{"the same key", fileOf(none, leafKeys(2, "a", "a")), "out of order"},
		{"a smaller key", fileOf(none, leafKeys(2, "b", "a")), "out of order"},
		{"a key below its branch", fileOf(none, pageOf(2, branchPage, branchElement("b", 3)), leafKeys(3, "a")), "out of order"},
		{"a key of the next page", fileOf(none, pageOf(2, branchPage, branchElement("a", 3), branchElement("b", 4)), leafKeys(3, "a", "b"), leafKeys(4, "c")), "out of order"},
		{"a smaller key of a branch", fileOf(none, pageOf(2, branchPage, branchElement("b", 3), branchElement("a", 4)), leafKeys(3, "b"), leafKeys(4, "c")), "out of order"},
		{"a branch below its branch", fileOf(none, pageOf(2, branchPage, branchElement("b", 3)), pageOf(3, branchPage, branchElement("a", 4)), leafKeys(4, "b")), "out of order"},
		{"unknown flags", fileOf(none, pageOf(2, leafPage, leafElement(2, "a", ""))), "unknown flags 0x2"},
		{"a bucket cut short", fileOf(none, pageOf(2, leafPage, leafElement(bucketElement, "a", "12345678"))), `bucket "a": it is cut short`},
		{"an inline bucket cut short", fileOf(none, bucketIn(2, make([]byte, pageHeader-1))), "neither here nor"},
		{"an inline bucket that is a branch", fileOf(none, bucketIn(2, pageOf(0, branchPage, branchElement("a", 3))), leafKeys(3, "a")), "neither here nor"},
		{"a bad key in an inline bucket", fileOf(none, bucketIn(2, leafKeys(0, "b", "a"))), "out of order"},

		{"no freelist there", fileOf(3, leafKeys(2)), "page 3 is referred to, but there are 3"},
		{"a freelist that is a leaf", fileOf(3, leafKeys(2), leafKeys(3)), "should list free pages"},
		{"a freelist in use", fileOf(2, leafKeys(2)), "page 2 is used twice"},
		{"a free page in use", fileOf(3, leafKeys(2), freePages(3, 1, 2)), "page 2 is used twice"},
		{"a free root page", fileOf(3, leafKeys(2), freePages(3, 1, 0)), "page 0 is used twice"},
		{"free twice", fileOf(3, leafKeys(2), freePages(3, 2, 4, 4), leafKeys(9)), "page 4 is used twice"},
		{"a free page beyond the last", fileOf(3, leafKeys(2), freePages(3, 1, 4)), "page 4 is referred to, but there are 4"},
		{"too many free pages", fileOf(3, leafKeys(2), freePages(3, testPage/8)), "do not fit"},
		{"far too many free pages", fileOf(3, leafKeys(2), freePages(3, manyFree, 1<<61)), "do not fit"},
	} {
		err := checkTree(c.file)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q", c.what, err, c.want)
		}
	}
}

// TestStoredFreelist: a file in which a tool of bbolt stored the list of free pages can
// be used, unless that is damaged.
func TestStoredFreelist(t *testing.T) {
	dir := memoryDir(t)
	path := filepath.Join(dir, "sample.db")
	_, want := sample(t, dir)
	db, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(db.Update(func(*bolt.Tx) error { return nil }), db.Close()); err != nil {
		t.Fatal(err)
	}
	file := readFile(t, path)
	file = file[:pagesInUse(file)]
	root := file[pageHeader:]
	if second := file[os.Getpagesize()+pageHeader:]; native.Uint64(second[metaTxID:]) > native.Uint64(root[metaTxID:]) {
		root = second
	}
	at := int(native.Uint64(root[metaFreelist:])) * os.Getpagesize()
	if at == 0 || at >= len(file) || native.Uint16(file[at+pageCount:]) < 2 {
		t.Fatalf("the file has no list of free pages at %d of %d", at, len(file))
	}
	if opens(t, filepath.Join(dir, "f.db"), file, want, "stored freelist") {
		t.Error("rejected")
	}
	rejected := 0
	for bit := range 8 * (pageHeader + 2*8) {
		bad := slices.Clone(file)
		bad[at+bit/8] ^= 1 << (bit % 8)
		if opens(t, filepath.Join(dir, "f.db"), bad, want, fmt.Sprintf("bit %d of byte %d", bit%8, bit/8)) {
			rejected++
		}
	}
	if rejected < 8*8 { // the page's own number alone
		t.Errorf("only %d flips were rejected", rejected)
	}
}

// FuzzPages changes numbers in a file: whatever is accepted, bbolt can be trusted with.
func FuzzPages(f *testing.F) {
	dir := memoryDir(f)
	file, _ := sample(f, dir)
	file = file[:pagesInUse(file)]
	page := uint32(os.Getpagesize())
	for _, at := range []uint32{2*page + pageFlags, 3*page + pageCount, 4*page + pageHeader + leafKey, 5*page + pageOverflow} {
		f.Add(at, uint16(0), at, uint16(1))
	}
	path := filepath.Join(dir, "fuzzed.db")
	f.Fuzz(func(t *testing.T, at uint32, value uint16, then uint32, thenValue uint16) {
		bad := slices.Clone(file)
		body := bad[2*page:]
		with(body, int(at)%(len(body)-1), value)
		with(body, int(then)%(len(body)-1), thenValue)
		if checkTree(bad) != nil {
			return
		}
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		db, _, err := openDatabase(path)
		if err != nil {
			return // of buckets and what is in them
		}
		err = db.Update(func(tx *bolt.Tx) error {
			return tx.ForEach(func(_ []byte, b *bolt.Bucket) error {
				return errors.Join(b.ForEach(func(_, _ []byte) error { return nil }), b.Put([]byte("new"), []byte("value")))
			})
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Error(err)
		}
	})
}

// TestFaultNamesItsGroup: of records of which one cannot be read, since the file has
// become shorter, that one is named and those before are returned.
func TestFaultNamesItsGroup(t *testing.T) {
	s := store.InMemory()
	for i := range 4 * runtime.GOMAXPROCS(0) {
		mustPush(t, s, fmt.Sprintf("job-%03d", i), "m 1\n")
	}
	var keys, values [][]byte
	for g := range s.Groups() {
		keys, values = append(keys, keyOf(g.Key.ID())), append(values, store.AppendRecord(nil, g))
	}
	f, err := os.Create(filepath.Join(memoryDir(t), "mapped"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	beyond, err := syscall.Mmap(int(f.Fd()), 0, os.Getpagesize(), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Munmap(beyond); err != nil {
			t.Error(err)
		}
	}()
	for bad := range values {
		some := slices.Clone(values)
		some[bad] = beyond
		groups, err := decodeAll(keys, some)
		if len(groups) != bad || err == nil || !strings.Contains(err.Error(), fmt.Sprintf("%q", keys[bad])) {
			t.Errorf("record %d: %d groups before it, error %v", bad, len(groups), err)
		}
		if slices.Contains(groups, nil) {
			t.Errorf("record %d: one of the groups before it is missing", bad)
		}
	}
}
