package journal

import (
	"bytes"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"pushgateway/internal/store"
)

// DamageError says that a file cannot be trusted. Nothing has been written to it.
type DamageError struct {
	Path   string
	Reason error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("the file %s is damaged: %v. It was left as it is. Restore it from a backup, "+
		"or move it away to start empty; \"pushgateway dump %s\" prints what can still be read of it", e.Path, e.Reason, e.Path)
}

func (e *DamageError) Unwrap() error { return e.Reason }

// kind is what a file turns out to be.
type kind int

const (
	absent kind = iota // there is none, or an empty one
	ours
	foreign // perhaps of the original
)

// Where bbolt's two root pages have what is checked here; see its page.go and
// meta.go. The sizes do not depend on the machine, the order of bytes does.
const (
	pageHeader   = 16
	metaMagic    = 0xED0CDAED
	metaPageSize = 8  // offset of the page size in the root
	metaRoot     = 16 // of the number of the page that the tree begins with
	metaFreelist = 32 // of the number of the page that lists free pages
	noFreelist   = 1<<64 - 1
	metaPages    = 40 // of how many pages there are
	metaTxID     = 48 // of the transaction's number
	metaSum      = 56 // of the checksum of all before
	metaLength   = 64
)

// identify tells what the file is.
func identify(path string) (kind, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return absent, nil
	}
	if err != nil {
		return absent, describeOpen(path, err)
	}
	defer f.Close()
	var head [pageHeader + metaLength]byte
	n, err := f.ReadAt(head[:], 0)
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return absent, fmt.Errorf("read %s: %w", path, err)
	case n == 0:
		return absent, nil
	case n >= pageHeader+4 && native.Uint32(head[pageHeader:]) == metaMagic:
		return ours, nil
	}
	// The first root page may be what is damaged.
	var second [4]byte
	if _, err := f.ReadAt(second[:], int64(os.Getpagesize()+pageHeader)); err == nil && native.Uint32(second[:]) == metaMagic {
		return ours, nil
	}
	return foreign, nil
}

// check checks that bbolt can be trusted with a file: its root pages, and all pages
// in use. With damage the error is a *DamageError.
func check(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return describeOpen(path, err)
	}
	defer f.Close()
	if err := flock(f, syscall.LOCK_SH); err != nil { // what is just being written looks like damage
		return describeOpen(path, err)
	}
	if err := checkRoots(f); err != nil {
		return &DamageError{path, err}
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	file, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	if err = guarded(func() error { return checkTree(file) }); err != nil {
		err = &DamageError{path, err}
	}
	return errors.Join(err, syscall.Munmap(file))
}

// checkRoots checks both root pages. bbolt itself would fall back to the older one
// where the newer is damaged, and the last transaction would be gone without a
// word.
func checkRoots(f *os.File) error {
	var first [pageHeader + metaLength]byte
	if _, err := f.ReadAt(first[:], 0); err != nil {
		return fmt.Errorf("its first page cannot be read: %w", err)
	}
	pageSize := native.Uint32(first[pageHeader+metaPageSize:])
	if pageSize < 512 || pageSize > 1<<20 {
		return fmt.Errorf("its first page gives a page size of %d", pageSize)
	}
	var numbers [2]uint64
	for i := range numbers {
		var page [pageHeader + metaLength]byte
		if _, err := f.ReadAt(page[:], int64(i)*int64(pageSize)); err != nil {
			return fmt.Errorf("root page %d cannot be read: %w", i, err)
		}
		root := page[pageHeader:]
		h := fnv.New64a()
		h.Write(root[:metaSum])
		if native.Uint32(root) != metaMagic || h.Sum64() != native.Uint64(root[metaSum:]) {
			return fmt.Errorf("the checksum of root page %d is wrong", i)
		}
		numbers[i] = native.Uint64(root[metaTxID:])
	}
	// Two apart are those of a backup after its first transaction: bbolt gives both
	// pages to a copy, whichever had the last number, and overwrites one by number.
	if newer, older := max(numbers[0], numbers[1]), min(numbers[0], numbers[1]); newer-older > 2 {
		return fmt.Errorf("its root pages are of transactions %d and %d, which do not follow each other", older, newer)
	}
	return nil
}

