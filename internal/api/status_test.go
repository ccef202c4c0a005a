package api_test

import (
	"bytes"
	"testing"
	"time"

	"pushgateway/internal/api"
)

func TestWriteStatus(t *testing.T) {
	var b bytes.Buffer
	err := api.WriteStatus(&b, api.Status{
		Build: api.Build{
			Branch: "main", Date: "20261122-10:00:00", User: "me@here",
			GoVersion: "go1.26", Revision: "abc", Version: "2.0",
		},
		Flags:   map[string]string{"web.telemetry-path": "/metrics", "log.level": "info"},
		Started: noon.In(time.FixedZone("", 3600)),
	})
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"status":"success","data":{"build_information":{"branch":"main","buildDate":"20261122-10:00:00",` +
		`"buildUser":"me@here","goVersion":"go1.26","revision":"abc","version":"2.0"},` +
		`"flags":{"log.level":"info","web.telemetry-path":"/metrics"},"start_time":"2026-11-22T12:00:00.123456789Z","storage":{"durable":false}}}`
	if got := b.String(); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
}
