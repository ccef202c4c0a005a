package pushbody

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"

	"pushgateway/internal/wire"
)

// zstdFrame returns a frame with the header given and one raw block with the content.
func zstdFrame(header, content string) string {
	block := binary.LittleEndian.AppendUint32(nil, uint32(len(content))<<3|1)[:3]
	return "\x28\xb5\x2f\xfd" + header + string(block) + content
}

// Frames that declare more than they have.
var (
	zstdLargeWindow  = zstdFrame("\x00\x98", "x 1\n")                 // a window of 512 MiB
	zstdLargeContent = zstdFrame("\xa0\x00\x00\x00\x10", "x 1\n")     // 256 MiB in a single segment
	zstdBoth         = zstdFrame("\x80\x98\x00\x00\x00\x10", "x 1\n") // both
)

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// TestDecodersTakeWhatABodyHolds pushes small bodies that declare much, on many connections
// at a time.
func TestDecodersTakeWhatABodyHolds(t *testing.T) {
	for _, c := range []struct {
		name, encoding, body string
		status               int
	}{
		{"zstd, large window", "zstd", zstdLargeWindow, 200},
		{"zstd, large content", "zstd", zstdLargeContent, 400},
		{"zstd, both", "zstd", zstdBoth, 400},
		{"zstd, cut short", "zstd", zstdLargeWindow[:12], 400},
		{"gzip", "gzip", asGzip(t, "x 1\n"), 200},
		{"snappy", "snappy", asSnappy(t, "x 1\n"), 200},
		{"snappy, large chunk", "snappy", "\xff\x06\x00\x00sNaPpY\x00\xff\xff\xffabcd", 400},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := httptest.NewServer(newHandler())
			defer server.Close()
			const connections, rounds = 32, 4
			bytes := allocated(func() {
				var clients sync.WaitGroup
				for i := range connections {
					clients.Go(func() {
						for range rounds {
							r, _ := http.NewRequest("PUT", fmt.Sprintf("%s/metrics/job/j/i/%d", server.URL, i), strings.NewReader(c.body))
							r.Header.Set("Content-Encoding", c.encoding)
							answer, err := http.DefaultClient.Do(r)
							if err != nil {
								t.Error(err)
								return
							}
							answer.Body.Close()
							if answer.StatusCode != c.status {
								t.Errorf("%d, want %d", answer.StatusCode, c.status)
							}
						}
					})
				}
				clients.Wait()
			})
			if perPush := bytes / (connections * rounds); perPush > 2<<20 {
				t.Errorf("%d bytes for each push of %d bytes", perPush, len(c.body))
			}
		})
	}
}

// TestDecodersAreReused reads bodies with one reader, which allocates little after the
// first.
func TestDecodersAreReused(t *testing.T) {
	for _, c := range []struct{ encoding, body string }{
		{"gzip", asGzip(t, "x 1\n")}, {"snappy", asSnappy(t, "x 1\n")}, {"zstd", asZstd(t, "x 1\n")}, {"zstd", zstdLargeWindow}, {"", "x 1\n"},
	} {
		t.Run(c.encoding, func(t *testing.T) {
			var reader Reader
			read := func() {
				r := httptest.NewRequest("PUT", "/metrics/job/j", strings.NewReader(c.body))
				r.Header.Set("Content-Encoding", c.encoding)
				var families wire.Families
				if err := readRequest(NewBudget(0), &reader, r, &families); err != nil || len(families.All) != 1 {
					t.Fatalf("%v, %v", families.All, err)
				}
			}
			read()
			if bytes := allocated(read); bytes > 32<<10 {
				t.Errorf("%d bytes", bytes)
			}
		})
	}
}

// TestLargeBodies reads bodies that are larger than any buffer to begin with, in all
// encodings, with and without a known length.
func TestLargeBodies(t *testing.T) {
	var text bytes.Buffer
	for i := range 300_000 {
		fmt.Fprintf(&text, "m{l=\"%d\"} %d\n", i, i)
	}
	for _, c := range []struct{ encoding, body string }{
		{"", text.String()}, {"gzip", asGzip(t, text.String())}, {"snappy", asSnappy(t, text.String())}, {"zstd", asZstd(t, text.String())},
	} {
		for _, length := range []int64{int64(len(c.body)), -1} {
			t.Run(fmt.Sprintf("%s, length %d", c.encoding, length), func(t *testing.T) {
				r := httptest.NewRequest("PUT", "/metrics/job/j", strings.NewReader(c.body))
				r.Header.Set("Content-Encoding", c.encoding)
				r.ContentLength = length
				var reader Reader
				var families wire.Families
				budget := NewBudget(0)
				if err := readRequest(budget, &reader, r, &families); err != nil {
					t.Fatal(err)
				}
				if n := budget.Reserved(); n != 0 {
					t.Errorf("%d bytes are still reserved", n)
				}
				if c.encoding != "" && !bytes.Equal(reader.body, text.Bytes()) || len(families.All[0].Metrics) != 300_000 {
					t.Errorf("%d bytes, %d metrics", len(reader.body), len(families.All[0].Metrics))
				}
				if c.encoding != "" && reader.Reusable() {
					t.Error("the reader keeps its memory")
				}
			})
		}
	}
}
