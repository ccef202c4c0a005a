package job

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"pushgateway/internal/metric"
)

// Push is a push that can be sent later.
type Push struct {
	Labels         []metric.Label // of the group
	Options        []string       // push options as name=value
	ContentType    string
	Body           []byte
	IdempotencyKey string
	// AddedUp reports whether the push is only for servers that add up.
	AddedUp bool
}

// maxSpooled is how many pushes a spool keeps. A gateway does not remember more keys of a
// group, so later ones could be applied twice.
const maxSpooled = 1000

// Spool is a directory with pushes that were not sent. Several processes can use it.
type Spool struct{ Dir string }

// Add adds a push behind all others. If there are too many, the oldest are dropped.
func (s Spool) Add(p Push) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.Dir, 0o700); err != nil {
		return err
	}
	name := fmt.Sprintf("%020d-%s.json", time.Now().UnixNano(), p.IdempotencyKey)
	if err := replaceFile(filepath.Join(s.Dir, name), text, 0o600); err != nil {
		return err
	}
	names, err := s.names()
	if err != nil {
		return err
	}
	for _, name := range names[:max(len(names)-maxSpooled, 0)] {
		if err := os.Remove(filepath.Join(s.Dir, name)); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

// Send sends all pushes, the oldest first, until send returns an error. Only one process at a
// time sends; others wait for it up to the given time. It returns the error of send, or one
// about the directory.
func (s Spool) Send(wait time.Duration, send func(Push) error) error {
	names, err := s.names()
	if err != nil || len(names) == 0 {
		return err
	}
	unlock, got, err := Lock(filepath.Join(s.Dir, ".lock"), wait)
	if err != nil {
		return err
	}
	if !got {
		return fmt.Errorf("%s: another process is sending what it holds", s.Dir)
	}
	defer unlock()
	if names, err = s.names(); err != nil { // others may have sent some
		return err
	}
	for _, name := range names {
		path := filepath.Join(s.Dir, name)
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var p Push
		if err := json.Unmarshal(text, &p); err != nil {
			return fmt.Errorf("%s: %w; delete it if it is none of a spool", path, err)
		}
		if err := send(p); err != nil {
			return err
		}
		if err := os.Remove(path); err != nil {
			return err
		}
	}
	return nil
}

// names returns the names of the files with pushes, the oldest first.
func (s Spool) names() ([]string, error) {
	entries, err := os.ReadDir(s.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), ".json") && !strings.HasPrefix(e.Name(), ".") {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, err
}
