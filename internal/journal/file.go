// Package journal keeps the groups of a store in a file, so that they survive the
// process: a bbolt database, changed in transactions, of which each is on disk
// before the pushes in it are answered. It also reads the file of the original
// Pushgateway.
package journal

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"os"
	"path/filepath"
	"syscall"
	"time"

	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"pushgateway/internal/store"
)

// The database has two buckets:
//
//	meta    "version" → the version of this layout, one byte
//	        "groups"  → what the other bucket holds: number of records and the sum
//	                    of their fingerprints, 8 bytes each, little endian
//	groups  key of a group → its record, see store.AppendRecord
//
// bbolt has checksums for its two root pages only. The records have their own, and
// the sum of fingerprints tells when records are missing or old.
var (
	metaBucket   = []byte("meta")
	groupsBucket = []byte("groups")
	versionKey   = []byte("version")
	contentKey   = []byte("groups")
)

// version is that of the layout. A file of a higher one is rejected; one of a lower one
// is read, and becomes of this one with the first change. Version 2 has records that
// say more than the families of a group.
const version = 2

// content is what the groups bucket is said to hold.
type content struct {
	records     uint64
	fingerprint uint64 // the sum of those of all records
}

func (c content) encode() []byte {
	return binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint64(nil, c.records), c.fingerprint)
}

func decodeContent(b []byte) (content, error) {
	if len(b) != 16 {
		return content{}, errors.New("the count of its groups is missing")
	}
	return content{binary.LittleEndian.Uint64(b), binary.LittleEndian.Uint64(b[8:])}, nil
}

func (c *content) add(key, record []byte) {
	c.records++
	c.fingerprint += fingerprint(key, record)
}

func (c *content) remove(key, record []byte) {
	c.records--
	c.fingerprint -= fingerprint(key, record)
}

// fingerprint is made of the key and the record's checksum, with which the record
// begins.
func fingerprint(key, record []byte) uint64 {
	h := fnv.New64a()
	h.Write(key)
	h.Write(record[:min(4, len(record))])
	return h.Sum64()
}

// keyOf returns the key of a group's record: its ID, or, where that would be too
// long for the database, its beginning and a hash.
func keyOf(id string) []byte {
	const most = 512
	if len(id) <= most {
		return []byte(id)
	}
	h := fnv.New128a()
	h.Write([]byte(id))
	return h.Sum([]byte(id[:most]))
}

// boltOptions are those of every database. The free list is not stored, but found
// anew when the file is opened: one thing less to be damaged, and to be written at
// each commit. The initial mapping is so large that growth seldom has to wait for
// a backup that is being read.
func boltOptions(readOnly bool) *bolt.Options {
	return &bolt.Options{
		Timeout:         time.Second,
		ReadOnly:        readOnly,
		NoFreelistSync:  true,
		FreelistType:    bolt.FreelistMapType,
		InitialMmapSize: 1 << 30,
	}
}

// allocation is by how much the file grows at a time.
const allocation = 1 << 20

// openDatabase opens the file for writing, and makes it where there is none. It
// writes only to one that is new, and returns what the file is said to hold.
func openDatabase(path string) (*bolt.DB, content, error) {
	db, err := bolt.Open(path, 0o644, boltOptions(false))
	if err != nil {
		return nil, content{}, describeOpen(path, err)
	}
	db.AllocSize = allocation
	var is content
	err = guarded(func() error {
		isNew := false
		err := db.View(func(tx *bolt.Tx) (err error) {
			meta := tx.Bucket(metaBucket)
			if isNew = meta == nil; isNew {
				return nil
			}
			is, err = decodeContent(meta.Get(contentKey))
			return err
		})
		if err == nil && isNew {
			err = db.Update(prepare)
		}
		return err
	})
	if err != nil {
		return nil, content{}, errors.Join(fmt.Errorf("prepare %s: %w", path, err), closeGuarded(db))
	}
	return db, is, nil
}

// prepare makes the buckets of a new file.
func prepare(tx *bolt.Tx) error {
	meta, err := tx.CreateBucket(metaBucket)
	if err != nil {
		return err
	}
	if _, err := tx.CreateBucket(groupsBucket); err != nil {
		return err
	}
	if err := meta.Put(contentKey, content{}.encode()); err != nil {
		return err
	}
	return meta.Put(versionKey, []byte{version})
}

// describeOpen says what is behind an error of opening a file.
func describeOpen(path string, err error) error {
	directory := filepath.Dir(path)
	switch {
	case errors.Is(err, bolterrors.ErrTimeout):
		return fmt.Errorf("open %s: %w", path, errHeld)
	case forbidden(err):
		return fmt.Errorf("open %s: %w; the user who runs the gateway needs to write to the file and to its directory %s", path, err, directory)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("open %s: %w; does the directory %s exist?", path, err, directory)
	}
	return fmt.Errorf("open %s: %w", path, err)
}

// syncDirectory makes the name of a file durable.
func syncDirectory(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// newSuffix makes the name under which a file is written that is to take the place
// of another.
const newSuffix = ".new"

// writeSnapshot writes the groups to a new file beside path, puts it in its place
// and returns what it holds. With an error what was there is untouched, as it is
// before the new file is complete and on disk. Its name is durable only once the
// directory is synced.
func writeSnapshot(path string, groups iter.Seq[*store.Group]) (is content, err error) {
	temporary := path + newSuffix
	if err := removeIfThere(temporary); err != nil {
		return content{}, err
	}
	db, _, err := openDatabase(temporary)
	if err != nil {
		return content{}, errors.Join(err, removeIfThere(temporary))
	}
	var failed error
	batch := make([]*store.Group, 0, snapshotBatch)
	flush := func() {
		failed = db.Update(func(tx *bolt.Tx) error {
			bucket := tx.Bucket(groupsBucket)
			bucket.FillPercent = 0.9 // the keys come in order
			for _, g := range batch {
				key, record := keyOf(g.Key.ID()), store.AppendRecord(nil, g)
				if err := bucket.Put(key, record); err != nil {
					return err
				}
				is.add(key, record)
			}
			return tx.Bucket(metaBucket).Put(contentKey, is.encode())
		})
		batch = batch[:0]
	}
	db.NoSync = true // once at the end is enough for a file nobody uses yet
	for g := range groups {
		if batch = append(batch, g); len(batch) == snapshotBatch {
			if flush(); failed != nil {
				break
			}
		}
	}
	if failed == nil {
		flush()
	}
	err = errors.Join(failed, db.Sync(), db.Close())
	if err == nil {
		err = os.Rename(temporary, path)
		if errors.Is(err, syscall.EBUSY) {
			err = fmt.Errorf("%w: is it mounted by itself? Then mount its directory instead", err)
		}
	}
	if err != nil {
		return content{}, fmt.Errorf("write %s anew: %w", path, errors.Join(err, removeIfThere(temporary)))
	}
	return is, nil
}

// snapshotBatch is how many groups go into one transaction of a snapshot.
const snapshotBatch = 4096

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
