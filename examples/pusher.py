#!/usr/bin/env python3
"""Push the results of a batch job to a gateway.

Usage: pusher.py [host:port]        (default: localhost:9091)

A batch job often ends before Prometheus can scrape it. So it pushes its results
to the gateway, which keeps them until the next run pushes new ones.
Needs the package prometheus_client.
"""

import sys
import time

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    delete_from_gateway,
    push_to_gateway,
    pushadd_to_gateway,
)

gateway = sys.argv[1] if len(sys.argv) > 1 else "localhost:9091"

# Every group has a grouping key: the job, and any labels that tell its groups
# apart. Here each database that is backed up has its own group.
job = "backup"
key = {"database": "orders"}

# 1. Show that the job is running. This is a second group, so that it can be
#    deleted at the end without touching the results.
running_key = {"database": "orders", "state": "running"}
running = CollectorRegistry()
Gauge("backup_running", "1 while a backup is running.", registry=running).set(1)
push_to_gateway(gateway, job=job, grouping_key=running_key, registry=running)

# 2. Do the work and measure it. A separate registry has only what you want to
#    push, without the metrics of the Python process.
results = CollectorRegistry()
size = Gauge("backup_size_bytes", "Size of the backup.", registry=results)
tables = Counter("backup_tables", "Tables backed up.", registry=results)
seconds = Histogram(
    "backup_table_duration_seconds",
    "Time to back up one table.",
    buckets=(0.1, 1, 10),
    registry=results,
)
for table_bytes, table_seconds in [(4096, 0.05), (65536, 0.7), (1048576, 4.2)]:
    size.inc(table_bytes)
    tables.inc()  # shown as backup_tables_total
    seconds.observe(table_seconds)

# 3. push_to_gateway (PUT) replaces the whole group, so nothing of an earlier
#    run is left.
push_to_gateway(gateway, job=job, grouping_key=key, registry=results)

# 4. pushadd_to_gateway (POST) replaces only metrics with the same names: here
#    it adds one to the results. A run that fails does not get this far.
success = CollectorRegistry()
last = Gauge(
    "backup_last_success_timestamp_seconds",
    "Time of the last successful backup.",
    registry=success,
)
last.set(time.time())
pushadd_to_gateway(gateway, job=job, grouping_key=key, registry=success)

# 5. The job is no longer running: delete its group.
delete_from_gateway(gateway, job=job, grouping_key=running_key)

print(f"pushed to http://{gateway}/metrics")
