package journal

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// memoryDir returns a directory in memory where the machine has one: what these
// tests look at does not depend on the disk, and the sync pairs add up.
func memoryDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "pushgateway-journal-test-")
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

var groupKey = metrictest.Key

// pushText pushes a body in the text format.
func pushText(s *store.Store, key metric.GroupingKey, body string, at time.Time, merge metric.Merge) error {
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse(body)
	if err != nil {
		return err
	}
	p, err := new(store.Encoder).Push(key, families, at, store.PushOptions{Merge: merge})
	if err != nil {
		return err
	}
	_, err = s.Apply(p)
	return err
}

// text returns what a gateway with the groups exposes.
func text(t testing.TB, groups []*store.Group) string {
	t.Helper()
	return journaltest.Exposed(t, store.InMemory(journaltest.Copies(t, slices.Values(groups))...))
}

var quiet = slog.New(slog.DiscardHandler)

// open opens the file for a new store. The journal accepts changes, but nothing
// happens in the background: the test says when it flushes and recovers.
func open(t testing.TB, path string, sync Sync) (*Journal, *store.Store) {
	t.Helper()
	return openWith(t, path, sync, func(j still) store.Journal { return j })
}

// openWith is open with something between the store and the journal.
func openWith(t testing.TB, path string, sync Sync, wrap func(still) store.Journal) (*Journal, *store.Store) {
	t.Helper()
	j := newStill(t, path, sync)
	s := store.New(store.Config{Journal: wrap(j)})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return j.Journal, s
}

// newStill returns a journal that is shut after the test.
func newStill(t testing.TB, path string, sync Sync) still {
	t.Helper()
	j := New(Options{Path: path, Sync: sync, Interval: time.Hour, Logger: quiet})
	t.Cleanup(func() { shut(t, j) })
	return still{j}
}

// still is a Journal in which nothing happens in the background.
type still struct{ *Journal }

func (j still) Load(ctx context.Context, current func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	j.current = current
	return j.open(ctx)
}

// shut closes the file as it is, with nothing more written: the process is gone.
func shut(t testing.TB, j *Journal) {
	t.Helper()
	j.stop()
	j.background.Wait()
	if err := j.turn.acquire(context.Background()); err != nil {
		t.Fatal(err)
	}
	defer j.turn.release()
	if err := j.unlock(); err != nil {
		t.Error(err)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.log != nil {
		if err := j.log.file.Close(); err != nil {
			t.Error(err)
		}
		j.log = nil
	}
}

// afterCrash returns what a process finds that starts from the file as it is now.
func afterCrash(t testing.TB, path string) []*store.Group {
	t.Helper()
	copied := path + ".crashed"
	copyFile(t, path, copied)
	j := New(Options{Path: copied, Logger: quiet})
	groups, err := j.open(context.Background())
	if err != nil {
		t.Fatalf("after a crash: %v", err)
	}
	shut(t, j)
	if err := errors.Join(os.Remove(copied), os.Remove(copied+".lock")); err != nil {
		t.Fatal(err)
	}
	return groups
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	in, err := os.Open(from)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(out, in)
	if err := errors.Join(err, out.Close()); err != nil {
		t.Fatal(err)
	}
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// wantOnly checks that nothing is left in the directory of path but the given
// names.
func wantOnly(t testing.TB, path string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]bool{}
	for _, n := range names {
		want[n] = true
	}
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".lock") {
			continue // beside each file that was ever open
		}
		if !want[e.Name()] {
			t.Errorf("%s is left in the directory of the file", e.Name())
		}
	}
}

func stepTime(i int) time.Time { return time.Unix(1_700_000_000+int64(i), 5) }

func largeBody(series int) string {
	var b strings.Builder
	for i := range series {
		fmt.Fprintf(&b, "m{i=\"%d\"} %d\n", i, i)
	}
	return b.String()
}
