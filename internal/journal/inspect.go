package journal

import (
	"context"
	"errors"
	"os"

	"pushgateway/internal/store"
)

// Inspection describes a file and its content.
type Inspection struct {
	Upstream bool           // it is of the upstream Pushgateway
	Version  int            // of the format, otherwise
	Groups   []*store.Group // sorted by ID
	// Guessed says that the file is damaged and Groups are what could be found in it,
	// which may include groups that were deleted since.
	Guessed bool
}

// Inspect reads a file without changing it or anything else in its directory. If the file
// is damaged, the error is a *DamageError, and the groups are those that can still be read.
func Inspect(path string) (found Inspection, err error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return found, describeOpen(path, err)
	}
	defer f.Close()
	if err := flock(context.Background(), f, shared); err != nil { // a batch being written looks like damage
		return found, describeOpen(path, err)
	}
	size, kind, err := identify(f)
	switch {
	case err != nil:
		return found, err
	case kind == empty:
		return Inspection{Version: version}, nil
	case kind == foreign:
		groups, _, err := readUpstreamFile(path)
		if err == nil {
			return Inspection{Upstream: true, Groups: groups}, nil
		}
		salvaged, salvageErr := salvage(f, size)
		return Inspection{Groups: salvaged, Guessed: true}, errors.Join(err, salvageErr)
	}
	read, err := loadFile(f, size)
	if err == nil {
		return Inspection{Version: int(read.header.version), Groups: read.groups}, nil
	}
	var damage *DamageError
	if err = damaged(path, err); !errors.As(err, &damage) {
		return found, err
	}
	salvaged, salvageErr := salvage(f, size)
	return Inspection{Version: version, Groups: salvaged, Guessed: true}, errors.Join(err, salvageErr)
}

// salvage finds records wherever they are in a damaged file: every sector may be the
// beginning of a batch. A record counts if its own checksum is right, a deletion, a wipe or
// a part if its batch's is.
func salvage(f *os.File, size int64) ([]*store.Group, error) {
	file := make([]byte, size)
	if _, err := f.ReadAt(file, 0); err != nil {
		return nil, err
	}
	var groups groupSet
	var parts parts
	var decoder store.RecordDecoder
	for at := 0; at+headSize <= len(file); {
		length, whole := batchAt(file[at:])
		records, _ := splitRecords(file[at+headSize : at+headSize+length])
		for _, r := range records {
			if whole {
				var ok bool
				if r, ok, _ = parts.join(r); !ok {
					continue
				}
			} else if r.kind != groupRecord {
				continue
			}
			_ = groups.apply([]change{decodeChange(r, &decoder)})
		}
		at += sectorSize
		if whole {
			at = int(roundUp(int64(at-sectorSize+headSize+length+trailerSize), sectorSize))
		}
	}
	return groups.sorted(), nil
}

// batchAt returns the length of the records of a batch that b may begin with, and
// whether the batch is whole. The head may be what is damaged, so all that follows may
// be records.
func batchAt(b []byte) (length int, whole bool) {
	h := decodeHead(b)
	if h.length < 0 || h.length > int64(len(b)) || h.padded() > int64(len(b)) {
		return len(b) - headSize, false
	}
	if !checkBatch(b[:h.padded()], h) {
		return len(b) - headSize, false
	}
	return int(h.length), true
}
