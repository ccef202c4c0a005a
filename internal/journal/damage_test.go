package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/store"
)

// sample is a file and how it came to be.
type sample struct {
	file   []byte
	states []state // in order, the first is that of the new file
}

// state is what a file has after a batch.
type state struct {
	end  int64 // offset behind the batch
	text string
}

func (s sample) end() int64   { return s.states[len(s.states)-1].end }
func (s sample) want() string { return s.states[len(s.states)-1].text }

// makeSample makes a small file with groups of every size. If closed, it ends as an
// orderly stop leaves it, otherwise as a killed process does.
func makeSample(t testing.TB, closed bool) sample {
	t.Helper()
	path := filepath.Join(memoryDir(t), "sample.db")
	j, s := open(t, path, SyncEachPush)
	var made sample
	note := func() {
		if n := len(made.states); n == 0 || made.states[n-1].end != j.log.end {
			made.states = append(made.states, state{j.log.end, journaltest.Exposed(t, s)})
		}
	}
	note()
	random := rand.New(rand.NewPCG(9, 9))
	for n := range 60 {
		key := groupKey("job", "sample", "n", fmt.Sprint(random.IntN(20)))
		var err error
		if n%9 == 8 {
			_, err = s.Delete(key)
		} else {
			body := "# HELP m Help.\n# TYPE m counter\n" + largeBody(1+random.IntN(1+n%40))
			err = pushText(s, key, body, stepTime(n), metric.MergeGroup)
		}
		if err != nil {
			t.Fatal(err)
		}
		note()
	}
	if closed {
		if err := j.log.finish(); err != nil {
			t.Fatal(err)
		}
		note()
	}
	shut(t, j)
	made.file = readFile(t, path)
	return made
}

// batch returns the bytes of the n-th batch of a sample, from 1 on.
func (s sample) batch(n int) []byte { return s.file[s.states[n-1].end:s.states[n].end] }

// opens writes the bytes to path and opens it. It must either be rejected, with an
// error that names the file and without being touched, or have what exposes want.
// It reports whether it was rejected.
func opens(t testing.TB, path string, file []byte, want, what string) (rejected bool) {
	t.Helper()
	got, rejected := opened(t, path, file, what)
	if !rejected && got != want {
		t.Errorf("%s: opened, and exposes other than was stored", what)
	}
	return rejected
}

