package journal

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"path/filepath"

	"pushgateway/internal/store"
)

// newSuffix makes the name under which a file is written that is to replace another.
const newSuffix = ".new"

// replace writes a file with the groups, after the changes, and has it replace the one that
// is there. On error that one is untouched, unless the error is a *nameError. The caller
// holds turn.
func (j *Journal) replace(ctx context.Context, groups iter.Seq[*store.Group], changes ...store.Changes) (*log, error) {
	l, err := j.writeNew(ctx, groups, changes...)
	if err == nil {
		err = j.install(l)
	}
	if err != nil {
		return nil, err
	}
	return l, nil
}

// writeNew writes a new file under a temporary name. It is on disk and locked when writeNew returns.
func (j *Journal) writeNew(ctx context.Context, groups iter.Seq[*store.Group], changes ...store.Changes) (l *log, err error) {
	temporary := j.path + newSuffix
	if j.lock == nil {
		return nil, fmt.Errorf("write %s anew: %w", j.path, j.noLock)
	}
	if err := removeIfThere(temporary); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(temporary, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, describeOpen(temporary, err)
	}
	err = flock(ctx, f, exclusive)
	if old, statErr := os.Stat(j.path); err == nil && statErr == nil {
		err = f.Chmod(old.Mode().Perm())
	}
	if err == nil {
		l, err = newLog(f, j.disk)
	}
	if err == nil && groups != nil {
		err = l.writeGroups(ctx, groups)
	}
	for _, c := range changes {
		if err == nil && !c.Empty() {
			err = l.append(c)
		}
	}
	if err == nil {
		err = l.seal()
	}
	if err != nil {
		return nil, fmt.Errorf("write %s anew: %w", j.path, errors.Join(err, f.Close(), removeIfThere(temporary)))
	}
	return l, nil
}

// install gives a new file its name.
func (j *Journal) install(l *log) error {
	err := j.relock()
	if err == nil {
		err = os.Rename(j.path+newSuffix, j.path)
	}
	if isBusy(err) {
		err = fmt.Errorf("%w: is it mounted by itself? Then mount its directory instead", err)
	}
	if err != nil {
		return fmt.Errorf("write %s anew: %w", j.path, errors.Join(err, l.file.Close(), removeIfThere(j.path+newSuffix)))
	}
	if err := syncDirectory(j.path); err != nil {
		return &nameError{fmt.Errorf("write %s anew: %w", j.path, errors.Join(err, l.file.Close()))}
	}
	return nil
}

// nameError says that a new file has replaced the old one, but that a crash may undo that.
type nameError struct{ error }

func (e *nameError) Unwrap() error { return e.error }

// namedBy checks that path still names the file. Cost: a microsecond or two.
func (l *log) namedBy(path string) error {
	named, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is no longer there", path)
	}
	if err != nil {
		return err
	}
	if !os.SameFile(named, l.info) {
		return fmt.Errorf("%s is no longer the file that is in use", path)
	}
	return nil
}

// syncDirectory makes the name of a file durable.
func syncDirectory(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func removeIfThere(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
