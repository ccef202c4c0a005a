package journal

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/store"
)

// fullDisk is how a write fails for want of space.
var fullDisk = &os.PathError{Op: "write", Path: "f.db", Err: syscall.ENOSPC}

// meanwhile is a journal that has something happen between the moment in which it
// acknowledges a change and the one in which the store shows it.
type meanwhile struct {
	still
	do *func() // may be nil
}

func (j meanwhile) Commit(changes store.Changes) error {
	err := j.Journal.Commit(changes)
	if err == nil && *j.do != nil {
		(*j.do)()
	}
	return err
}

// TestFailureBeforeTheChangeShows: a change that was acknowledged, but that the store
// does not show yet, is in the file that is rewritten from what the store shows.
func TestFailureBeforeTheChangeShows(t *testing.T) {
	for _, mode := range []Sync{SyncEachPush, SyncInterval} {
		for _, failure := range []error{syscall.EIO, fullDisk} {
			for what, recover := range map[string]func(*Journal) error{
				"recovered": func(j *Journal) error { j.tryToRecover(); return j.Ready() },
				"closed":    func(j *Journal) error { return j.Close(context.Background()) },
			} {
				path := filepath.Join(memoryDir(t), "f.db")
				var do func()
				j, s := openWith(t, path, mode, func(j still) store.Journal { return meanwhile{j, &do} })
				mustPush(t, s, "a", "m 1\n")
				mustPush(t, s, "b", "m 1\n")
				if err := j.Flush(t.Context()); err != nil {
					t.Fatal(err)
				}
				mustPush(t, s, "b", "m 2\n")
				do = func() {
					breakWith(j, failure)
					if err := recover(j); err != nil {
						t.Errorf("%v, %v, %s: %v", mode, failure, what, err)
					}
				}
				mustPush(t, s, "a", "m 2\n")
				if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
					t.Errorf("%v, %v, %s: the file has\n%s\nbut acknowledged was\n%s", mode, failure, what, got, want)
				}
			}
		}
	}
}

// TestRejectedDeleteStaysUndone: where a delete fails, what was pending before is
// written when the journal recovers, and the delete is not.
func TestRejectedDeleteStaysUndone(t *testing.T) {
	for what, remove := range map[string]func(*store.Store) error{
		"delete": func(s *store.Store) error { _, err := s.Delete(groupKey("job", "a")); return err },
		"wipe":   func(s *store.Store) error { _, err := s.Wipe(); return err },
	} {
		path := filepath.Join(memoryDir(t), "f.db")
		j, s := open(t, path, SyncInterval)
		mustPush(t, s, "a", "m 1\n")
		mustPush(t, s, "b", "m 1\n")
		j.disk.sync = func(*os.File) error { return syscall.EIO }
		if unavailable := (*store.UnavailableError)(nil); !errors.As(remove(s), &unavailable) {
			t.Fatalf("%s: it did not fail", what)
		}
		if n := j.Status().PendingGroups; n != 2 {
			t.Errorf("%s: %d groups are pending after it failed, want 2", what, n)
		}
		*j.disk = *newDisk()
		j.tryToRecover()
		if n := j.Status().PendingGroups; n != 0 {
			t.Errorf("%s: %d groups are pending once the journal has recovered", what, n)
		}
		if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want || !strings.Contains(got, `job="a"`) {
			t.Errorf("%s: the file holds\n%s\nbut shown is\n%s", what, got, want)
		}
	}
}

