package main

import (
	"bytes"
	"log/slog"
	"math"
	"testing"
)

func TestFitConnections(t *testing.T) {
	for _, c := range []struct {
		connections, listeners int
		descriptors            uint64
		want                   int
	}{
		{8192, 1, 1 << 20, 8192},
		{5000, 1, 1024, 1024 - 64},
		{8192, 1, 8192 + 64, 8192},
		{8192, 1, 8192, 8192 - 64},
		{8192, 2, 8192, (8192 - 64) / 2},
		{8192, 1, 256, 192},
		{8192, 1, 20, 10},
		{8192, 5, 4, 1},
		{100, 1, 256, 100},
		{0, 1, 256, 0},
		{8192, 1, 0, 8192},
		{8192, 1, math.MaxUint64, 8192},
	} {
		var log bytes.Buffer
		got := fitConnections(c.connections, c.listeners, c.descriptors, slog.New(slog.NewTextHandler(&log, nil)))
		if got != c.want || bytes.Count(log.Bytes(), []byte("\n")) == 0 != (got == c.connections) {
			t.Errorf("%+v: got %d, logged %s", c, got, &log)
		}
		if asked := c.connections != defaultMaxConnections; got < c.connections && bytes.Contains(log.Bytes(), []byte("level=WARN")) != asked {
			t.Errorf("%+v: logged %s", c, &log)
		}
	}
}
