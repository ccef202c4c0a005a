package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"pushgateway/internal/client"
	"pushgateway/internal/metric"
	"pushgateway/internal/pushbody"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// pushBody is a body to push, not compressed.
type pushBody struct {
	name    string // where it comes from, for messages
	content []byte
	format  wire.Format
}

// newPushBody returns a body in a format that --format names.
func newPushBody(name string, content []byte, format string) *pushBody {
	b := &pushBody{name, content, wire.Text}
	switch format {
	case "openmetrics":
		b.format = wire.OpenMetrics
	case "protobuf":
		b.format = wire.Protobuf
	case "auto":
		b.format = guessFormat(content)
	}
	return b
}

// guessFormat tells the formats apart. Protobuf has control characters in its first message:
// a type, or the byte of a length or field. OpenMetrics ends with # EOF.
func guessFormat(content []byte) wire.Format {
	start := content[:min(len(content), 1<<10)]
	if bytes.ContainsFunc(start, func(r rune) bool { return r < '\t' || r > '\r' && r < ' ' }) {
		return wire.Protobuf
	}
	if bytes.HasSuffix(bytes.TrimRight(content, "\r\n"), []byte("\n# EOF")) {
		return wire.OpenMetrics
	}
	return wire.Text
}

// contentTypes are the values of Content-Type for each format.
var contentTypes = map[wire.Format]string{
	wire.Text:        "text/plain; version=0.0.4",
	wire.OpenMetrics: "application/openmetrics-text; version=1.0.0",
	wire.Protobuf:    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited",
}

func (b *pushBody) contentType() string { return contentTypes[b.format] }

// check reads the body as the gateway does. The gateway may know other reasons to reject it,
// such as its limits and other groups.
func (b *pushBody) check(group metric.GroupingKey, options metric.Options) error {
	var encoder store.Encoder
	encoder.Begin(group, store.PushOptions{
		Merge: options.Merge, Gauges: options.Gauges,
		DropTimestamps: options.Timestamps == metric.TimestampsDrop, DropLabels: options.DropLabels.All(),
	})
	err := b.parseTo(&encoder)
	rejection, ok := errors.AsType[*metric.RejectionError](err)
	if !ok {
		return err
	}
	fix := ""
	if rejection.Fix == metric.DropTimestamps {
		fix = ", or push with --timestamps=drop"
	}
	return fmt.Errorf("%s: %w%s", b.name, rejection, fix)
}

// parseTo gives the families of the body to a sink, by way of the gateway's own reader.
func (b *pushBody) parseTo(sink wire.Sink) error {
	r, err := http.NewRequest(http.MethodPost, "/", bytes.NewReader(b.content))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", b.contentType())
	// The memory of this process is the only limit.
	received, err := pushbody.NewBudget(maxLocalMemory).Receive(r, pushbody.AtOnce, 0, func() {})
	if err != nil {
		return err
	}
	defer received.Release()
	var reader pushbody.Reader
	return reader.Read(received, metric.UTF8Validation, sink)
}

const maxLocalMemory = 1 << 40

// fit converts the body to a format that the server reads. All servers read text; the
// Prometheus Pushgateway also reads protobuf.
func (b *pushBody) fit(ctx context.Context, gateway *client.Client) error {
	if b.format == wire.Text {
		return nil
	}
	server, err := gateway.Server(ctx)
	if err != nil {
		return err
	}
	if server.Product == client.Pushgateway || server.Product == client.Upstream && b.format == wire.Protobuf {
		return nil
	}
	return b.toText()
}

// toText converts the body to the text format.
func (b *pushBody) toText() error {
	if b.format == wire.Text {
		return nil
	}
	var families wire.Families
	if err := b.parseTo(&families); err != nil {
		return err
	}
	var text []byte
	for i := range families.All {
		f := &families.All[i]
		text = wire.AppendText(wire.AppendTextHeader(text, f.Name, f.Help, f.Type), f)
	}
	b.content, b.format = text, wire.Text
	return nil
}

// oneLiners returns the body with metrics as --metric has them. All have the same type.
func oneLiners(metrics []string, metricType, help string) (*pushBody, error) {
	var names []string
	samples := map[string][]string{}
	for _, text := range metrics {
		at := strings.LastIndex(text, "=")
		if at < 0 || at < strings.LastIndex(text, "}") {
			return nil, usageError("--metric=%s: use NAME=VALUE or NAME{LABEL=\"…\"}=VALUE", text)
		}
		name, _, _ := strings.Cut(text[:at], "{")
		if !metric.LegacyMetricName(name) {
			return nil, usageError("--metric=%s: %q is not a name of a metric", text, name)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
		samples[name] = append(samples[name], text[:at]+" "+text[at+1:])
	}
	var body bytes.Buffer
	for _, name := range names {
		if help != "" {
			fmt.Fprintf(&body, "# HELP %s %s\n", name, escapeHelp.Replace(help))
		}
		fmt.Fprintf(&body, "# TYPE %s %s\n", name, metricType)
		for _, sample := range samples[name] {
			_, _ = io.WriteString(&body, sample+"\n") // a bytes.Buffer does not fail
		}
	}
	return &pushBody{"--metric", body.Bytes(), wire.Text}, nil
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
