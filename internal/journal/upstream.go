package journal

import (
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// The upstream Pushgateway stores a gob: a map from grouping key to group. Gob
// matches fields by name, so these types have only the fields that are needed.
type (
	upstreamGroup struct {
		Labels  map[string]string
		Metrics map[string]upstreamFamily
	}
	upstreamFamily struct {
		Timestamp            time.Time
		GobbableMetricFamily *upstreamMessage
	}
	// upstreamMessage is an io.prometheus.client.MetricFamily in protobuf.
	upstreamMessage []byte
)

// GobDecode keeps the message's bytes.
func (m *upstreamMessage) GobDecode(b []byte) error {
	*m = slices.Clone(b)
	return nil
}

// readUpstream reads a file of the upstream Pushgateway.
func readUpstream(in io.Reader) (groups map[string]upstreamGroup, err error) {
	defer func() {
		if p := recover(); p != nil { // gob has panicked on bad input
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

// readUpstreamFile reads a file of upstream. rejected says which groups cannot be
// imported, and why: they would break every scrape, as they did there.
func readUpstreamFile(path string) (groups []*store.Group, rejected []error, err error) {
	f, err := openRegular(path, os.O_RDONLY)
	if err != nil {
		return nil, nil, describeOpen(path, err)
	}
	stored, err := readUpstream(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, nil, &DamageError{path, fmt.Errorf("it is neither a file of this program nor, from what can be read, of the upstream Pushgateway: %w", err)}
	}
	scratch := store.InMemory()
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		if err := restore(scratch, stored[id]); err != nil {
			rejected = append(rejected, fmt.Errorf("group %v: %w", stored[id].Labels, err))
		}
	}
	return slices.Collect(scratch.Groups()), rejected, nil
}

// importUpstream reads upstream's file, replaces it with one of ours, and leaves
// upstream's next to it. At every moment there is a file at the path.
func (j *Journal) importUpstream(ctx context.Context) (*log, []*store.Group, error) {
	groups, rejected, err := readUpstreamFile(j.path)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, nil, err
	}
	original := j.path + ".original"
	if err := keep(j.path, original, os.Link); err != nil {
		return nil, nil, fmt.Errorf("keep upstream's file as %s: %w", original, err)
	}
	l, err := j.replace(ctx, slices.Values(groups))
	if err != nil {
		return nil, nil, errors.Join(err, os.Remove(original))
	}
	logger := j.options.Logger
	for _, err := range rejected {
		logger.Error("a group of upstream's file could not be imported; it is still in upstream's file", "original", original, "err", err)
	}
	logger.Info("imported the file of the upstream Pushgateway", "file", j.path, "groups", len(groups), "rejected", len(rejected), "original", original)
	return l, groups, nil
}

// keep gives a file a second name: by a link, which takes no space, or by a copy if the
// file system has no links. It is not an error if an earlier start, which was interrupted,
// has done so.
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

// sameContent reports whether two files can be read and have the same content.
func sameContent(a, b string) bool {
	first, firstErr := os.ReadFile(a)
	second, secondErr := os.ReadFile(b)
	return firstErr == nil && secondErr == nil && bytes.Equal(first, second)
}

// restore puts a group of upstream into the store.
func restore(s *store.Store, g upstreamGroup) error {
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
