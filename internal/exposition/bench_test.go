package exposition_test

import (
	"fmt"
	"io"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"pushgateway/internal/exposition"
	"pushgateway/internal/store"
)

// BenchmarkUnchanged scrapes 10,000 groups that nobody pushes to.
func BenchmarkUnchanged(b *testing.B) {
	for _, names := range []struct{ what, metrics string }{
		{"plain", allTypes},
		{"escaped", allTypes + "{\"a.b\"} 1\nm{\"l.m\"=\"1\"} 2\n"},
	} {
		s := store.InMemory()
		for i := range 10_000 {
			push(b, s, fmt.Sprint("job", i), names.metrics)
		}
		w, view, self := newWriter(b), s.Snapshot(), selfMetrics(b)
		for _, format := range []struct {
			name   string
			format expfmt.Format
		}{
			{"text", expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.NoEscaping)},
			{"text-escaped", expfmt.NewFormat(expfmt.TypeTextPlain).WithEscapingScheme(model.UnderscoreEscaping)},
			{"protobuf", expfmt.NewFormat(expfmt.TypeProtoDelim).WithEscapingScheme(model.NoEscaping)},
			{"openmetrics", expfmt.NewFormat(expfmt.TypeOpenMetrics).WithEscapingScheme(model.NoEscaping)},
			{"openmetrics-escaped", expfmt.NewFormat(expfmt.TypeOpenMetrics).WithEscapingScheme(model.UnderscoreEscaping)},
		} {
			for _, encoding := range []exposition.Encoding{exposition.Identity, exposition.Gzip} {
				b.Run(fmt.Sprintf("%s/%s/%s", names.what, format.name, encoding), func(b *testing.B) {
					scrape := func() {
						if _, err := w.Write(io.Discard, view, self, format.format, encoding); err != nil {
							b.Fatal(err)
						}
					}
					scrape() // fills the caches
					b.ReportAllocs()
					for b.Loop() {
						scrape()
					}
				})
			}
		}
	}
}
