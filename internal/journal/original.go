package journal

import (
	"bytes"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// The original keeps a gob: a map from grouping key to group. Its types are given
// here as far as gob needs them; it goes by the names of the fields.
type (
	originalGroup struct {
		Labels  map[string]string
		Metrics map[string]originalFamily
	}
	originalFamily struct {
		Timestamp            time.Time
		GobbableMetricFamily *originalMessage
	}
	// originalMessage is an io.prometheus.client.MetricFamily in protobuf.
	originalMessage []byte
)

// GobDecode keeps the message's bytes.
func (m *originalMessage) GobDecode(b []byte) error {
	*m = slices.Clone(b)
	return nil
}

// readOriginal reads a file of the original.
func readOriginal(in io.Reader) (groups map[string]originalGroup, err error) {
	defer func() {
		if p := recover(); p != nil { // gob has been seen to on bad input
			err = fmt.Errorf("decode gob: %v", p)
		}
	}()
	decoder := gob.NewDecoder(in)
	if err := decoder.Decode(&groups); err != nil {
		return nil, fmt.Errorf("decode gob: %w", err)
	}
	var more struct{}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		return nil, errors.New("decode gob: something follows after the groups")
	}
	return groups, nil
}

// readOriginalFile reads a file of the original. rejected says of which groups it
// could not be taken, and why: they would break every scrape, as they did there.
func readOriginalFile(path string) (groups []*store.Group, rejected []error, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, describeOpen(path, err)
	}
	originals, err := readOriginal(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, &DamageError{path, fmt.Errorf("it is neither a file of this program nor, as far as can be read, of the original Pushgateway: %w", err)}
	}
	scratch := store.InMemory()
	for _, id := range sortedKeys(originals) {
		if err := restore(scratch, originals[id]); err != nil {
			rejected = append(rejected, fmt.Errorf("group %v: %w", originals[id].Labels, err))
		}
	}
	return slices.Collect(scratch.Groups()), rejected, nil
}

// takeOver reads the original's file, puts a file of ours in its place, and keeps
// the original's beside it. At no moment is there no file under the name.
func (j *Journal) takeOver() ([]*store.Group, content, error) {
	groups, rejected, err := readOriginalFile(j.Path)
	if err != nil {
		return nil, content{}, err
	}
	kept := j.Path + ".original"
	if err := keep(j.Path, kept, os.Link); err != nil {
		return nil, content{}, fmt.Errorf("keep the original's file as %s: %w", kept, err)
	}
	is, err := j.writeAnew(slices.Values(groups))
	if err != nil {
		return nil, content{}, errors.Join(err, os.Remove(kept))
	}
	for _, err := range rejected {
		j.Logger.Error("a group of the original's file could not be taken over; it stays in the file kept beside", "kept_as", kept, "err", err)
	}
	j.Logger.Info("took over the file of the original Pushgateway", "file", j.Path, "groups", len(groups), "rejected", len(rejected), "kept_as", kept)
	return groups, is, nil
}

// keep gives a file a second name: by a link, which takes no space, or, where the
// file system has none, as a copy. It is not an error that an earlier start, which
// was cut off, has done so.
func keep(path, kept string, link func(from, to string) error) error {
	if isThere(kept) {
		if !sameContent(path, kept) {
			return errors.New("there is one already: move it away first")
		}
		return syncDirectory(kept)
	}
	err := link(path, kept)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EXDEV) {
		err = copySynced(path, kept)
	}
	if err != nil {
		return err
	}
	return syncDirectory(kept)
}

// copySynced copies a file and syncs the copy, which has its name only once it is
// whole.
func copySynced(path, copied string) error {
	temporary := path + newSuffix
	if err := removeIfThere(temporary); err != nil {
		return err
	}
	from, err := os.Open(path)
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := from.Stat()
	if err != nil {
		return err
	}
	to, err := os.OpenFile(temporary, os.O_WRONLY|os.O_CREATE|os.O_EXCL, info.Mode().Perm())
	if err != nil {
		return err
	}
	_, err = io.Copy(to, from)
	if err == nil {
		err = to.Sync()
	}
	if err = errors.Join(err, to.Close()); err == nil {
		err = os.Rename(temporary, copied)
	}
	if err != nil {
		return errors.Join(err, removeIfThere(temporary))
	}
	return nil
}

// sameContent reports whether two files can be read and hold the same.
func sameContent(a, b string) bool {
	first, firstErr := os.ReadFile(a)
	second, secondErr := os.ReadFile(b)
	return firstErr == nil && secondErr == nil && bytes.Equal(first, second)
}

func sortedKeys(m map[string]originalGroup) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// restore puts a group of the original into the store.
func restore(s *store.Store, g originalGroup) error {
	labels := make([]metric.Label, 0, len(g.Labels))
	for name, value := range g.Labels {
		labels = append(labels, metric.Label{Name: name, Value: value})
	}
	key := metric.NewGroupingKey(labels)
	if job, ok := key.Value(metric.JobLabel); !ok || job == "" {
		return errors.New("the group has no job")
	}
	var body []byte
	times := map[string]time.Time{}
	for name, f := range g.Metrics {
		if f.GobbableMetricFamily == nil {
			continue
		}
		times[name] = f.Timestamp
		body = protowire.AppendVarint(body, uint64(len(*f.GobbableMetricFamily)))
		body = append(body, *f.GobbableMetricFamily...)
	}
	families, err := wire.ParseProtobuf(body)
	if err != nil {
		return err
	}
	return s.Restore(key, families, times)
}
