package journal

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
)

// FuzzLoad reads any bytes as a file, and a good file with any changes: it must be
// rejected, or have what it had after one of its batches.
func FuzzLoad(f *testing.F) {
	// A backup is a small file.
	j, s := open(f, filepath.Join(memoryDir(f), "f.db"), SyncEachPush)
	empty, err := loadBytes(backup(f, j))
	if err != nil {
		f.Fatal(err)
	}
	want := map[string]bool{fingerprint(empty): true}
	for n := range 6 {
		mustPush(f, s, fmt.Sprint("job-", n%4), fmt.Sprintf("m %d\nn{l=\"%0400d\"} 1\n", n, n))
		if n == 4 {
			if _, err := s.Delete(groupKey("job", "job-1")); err != nil {
				f.Fatal(err)
			}
		}
		is, err := loadBytes(backup(f, j))
		if err != nil {
			f.Fatal(err)
		}
		want[fingerprint(is)] = true
	}
	good := backup(f, j)
	f.Add(good, []byte{})
	f.Add(good[:len(good)-sectorSize], []byte{})
	// Changes are an offset in 4 bytes, a length, and as many bytes.
	f.Add([]byte{}, []byte{0, 2, 0, 0, 1, 0})
	f.Add([]byte{}, []byte{0, 4, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, file, changes []byte) {
		_, _ = loadBytes(file)
		changed := slices.Clone(good)
		for len(changes) >= 5 {
			at, length := int(binary.LittleEndian.Uint32(changes)%uint32(len(changed))), int(changes[4])
			length = min(length, len(changes)-5, len(changed)-at)
			copy(changed[at:], changes[5:5+length])
			changes = changes[5+length:]
		}
		is, err := loadBytes(changed)
		if err == nil && !want[fingerprint(is)] {
			t.Error("a file that was changed is read as what it never was")
		}
	})
}

func loadBytes(file []byte) (loaded, error) {
	return loadFile(bytes.NewReader(file), int64(len(file)))
}

// fingerprint is equal for equal groups.
func fingerprint(is loaded) string {
	var all []byte
	for _, g := range is.groups {
		all = appendRecord(all, groupRecord, []byte(g.Key.ID()))
		all = binary.LittleEndian.AppendUint64(all, uint64(g.Changed().UnixNano()))
	}
	return string(all)
}