// opened is opens for what may have any content.
func opened(t testing.TB, path string, file []byte, what string) (content string, rejected bool) {
	t.Helper()
	if err := os.WriteFile(path, file, 0o600); err != nil {
		t.Fatal(err)
	}
	j := New(Options{Path: path, Logger: quiet})
	groups, err := j.open(t.Context())
	if err == nil {
		shut(t, j)
		return text(t, groups), false
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
	wantOnly(t, path, filepath.Base(path))
	return "", true
}

// opensBefore checks that a file is rejected or has what it had after one of its batches.
func (s sample) opensBefore(t testing.TB, path string, file []byte, what string) (rejected bool) {
	t.Helper()
	got, rejected := opened(t, path, file, what)
	if !rejected && !slices.ContainsFunc(s.states, func(s state) bool { return s.text == got }) {
		t.Errorf("%s: opened, and exposes what was never stored", what)
	}
	return rejected
}

// both runs a test on a file of each kind.
func both(t *testing.T, test func(t *testing.T, s sample, path string)) {
	for name, closed := range map[string]bool{"closed": true, "killed": false} {
		t.Run(name, func(t *testing.T) {
			test(t, makeSample(t, closed), filepath.Join(memoryDir(t), "f.db"))
		})
	}
}

// TestCutFile cuts a file anywhere.
func TestCutFile(t *testing.T) {
	both(t, func(t *testing.T, s sample, path string) {
		random := rand.New(rand.NewPCG(1, 2))
		for at := 1; at < len(s.file); at += 1 + random.IntN(600) {
			if at > int(s.end())+8*sectorSize {
				at += 20_000 // only zeros there
			}
			if at = min(at, len(s.file)-1); !opens(t, path, s.file[:at], "", fmt.Sprintf("cut at %d of %d", at, len(s.file))) {
				t.Fatalf("cut at %d of %d: accepted", at, len(s.file))
			}
		}
		for _, state := range s.states {
			for _, at := range []int64{state.end, state.end + 1, state.end - 1} {
				if !opens(t, path, s.file[:at], "", fmt.Sprintf("cut at %d", at)) {
					t.Fatalf("cut at %d, beside the end of a batch: accepted", at)
				}
			}
		}
	})
}

// TestFlippedBits flips bits of every part of a file.
func TestFlippedBits(t *testing.T) {
	both(t, func(t *testing.T, s sample, path string) {
		var bits []int
		random := rand.New(rand.NewPCG(11, 12))
		for range 300 {
			bits = append(bits, random.IntN(8*int(s.end())))
		}
		for bit := range 8 * headerSize {
			bits = append(bits, bit)
		}
		last := len(s.states) - 1
		for _, n := range []int{1, 2, last / 2, last - 1, last} {
			at := 8 * int(s.states[n-1].end)
			for bit := range 8 * headSize {
				bits = append(bits, at+bit)
			}
			used := bytes.TrimRight(s.batch(n), "\x00")
			for bit := range 8 * (trailerSize + 1) {
				bits = append(bits, at+8*(len(used)-trailerSize)+bit)
			}
		}
		for _, bit := range bits {
			bad := slices.Clone(s.file)
			bad[bit/8] ^= 1 << (bit % 8)
			if !opens(t, path, bad, "", fmt.Sprintf("bit %d of byte %d", bit%8, bit/8)) {
				t.Fatalf("bit %d of byte %d flipped: accepted", bit%8, bit/8)
			}
		}
		// Behind the last batch nothing counts.
		for range 20 {
			bad := slices.Clone(s.file)
			at := int(s.end()) + random.IntN(len(bad)-int(s.end()))
			bad[at] ^= 1
			opens(t, path, bad, s.want(), fmt.Sprintf("byte %d behind the last batch", at))
		}
	})
}

// TestZeroedRange zeroes parts of a file, as a disk does that loses them. Only if
// nothing is left of the batches from one on, but perhaps parts of that, may the file be
// taken for one whose last batch was never finished.
func TestZeroedRange(t *testing.T) {
	both(t, func(t *testing.T, s sample, path string) {
		random := rand.New(rand.NewPCG(5, 6))
		lastBegins := int(s.states[len(s.states)-2].end)
		for n := range 300 {
			from := random.IntN(int(s.end()))
			to := min(from+1+random.IntN(1<<(4+n%12)), len(s.file))
			bad := slices.Clone(s.file)
			clear(bad[from:to])
			if bytes.Equal(bad, s.file) {
				continue
			}
			what := fmt.Sprintf("bytes %d to %d zeroed, the last batch begins at %d", from, to, lastBegins)
			if !s.opensBefore(t, path, bad, what) && to <= lastBegins {
				t.Fatalf("%s: accepted", what)
			}
		}
	})
}

// TestMixedBatches puts batches where they do not belong.
func TestMixedBatches(t *testing.T) {
	both(t, func(t *testing.T, s sample, path string) {
		other := makeSample(t, true) // of the same changes, and so of the same size
		join := func(parts ...[]byte) []byte {
			file := bytes.Join(parts, nil)
			return append(file, make([]byte, max(0, len(s.file)-len(file)))...)
		}
		for n := 2; n+2 < len(s.states); n++ {
			before, from, after := s.file[:s.states[n-1].end], s.states[n].end, s.file[s.states[n+1].end:s.end()]
			for what, file := range map[string][]byte{
				"missing":                       join(before, s.file[from:s.end()]),
				"twice":                         join(before, s.batch(n), s.file[s.states[n-1].end:s.end()]),
				"after the next":                join(before, s.batch(n+1), s.batch(n), after),
				"of another file":               join(before, other.batch(n), s.file[from:s.end()]),
				"and all following of another":  join(before, other.file[s.states[n-1].end:]),
				"and all before of another":     join(other.file[:from], s.file[from:s.end()]),
				"the one before in its place":   join(before, s.batch(n-1), s.file[from:s.end()]),
				"the last one again at the end": join(s.file[:s.end()], s.batch(len(s.states)-1)),
			} {
				if !opens(t, path, file, "", fmt.Sprintf("batch %d %s", n, what)) {
					t.Fatalf("batch %d %s: accepted", n, what)
				}
			}
		}
	})
}

// TestDivergedCopies mixes the batches of two gateways that began with the same backup:
// batches with the same numbers, in files with the same salt.
func TestDivergedCopies(t *testing.T) {
	s := makeSample(t, true)
	dir := memoryDir(t)
	var files [2][]byte
	var ends [3]int64
	for i := range files {
		path := filepath.Join(dir, fmt.Sprintf("%d.db", i))
		if err := os.WriteFile(path, s.file, 0o600); err != nil {
			t.Fatal(err)
		}
		j, again := open(t, path, SyncEachPush)
		for n := range ends {
			ends[n] = j.log.end
			if err := pushText(again, groupKey("job", "new"), fmt.Sprintf("x %d\n", 10*i+n), stepTime(n), metric.MergeGroup); err != nil {
				t.Fatal(err)
			}
		}
		shut(t, j)
		files[i] = readFile(t, path)
	}
	mixed := slices.Concat(files[0][:ends[1]], files[1][ends[1]:ends[2]], files[0][ends[2]:])
	if len(mixed) != len(files[0]) || len(mixed) != len(files[1]) {
		t.Fatal("the batches of the two copies differ in size")
	}
	if !opens(t, filepath.Join(memoryDir(t), "f.db"), mixed, "", "a batch of the other copy") {
		t.Error("a batch of the other copy: accepted")
	}
}

// TestCutWhereItGrew cuts a file to the sizes that it had. Each ends with zeros or with a
// batch.
func TestCutWhereItGrew(t *testing.T) {
	dir := memoryDir(t)
	f, err := os.Create(filepath.Join(dir, "grown.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	l, err := newLog(f, newDisk())
	if err == nil {
		err = l.seal()
	}
	if err != nil {
		t.Fatal(err)
	}
	var sizes []int64
	for size := l.allocated; len(sizes) < 3; {
		if err := l.append(store.Changes{Groups: []store.Change{{ID: "x"}}}); err != nil { // takes a sector
			t.Fatal(err)
		}
		if l.allocated != size {
			sizes = append(sizes, size)
			size = l.allocated
		}
	}
	file := readFile(t, f.Name())
	for _, size := range sizes {
		if !opens(t, filepath.Join(memoryDir(t), "f.db"), file[:size], "", fmt.Sprintf("cut at %d", size)) {
			t.Errorf("cut at %d, where it grew: accepted", size)
		}
	}
}

// TestStaleSectors has parts of a file as they were at an earlier moment, as a disk
// leaves them that drops a write it confirmed. If anything follows that was written
// later, that is noticed.
func TestStaleSectors(t *testing.T) {
	both(t, func(t *testing.T, s sample, path string) {
		for _, length := range []int{sectorSize, 4096, 16384} {
			for at := 0; at < int(s.end()); at += length {
				for _, n := range []int{len(s.states) - 2, len(s.states) / 2} {
					before := slices.Clone(s.file[:s.states[n].end])
					before = append(before, make([]byte, len(s.file)-len(before))...)
					bad := slices.Clone(s.file)
					copy(bad[at:min(at+length, len(bad))], before[at:])
					if bytes.Equal(bad, s.file) {
						continue
					}
					what := fmt.Sprintf("%d bytes at %d as after batch %d", length, at, n)
					if !s.opensBefore(t, path, bad, what) && at+length <= int(s.states[len(s.states)-2].end) {
						t.Fatalf("%s: accepted", what)
					}
				}
			}
		}
	})
}

// TestUnfinishedBatch leaves of the last batch what a power failure may: some of its
// sectors, or its beginning. That batch is dropped, then and later.
func TestUnfinishedBatch(t *testing.T) {
	s := makeSample(t, false)
	path := filepath.Join(memoryDir(t), "f.db")
	random := rand.New(rand.NewPCG(7, 8))
	last := len(s.states) - 1
	for last > 0 && len(s.batch(last)) < 4*sectorSize {
		last--
	}
	begin, end := int(s.states[last-1].end), int(s.states[last].end)
	whole := append(slices.Clone(s.file[:end]), make([]byte, len(s.file)-end)...)
	before := s.states[last-1].text
	opens(t, path, whole, s.states[last].text, "the whole batch")
	used := begin + len(bytes.TrimRight(s.batch(last), "\x00"))
	for n := range 400 {
		bad := slices.Clone(whole)
		what := ""
		if n%2 == 0 {
			at := begin + random.IntN(used-begin)
			clear(bad[at:end])
			what = fmt.Sprintf("cut at byte %d of %d", at-begin, used-begin)
		} else {
			for at := begin; at < end; at += sectorSize {
				if random.IntN(3) == 0 || at == begin+(n%((end-begin)/sectorSize))*sectorSize {
					clear(bad[at : at+sectorSize])
					what += fmt.Sprint(" ", at-begin)
				}
			}
			what = fmt.Sprintf("sectors of %d missing: %s", end-begin, what)
		}
		if opens(t, path, bad, before, what) {
			t.Fatalf("%s: rejected", what)
		}
		// It is gone: what is written next is found after it.
		if n%20 == 0 {
			j, again := open(t, path, SyncEachPush)
			mustPush(t, again, "next", "other 1\n")
			want := journaltest.Exposed(t, again)
			shut(t, j)
			opens(t, path, readFile(t, path), want, what+", and a push")
		}
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
		"magic only":     []byte(magic),
		"upstream, cut":  readFile(t, "testdata/v1.11.3.store")[:3000],
		"upstream, more": append(readFile(t, "testdata/v1.11.3.store"), "more"...),
	} {
		if !opens(t, path, file, "", what) {
			t.Errorf("%s: accepted", what)
		}
	}
}

// TestNewerVersion rejects a file of a later format and says so, whatever else that
// format has changed.
func TestNewerVersion(t *testing.T) {
	s := makeSample(t, true)
	path := filepath.Join(memoryDir(t), "newer.db")
	newer := slices.Clone(s.file)
	binary.LittleEndian.PutUint32(newer[8:], version+1)
	copy(newer[12:], appendSum(nil, newer[:12]))
	for what, file := range map[string][]byte{
		"version only":   newer,
		"another header": slices.Concat(newer[:16], make([]byte, 100), newer[116:]),
		"shorter":        newer[:sectorSize],
	} {
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := New(Options{Path: path, Logger: quiet}).open(t.Context())
		if newer := (*NewerError)(nil); !errors.As(err, &newer) || newer.Path != path {
			t.Errorf("%s: error %v, want a *NewerError", what, err)
		}
		if !bytes.Equal(readFile(t, path), file) {
			t.Errorf("%s: the file was changed", what)
		}
	}
}

// TestSalvage: of a damaged file, all is found but what is damaged.
func TestSalvage(t *testing.T) {
	s := makeSample(t, true)
	path := filepath.Join(memoryDir(t), "f.db")
	if err := os.WriteFile(path, s.file, 0o600); err != nil {
		t.Fatal(err)
	}
	whole, err := Inspect(path)
	if err != nil || whole.Guessed || text(t, whole.Groups) != s.want() {
		t.Fatalf("a good file: error %v, guessed %v", err, whole.Guessed)
	}
	for n := 1; n+1 < len(s.states); n++ {
		for what, bad := range map[string][]byte{
			"head":   flipped(s.file, s.states[n-1].end+3),
			"record": flipped(s.file, s.states[n-1].end+headSize+20),
		} {
			if err := os.WriteFile(path, bad, 0o600); err != nil {
				t.Fatal(err)
			}
			found, err := Inspect(path)
			if damage := (*DamageError)(nil); !errors.As(err, &damage) || !found.Guessed {
				t.Fatalf("%s of batch %d damaged: error %v, guessed %v", what, n, err, found.Guessed)
			}
			missing := 0
			have := journaltest.RecordsOf(slices.Values(found.Groups))
			for id, record := range journaltest.RecordsOf(slices.Values(whole.Groups)) {
				if have[id] != record {
					missing++
				}
			}
			if most := map[string]int{"head": 0, "record": 1}[what]; missing > most {
				t.Errorf("%s of batch %d damaged: %d of %d groups not found", what, n, missing, len(whole.Groups))
			}
		}
	}
}

func flipped(file []byte, at int64) []byte {
	bad := slices.Clone(file)
	bad[at] ^= 4
	return bad
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
		_, err := j.open(t.Context())
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
