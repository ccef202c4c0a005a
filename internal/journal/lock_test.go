package journal

import (
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"pushgateway/internal/journal/journaltest"
)

// singleFile returns the path of a file that is mounted by itself, as into a
// container, in a directory that holds what prepare put there and cannot be written
// to. That takes root.
func singleFile(t *testing.T, content []byte, prepare func(dir string) error) string {
	t.Helper()
	dir := smallDisk(t, 4<<20)
	path := filepath.Join(dir, "f.db")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if err := prepare(dir); err != nil {
			t.Fatal(err)
		}
	}
	for _, err := range []error{
		syscall.Mount(path, path, "", syscall.MS_BIND, ""),
		syscall.Mount("", dir, "", syscall.MS_BIND|syscall.MS_REMOUNT|syscall.MS_RDONLY, ""),
	} {
		if err != nil {
			t.Fatalf("mount a single file: %v", err)
		}
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return path
}

// fileWith returns the bytes of a file with one group.
func fileWith(t *testing.T, body string) []byte {
	t.Helper()
	path := filepath.Join(memoryDir(t), "f.db")
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "before", body)
	shut(t, j)
	return readFile(t, path)
}

// TestReadOnlyDirectory: a single file in a directory that cannot be written to is
// used, as long as it need not be written anew.
func TestReadOnlyDirectory(t *testing.T) {
	for what, content := range map[string][]byte{"empty": nil, "ours": fileWith(t, "m 1\n")} {
		path := singleFile(t, content, nil)
		j, s := open(t, path, SyncEachPush)
		mustPush(t, s, "a", "m 1\n")

		// It is ours alone.
		other := New(Options{Path: path, Logger: quiet})
		if _, err := other.open(t.Context()); !errors.Is(err, errLocked) {
			t.Errorf("%s: a second journal: error %v, want %v", what, err, errLocked)
		}

		// A full disk does no harm.
		breakWith(j, fullDisk)
		j.tryToRecover()
		if err := j.Ready(); err != nil {
			t.Errorf("%s: after a full disk: %v", what, err)
		}
		mustPush(t, s, "a", "m 2\n")
		want := journaltest.Exposed(t, s)
		shut(t, j)
		j, s = open(t, path, SyncEachPush)
		if got := journaltest.Exposed(t, s); got != want {
			t.Errorf("%s: opened again it holds\n%s\nwant\n%s", what, got, want)
		}

		// After a failed sync it would have to be written anew.
		before := readFile(t, path)
		breakWith(j, syscall.EIO)
		for range 2 {
			j.tryToRecover()
			err := j.Ready()
			if err == nil {
				t.Fatalf("%s: recovered after a failed sync", what)
			}
			for _, want := range []string{"input/output error", "anew", path + ".lock: read-only file system", "directory " + filepath.Dir(path)} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%s: the reason %q does not name %q", what, err, want)
				}
			}
		}
		if string(readFile(t, path)) != string(before) {
			t.Errorf("%s: the file was changed", what)
		}
		wantOnly(t, path, "f.db")
	}
}

// TestNobodyComesMeanwhile: a journal without a lock beside its file keeps others from it
// while it is unavailable, too, since it goes on with the file.
func TestNobodyComesMeanwhile(t *testing.T) {
	path := singleFile(t, fileWith(t, "m 1\n"), nil)
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "first", "m 1\n")
	breakWith(j, fullDisk)
	if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); !errors.Is(err, errLocked) {
		t.Errorf("a second journal: error %v, want %v", err, errLocked)
	}
	j.tryToRecover()
	mustPush(t, s, "first", "m 2\n")
	want := journaltest.Exposed(t, s)
	shut(t, j)
	if _, again := open(t, path, SyncEachPush); journaltest.Exposed(t, again) != want {
		t.Errorf("opened again it has\n%s\nwant\n%s", journaltest.Exposed(t, again), want)
	}
}

