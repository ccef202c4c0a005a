package journal

import (
	"bytes"
	"encoding/binary"
	"slices"
	"testing"
)

// FuzzLoad reads any bytes as a file, and a good file with any changes: it must be
// rejected, or have what it had after one of its batches.
func FuzzLoad(f *testing.F) {
	s := makeSample(f, true)
	want := map[string]bool{}
	for _, n := range []int64{s.end(), s.states[len(s.states)-3].end} {
		f.Add(s.file[:n], []byte{})
	}
	// Changes are an offset in 4 bytes, a length, and as many bytes.
	f.Add([]byte{}, []byte{0, 0, 2, 0, 1, 0})
	f.Add([]byte{}, []byte{0, 0, 2, 8, 8, 0, 0, 0, 0, 0, 0, 0, 0})
	for n := range s.states {
		file := slices.Clone(s.file)
		clear(file[s.states[n].end:s.end()])
		is, err := loadFile(bytes.NewReader(file), int64(len(file)))
		if err != nil {
			f.Fatal(err)
		}
		want[fingerprint(is)] = true
	}
	f.Fuzz(func(t *testing.T, file, changes []byte) {
		_, _ = loadFile(bytes.NewReader(file), int64(len(file)))
		changed := slices.Clone(s.file)
		for len(changes) >= 5 {
			at, length := int(binary.LittleEndian.Uint32(changes)%uint32(len(changed))), int(changes[4])
			length = min(length, len(changes)-5, len(changed)-at)
			copy(changed[at:], changes[5:5+length])
			changes = changes[5+length:]
		}
		is, err := loadFile(bytes.NewReader(changed), int64(len(changed)))
		if err == nil && !want[fingerprint(is)] {
			t.Error("a file that was changed is read as what it never was")
		}
	})
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
