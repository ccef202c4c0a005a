// Command otlp is a job that is instrumented with the OpenTelemetry SDK for Go. It uses each kind of
// instrument, exports twice and ends. The SDK's environment variables say where it exports to, and how.
// It is a module of its own, so that the gateway's go.mod lacks the SDK.
package main

import (
	"context"
	"fmt"
	"os"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetricgrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/trace"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	exporter, err := newExporter(ctx)
	if err != nil {
		return err
	}
	exponential := sdk.NewView(sdk.Instrument{Name: "payload.size"}, sdk.Stream{
		Aggregation: sdk.AggregationBase2ExponentialHistogram{MaxSize: 160, MaxScale: 20},
	})
	provider := sdk.NewMeterProvider(sdk.WithReader(sdk.NewPeriodicReader(exporter)), sdk.WithView(exponential))
	work, err := instruments(provider.Meter("report"))
	if err != nil {
		return err
	}
	// Measurements within a sampled span have exemplars.
	ctx = trace.ContextWithSpanContext(ctx, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled,
	}))
	for i := range 2 {
		work(ctx, i)
		if err := provider.ForceFlush(ctx); err != nil {
			return err
		}
	}
	return provider.Shutdown(ctx)
}

func newExporter(ctx context.Context) (sdk.Exporter, error) {
	if os.Getenv("OTEL_EXPORTER_OTLP_METRICS_PROTOCOL") == "grpc" {
		return otlpmetricgrpc.New(ctx)
	}
	return otlpmetrichttp.New(ctx)
}

// instruments returns a function that measures something with each instrument.
func instruments(m metric.Meter) (func(context.Context, int), error) {
	orders, err := m.Int64Counter("orders", metric.WithUnit("{order}"), metric.WithDescription("Orders that were read"))
	if err != nil {
		return nil, err
	}
	read, err := m.Float64Counter("bytes.read", metric.WithUnit("By"))
	if err != nil {
		return nil, err
	}
	queue, err := m.Int64UpDownCounter("queue.size", metric.WithUnit("1"))
	if err != nil {
		return nil, err
	}
	temperature, err := m.Float64Gauge("cellar.temperature", metric.WithUnit("Cel"))
	if err != nil {
		return nil, err
	}
	load, err := m.Float64Gauge("load", metric.WithUnit("1"))
	if err != nil {
		return nil, err
	}
	duration, err := m.Float64Histogram("http.server.request.duration", metric.WithUnit("s"),
		metric.WithExplicitBucketBoundaries(0.005, 0.5, 1, 2.5, 10))
	if err != nil {
		return nil, err
	}
	payload, err := m.Int64Histogram("payload.size", metric.WithUnit("By"))
	if err != nil {
		return nil, err
	}
	lookups := int64(0)
	_, err = m.Int64ObservableCounter("lookups", metric.WithInt64Callback(func(_ context.Context, o metric.Int64Observer) error {
		o.Observe(lookups)
		return nil
	}))
	return func(ctx context.Context, i int) {
		region := metric.WithAttributes(attribute.String("cloud.region", "eu"), attribute.Int("shard", i), attribute.Bool("retry", true))
		orders.Add(ctx, 3+int64(i), metric.WithAttributes(attribute.String("kind", "a")))
		orders.Add(ctx, 1, region)
		read.Add(ctx, 1.5)
		queue.Add(ctx, int64(5-2*i))
		temperature.Record(ctx, 11.5-float64(i), metric.WithAttributes(attribute.StringSlice("shelves", []string{"x", "y"})))
		load.Record(ctx, 0.25)
		for _, v := range []float64{0.001, 0.7, 0.7, 3, 99} {
			duration.Record(ctx, v+float64(i), metric.WithAttributes(attribute.Float64("weight", 0.5)))
		}
		for _, v := range []int64{0, 1, 100, 1 << 20, 1<<20 + 7} {
			payload.Record(ctx, v)
		}
		lookups += 10
	}, err
}
