package main

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"strings"
)

// tally counts what is in an exposition that is written to it. It holds no
// more than one line, since 100,000 groups are a quarter of a gigabyte.
type tally struct {
	size    int64
	pushed  int // samples of pushed families
	groups  int // push_time_seconds samples
	pending []byte
}

func (t *tally) Write(p []byte) (int, error) {
	t.size += int64(len(p))
	rest := p
	for {
		line, after, found := bytes.Cut(rest, []byte("\n"))
		if !found {
			t.pending = append(t.pending, rest...)
			return len(p), nil
		}
		if len(t.pending) > 0 {
			t.pending = append(t.pending, line...)
			t.line(t.pending)
			t.pending = t.pending[:0]
		} else {
			t.line(line)
		}
		rest = after
	}
}

func (t *tally) line(line []byte) {
	switch {
	case bytes.HasPrefix(line, []byte(pushedPrefix)):
		t.pushed++
	case bytes.HasPrefix(line, []byte("push_time_seconds{")):
		t.groups++
	}
}

// holds reports whether the exposition was complete and of so many groups.
func (t *tally) holds(groups int) error {
	if len(t.pending) > 0 {
		return fmt.Errorf("the exposition ends in the middle of a line: %q", t.pending)
	}
	if t.groups != groups || t.pushed != groups*pushedSamples {
		return fmt.Errorf("%d groups with %d samples, want %d with %d",
			t.groups, t.pushed, groups, groups*pushedSamples)
	}
	return nil
}

// verify scrapes p plain, and proves that all groups are there.
func verify(p *process, groups int) (*tally, error) {
	c, err := dial(p.addr)
	if err != nil {
		return nil, err
	}
	defer c.close()
	for tries := 0; ; tries++ {
		t := new(tally)
		if _, _, err = c.scrape(plain, t); err == nil {
			err = t.holds(groups)
		}
		if err == nil {
			return t, nil
		}
		// A push answered with 202 is only in a queue; with 200 it is there.
		if p.pushStatus != http.StatusAccepted || tries == 5 {
			return nil, fmt.Errorf("verify %s: %w", p.name, err)
		}
	}
}

// verifyGzip proves that a compressed scrape reads the same as a plain one,
// for Go and for curl, which stops at the end of the first gzip member.
func (l *lab) verifyGzip(p *process, groups int) error {
	want, err := verify(p, groups)
	if err != nil {
		return err
	}
	same := func(reader string, got *tally) error {
		if err := got.holds(groups); err != nil {
			return fmt.Errorf("gzip scrape of %s read by %s: %w", p.name, reader, err)
		}
		// The gateway's own metrics change from scrape to scrape.
		const own = 4096
		if diff := got.size - want.size; diff < -own || diff > own {
			return fmt.Errorf("gzip scrape of %s read by %s: %d bytes, plain %d", p.name, reader, got.size, want.size)
		}
		return nil
	}

	c, err := dial(p.addr)
	if err != nil {
		return err
	}
	defer c.close()
	var packed bytes.Buffer
	if _, _, err := c.scrape(gzipped, &packed); err != nil {
		return err
	}
	unpacked, err := gzip.NewReader(&packed)
	if err != nil {
		return fmt.Errorf("gzip scrape of %s: %w", p.name, err)
	}
	byGo := new(tally)
	if _, err := io.Copy(byGo, unpacked); err != nil {
		return fmt.Errorf("gzip scrape of %s read by Go: %w", p.name, err)
	}
	if err := same("Go", byGo); err != nil {
		return err
	}

	byCurl := new(tally)
	var words strings.Builder
	cmd := exec.CommandContext(l.ctx, "curl", "--silent", "--show-error", "--fail", "--compressed", "http://"+p.addr+"/metrics")
	cmd.Stdout, cmd.Stderr = byCurl, &words
	if err := cmd.Run(); errors.Is(err, exec.ErrNotFound) {
		l.note("curl is not installed: whether it can read the gzip scrapes was not verified.")
		return nil
	} else if err != nil {
		return fmt.Errorf("gzip scrape of %s read by curl: %w: %s", p.name, err, strings.TrimSpace(words.String()))
	}
	return same("curl", byCurl)
}
