// A job that is instrumented with the OpenTelemetry SDK for JavaScript. It uses each kind of instrument,
// exports twice and ends. The first argument is the module of the exporter, for protobuf or JSON; the SDK's
// environment variables say where it exports to, and how.
const { OTLPMetricExporter } = require(process.argv[2]);
const { MeterProvider, PeriodicExportingMetricReader, AggregationType } = require("@opentelemetry/sdk-metrics");
const { resourceFromAttributes } = require("@opentelemetry/resources");
const { diag, DiagConsoleLogger, DiagLogLevel } = require("@opentelemetry/api");

diag.setLogger(new DiagConsoleLogger(), DiagLogLevel.WARN); // without one, the SDK says nothing about failed exports

async function main() {
  const provider = new MeterProvider({
    resource: resourceFromAttributes({ "service.name": process.env.OTEL_SERVICE_NAME, "process.pid": process.pid, "host.name": "h" }),
    readers: [new PeriodicExportingMetricReader({ exporter: new OTLPMetricExporter() })],
    views: [{ instrumentName: "payload.size", aggregation: { type: AggregationType.EXPONENTIAL_HISTOGRAM } }],
  });
  const meter = provider.getMeter("report");
  const orders = meter.createCounter("orders", { unit: "{order}", description: "Orders that were read" });
  const queue = meter.createUpDownCounter("queue.size", { unit: "1" });
  const temperature = meter.createGauge("cellar.temperature", { unit: "Cel" });
  const duration = meter.createHistogram("http.server.request.duration", {
    unit: "s", advice: { explicitBucketBoundaries: [0.005, 0.5, 1, 2.5, 10] },
  });
  const payload = meter.createHistogram("payload.size", { unit: "By" });
  let lookups = 0;
  meter.createObservableCounter("lookups").addCallback((result) => result.observe(lookups));
  for (const i of [0, 1]) {
    orders.add(3 + i, { kind: "a" });
    orders.add(1, { "cloud.region": "eu", shard: i, retry: true });
    queue.add(5 - 2 * i);
    temperature.record(11.5 - i, { shelves: ["x", "y"] });
    for (const v of [0.001, 0.7, 0.7, 3, 99]) duration.record(v + i, { weight: 0.5 });
    for (const v of [0, 1, 100, 1 << 20, (1 << 20) + 7]) payload.record(v);
    lookups += 10;
    await provider.forceFlush();
  }
  await provider.shutdown();
}

main().catch((err) => {
  console.error(err);
  process.exit(1);
});