// TestSameFileAfterFullDisk: after a full disk the file is gone on with, if it is what
// was written last; after any other failure there is a new one.
func TestSameFileAfterFullDisk(t *testing.T) {
	for _, c := range []struct {
		what    string
		failure error
		damage  func(t *testing.T, path string)
		same    bool
	}{
		{"full disk", fullDisk, nil, true},
		{"no quota", &os.PathError{Op: "write", Path: "f.db", Err: syscall.EDQUOT}, nil, true},
		{"full disk, said by a sync", syscall.ENOSPC, nil, false},
		{"full disk, said by a sync that has a path", &os.PathError{Op: "sync", Path: "f.db", Err: syscall.ENOSPC}, nil, false},
		{"failed write", &os.PathError{Op: "write", Path: "f.db", Err: syscall.EIO}, nil, false},
		{"failed sync", syscall.EIO, nil, false},
		{"full disk and cut", fullDisk, func(t *testing.T, path string) {
			if err := os.Truncate(path, 3*sectorSize); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"full disk and emptied", fullDisk, func(t *testing.T, path string) {
			if err := os.Truncate(path, 0); err != nil {
				t.Fatal(err)
			}
		}, false},
		{"full disk and changed", fullDisk, func(t *testing.T, path string) {
			overwrite(t, path, sectorSize+headSize+40)
		}, false},
	} {
		for _, mode := range []Sync{SyncEachPush, SyncInterval} {
			path := filepath.Join(memoryDir(t), "f.db")
			j, s := open(t, path, mode)
			mustPush(t, s, "a", largeBody(400))
			mustPush(t, s, "b", "n 1\n")
			if _, err := s.Delete(groupKey("job", "b")); err != nil { // writes in both modes
				t.Fatal(err)
			}
			mustPush(t, s, "b", "n 2\n")
			before, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			breakWith(j, c.failure)
			if c.damage != nil {
				c.damage(t, path)
			}
			j.tryToRecover()
			if err := j.Ready(); err != nil {
				t.Errorf("%s, sync %v: not recovered: %v", c.what, mode, err)
				continue
			}
			after, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if os.SameFile(before, after) != c.same {
				t.Errorf("%s, sync %v: the same file: %v, want %v", c.what, mode, !c.same, c.same)
			}
			if got, want := text(t, afterCrash(t, path)), journaltest.Exposed(t, s); got != want {
				t.Errorf("%s, sync %v: the file holds\n%s\nwant\n%s", c.what, mode, got, want)
			}
			mustPush(t, s, "b", "n 3\n")
		}
	}
}

// overwrite changes a byte of a file behind the journal's back.
func overwrite(t *testing.T, path string, at int64) {
	t.Helper()
	if err := os.WriteFile(path, flipped(readFile(t, path), at), 0); err != nil {
		t.Fatal(err)
	}
}

// TestSuspectFileStaysSuspect: once a sync has failed, an attempt to recover that fails for
// another reason does not make the file trustworthy.
func TestSuspectFileStaysSuspect(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "a", "m 1\n")
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	breakWith(j, syscall.EIO)
	unblock := blockNewFile(t, path)
	for range 2 {
		j.tryToRecover()
		if err := j.Ready(); err == nil || !strings.Contains(err.Error(), "input/output error") || !strings.Contains(err.Error(), path+".new") {
			t.Errorf("error %v, want what failed first and what fails now", err)
		}
	}
	unblock()
	j.tryToRecover()
	after, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if os.SameFile(before, after) || j.Ready() != nil {
		t.Errorf("recovered with the file whose sync failed: %v; ready: %v", os.SameFile(before, after), j.Ready())
	}

	// The new file is trusted.
	breakWith(j, fullDisk)
	j.tryToRecover()
	if again, err := os.Stat(path); err != nil || !os.SameFile(again, after) || j.Ready() != nil {
		t.Errorf("after a full disk the new file was written anew: %v; ready: %v", err, j.Ready())
	}
}

// blockNewFile has something in the way of the file's being written anew.
func blockNewFile(t *testing.T, path string) (unblock func()) {
	t.Helper()
	if err := os.MkdirAll(path+".new/x", 0o700); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.RemoveAll(path + ".new"); err != nil {
			t.Fatal(err)
		}
	}
}

// TestPause: trying takes a tenth of the time at most.
func TestPause(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{
		0:                      2 * time.Second,
		200 * time.Millisecond: 2 * time.Second,
		time.Second:            10 * time.Second,
		4 * time.Second:        30 * time.Second,
		time.Hour:              30 * time.Second,
	} {
		if got := pause(took); got != want {
			t.Errorf("after %v: %v, want %v", took, got, want)
		}
	}
}

// TestTriesByItself: an unavailable journal that nobody uses recovers by itself as
// soon as it can.
func TestTriesByItself(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	synctest.Test(t, func(t *testing.T) {
		j, s := open(t, path, SyncEachPush)
		j.background.Go(j.keepGoing)
		mustPush(t, s, "a", "m 1\n")
		breakWith(j, syscall.EIO)
		unblock := blockNewFile(t, path)
		time.Sleep(time.Minute)
		synctest.Wait()
		if j.Ready() == nil {
			t.Error("recovered though the file could not be written")
		}
		unblock()
		time.Sleep(retryAfter)
		synctest.Wait()
		if err := j.Ready(); err != nil {
			t.Errorf("%v after it could be: %v", retryAfter, err)
		}
		mustPush(t, s, "a", "m 2\n")
		if err := j.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// TestChangeSet: what is pending and then changed is one state of each group.
func TestChangeSet(t *testing.T) {
	a, b, c := &store.Group{}, &store.Group{}, &store.Group{}
	for _, test := range []struct {
		pending map[string]*store.Group
		changes store.Changes
		want    map[string]*store.Group
	}{
		{nil, store.Changes{Groups: []store.Change{{ID: "x", Group: a}}}, map[string]*store.Group{"x": a}},
		{map[string]*store.Group{"x": a}, store.Changes{}, map[string]*store.Group{"x": a}},
		{
			map[string]*store.Group{"x": a, "y": b}, store.Changes{Groups: []store.Change{{ID: "y", Group: c}}},
			map[string]*store.Group{"x": a, "y": c},
		},
		{
			map[string]*store.Group{"x": a, "y": b}, store.Changes{Groups: []store.Change{{ID: "x"}, {ID: "z", Group: c}}},
			map[string]*store.Group{"x": nil, "y": b, "z": c},
		},
		{
			map[string]*store.Group{"x": a}, store.Changes{Wiped: true, Groups: []store.Change{{ID: "y", Group: b}}},
			map[string]*store.Group{"y": b},
		},
	} {
		pending := changeSet{groups: maps.Clone(test.pending)}
		changes := pending.before(test.changes)
		got := map[string]*store.Group{}
		for _, change := range changes.Groups {
			got[change.ID] = change.Group
		}
		if !maps.Equal(got, test.want) || len(got) != len(changes.Groups) || changes.Wiped != test.changes.Wiped {
			t.Errorf("%v before %v is %v, want %v", test.pending, test.changes, changes, test.want)
		}
		if !maps.Equal(test.pending, pending.groups) {
			t.Errorf("before changed what is pending: %v", pending.groups)
		}
	}
}
