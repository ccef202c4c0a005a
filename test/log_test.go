package test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// TestLogFormat: log lines have the keys that upstream's have, and none that was renamed
// because it collides with one of these.
func TestLogFormat(t *testing.T) {
	t.Run("logfmt", func(t *testing.T) {
		p := start(t, "--web.enable-admin-api")
		p.push(t, http.MethodPut, "/metrics/job/a", "m 1\n")
		if a := p.do(t, http.MethodPut, "/metrics/job/a", "m{\n"); a.status != http.StatusBadRequest {
			t.Fatalf("status %d", a.status)
		}
		line := regexp.MustCompile(`^ts=\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z level=(debug|info|warn|error) caller=\w+\.go:\d+ msg=`)
		rejected := regexp.MustCompile(`level=warn .* msg="push rejected" .*remote_addr=127\.0\.0\.1:\d+ `)
		until(t, "the rejected push is logged", func() bool { return rejected.MatchString(p.log.String()) })
		for l := range strings.Lines(p.log.String()) {
			if !line.MatchString(l) || strings.Contains(l, "logged_") {
				t.Errorf("unexpected form: %s", l)
			}
		}
	})
	t.Run("json", func(t *testing.T) {
		cmd := command(t, gatewayBinary(t), "--log.format=json", "--web.listen-address=256.0.0.1:0", "--persistence.file=")
		out, _ := runToEnd(t, cmd)
		for l := range strings.Lines(out) {
			var fields map[string]any
			if err := json.Unmarshal([]byte(l), &fields); err != nil {
				t.Fatalf("%v: %s", err, l)
			}
			for _, key := range []string{"ts", "level", "caller", "msg"} {
				if fields[key] == nil {
					t.Errorf("%s is missing in %s", key, l)
				}
			}
		}
		if !strings.Contains(out, `"level":"error"`) {
			t.Errorf("the failure is not logged: %s", out)
		}
	})
}