// read reads all groups of a file of ours and checks everything there is to check,
// without writing. Groups come in the order of their keys. With damage the error is
// a *DamageError, and groups are those read until then.
func read(path string) (groups []*store.Group, is content, err error) {
	if err := check(path); err != nil {
		return nil, content{}, err
	}
	db, err := bolt.Open(path, 0, boltOptions(true))
	if errors.Is(err, bolterrors.ErrInvalid) || errors.Is(err, bolterrors.ErrChecksum) || errors.Is(err, bolterrors.ErrVersionMismatch) {
		return nil, content{}, &DamageError{path, err}
	}
	if err != nil {
		return nil, content{}, describeOpen(path, err)
	}
	err = guarded(func() error {
		return db.View(func(tx *bolt.Tx) (err error) {
			groups, is, err = readGroups(tx, path)
			return err
		})
	})
	var newer *NewerError
	if err != nil && !errors.As(err, &newer) {
		err = &DamageError{path, err}
	}
	return groups, is, errors.Join(err, closeGuarded(db))
}

// NewerError says that the file is of a layout that this program does not know.
type NewerError struct {
	Path    string
	Version byte
}

func (e *NewerError) Error() string {
	return fmt.Sprintf("the file %s has version %d, but this program knows only version %d: use the program that wrote it, or a newer one", e.Path, e.Version, version)
}

// guarded runs f and makes an error of a panic, also of one for memory that is not
// there because the file is shorter than its pages say.
func guarded(f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("its pages do not fit together: %v", p)
		}
	}()
	return f()
}

func closeGuarded(db *bolt.DB) error { return guarded(db.Close) }

func readGroups(tx *bolt.Tx, path string) (groups []*store.Group, is content, err error) {
	meta, records := tx.Bucket(metaBucket), tx.Bucket(groupsBucket)
	if meta == nil && records == nil {
		if key, _ := tx.Cursor().First(); key == nil && tx.ID() <= 1 {
			return nil, content{}, nil // made, but the first transaction never came
		}
		return nil, content{}, errors.New("it is a bbolt database, but not of a Pushgateway")
	}
	if meta == nil {
		return nil, content{}, errors.New("a bucket is missing")
	}
	if v := meta.Get(versionKey); len(v) != 1 || v[0] == 0 {
		return nil, content{}, errors.New("its version is missing")
	} else if v[0] > version {
		return nil, content{}, &NewerError{path, v[0]}
	}
	if records == nil {
		return nil, content{}, errors.New("a bucket is missing")
	}
	want, err := decodeContent(meta.Get(contentKey))
	if err != nil {
		return nil, content{}, err
	}
	var keys, values [][]byte
	err = records.ForEach(func(key, record []byte) error {
		if record == nil {
			return fmt.Errorf("the group %q is a bucket", key)
		}
		is.add(key, record)
		keys, values = append(keys, key), append(values, record)
		return nil
	})
	if err != nil {
		return nil, content{}, err
	}
	groups, err = decodeAll(keys, values)
	if err == nil && is != want {
		err = fmt.Errorf("it holds %d groups, should hold %d, and they are not those of the last transaction", is.records, want.records)
	}
	return groups, is, err
}

// decodeAll decodes records on all processors. With an error it returns those
// before the first bad one.
func decodeAll(keys, values [][]byte) ([]*store.Group, error) {
	groups := make([]*store.Group, len(values))
	errs := make([]error, len(values))
	workers := runtime.GOMAXPROCS(0)
	var wait sync.WaitGroup
	for w := range workers {
		wait.Go(func() {
			for i := w; i < len(values); i += workers {
				groups[i], errs[i] = decode(keys[i], values[i])
			}
		})
	}
	wait.Wait()
	for i, err := range errs {
		if err != nil {
			return groups[:i], fmt.Errorf("group %q: %w", keys[i], err)
		}
	}
	return groups, nil
}

// decode decodes the record of a key.
func decode(key, record []byte) (g *store.Group, err error) {
	err = guarded(func() (err error) {
		g, err = store.DecodeRecord(record)
		if err == nil && !bytes.Equal(keyOf(g.Key.ID()), key) {
			err = errors.New("the record is that of another group")
		}
		return err
	})
	return g, err
}