// TestReadOnlyDirectoryWarns: who starts a gateway in this way is told.
func TestReadOnlyDirectoryWarns(t *testing.T) {
	path := singleFile(t, nil, nil)
	var log strings.Builder
	j := New(Options{Path: path, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if _, err := j.open(t.Context()); err != nil {
		t.Fatal(err)
	}
	shut(t, j)
	if n := strings.Count(log.String(), "level=WARN"); n != 1 || !strings.Contains(log.String(), "read-only file system") {
		t.Errorf("%d warnings, want 1:\n%s", n, &log)
	}
}

// TestReadOnlyDirectoryWithUpstreamFile: upstream's file cannot be replaced there, and is left
// as it is.
func TestReadOnlyDirectoryWithUpstreamFile(t *testing.T) {
	original := readFile(t, "testdata/v1.11.3.store")
	path := singleFile(t, original, nil)
	j := New(Options{Path: path, Logger: quiet})
	if _, err := j.open(t.Context()); !errors.Is(err, syscall.EROFS) || !strings.Contains(err.Error(), path) {
		t.Errorf("error %v, want one that names the file and says that its directory is read-only", err)
	}
	if string(readFile(t, path)) != string(original) {
		t.Error("the file was changed")
	}
	wantOnly(t, path, "f.db")
}

// TestReadOnlyLock: a lock that is there already counts, though it cannot be made.
func TestReadOnlyLock(t *testing.T) {
	path := singleFile(t, fileWith(t, "m 1\n"), func(dir string) error {
		return os.WriteFile(filepath.Join(dir, "f.db.lock"), nil, 0o400)
	})
	j, _ := open(t, path, SyncEachPush)
	if j.lock == nil {
		t.Fatal("opened without a lock")
	}
	breakWith(j, syscall.EIO)
	if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); !errors.Is(err, errLocked) {
		t.Errorf("a second journal: error %v, want %v", err, errLocked)
	}
}

// TestLockThatCannotBeLocked: another process may hold a lock that this one cannot
// open.
func TestLockThatCannotBeLocked(t *testing.T) {
	path := singleFile(t, nil, func(dir string) error { return os.Symlink("nowhere", filepath.Join(dir, "f.db.lock")) })
	if _, err := New(Options{Path: path, Logger: quiet}).open(t.Context()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("error %v, want %v", err, syscall.EROFS)
	}
}

// TestMountedByItself: where the directory can be written to, but the file is a mount
// of its own, nothing can take its place.
func TestMountedByItself(t *testing.T) {
	path := filepath.Join(smallDisk(t, 4<<20), "f.db")
	if err := os.WriteFile(path, fileWith(t, "m 1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount(path, path, "", syscall.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(path, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	j, s := open(t, path, SyncEachPush)
	mustPush(t, s, "a", "m 1\n")
	breakWith(j, syscall.EIO)
	j.tryToRecover()
	if err := j.Ready(); err == nil || !strings.Contains(err.Error(), "mount its directory") {
		t.Errorf("error %v, want one that says what to do", err)
	}
	wantOnly(t, path, "f.db")
}

// TestFileInUseIsNotDamaged: pages that another process is just writing must not be
// taken for damage.
func TestFileInUseIsNotDamaged(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	if err := os.WriteFile(path, fileWith(t, "m 1\n")[:3*sectorSize], 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := Inspect(path); !errors.As(err, new(*DamageError)) || !found.Guessed {
		t.Fatal("a part of a file is not taken for a damaged one")
	}
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := flock(t.Context(), f, exclusive); err != nil {
		t.Fatal(err)
	}
	if found, err := Inspect(path); !errors.Is(err, errLocked) || found.Guessed {
		t.Errorf("error %v, guessed %v, want %v", err, found.Guessed, errLocked)
	}
}

// TestOpenUnlocksAfterAnError: who could not open a file does not keep it from others.
func TestOpenUnlocksAfterAnError(t *testing.T) {
	path := filepath.Join(memoryDir(t), "f.db")
	if err := os.WriteFile(path, []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	j := New(Options{Path: path, Logger: quiet})
	if _, err := j.open(t.Context()); err == nil {
		t.Fatal("opened")
	}
	f, err := os.Open(path + ".lock")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), exclusive|syscall.LOCK_NB); err != nil {
		t.Errorf("the lock is still held: %v", err)
	}
	if err := j.Close(t.Context()); err != nil {
		t.Errorf("close what could not be opened: %v", err)
	}
}
