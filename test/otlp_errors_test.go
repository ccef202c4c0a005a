package test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestOTLPErrorsShownBySDKs: what the SDKs print about an export that the gateway did not accept says what is wrong.
func TestOTLPErrorsShownBySDKs(t *testing.T) {
	t.Parallel()
	auth := filepath.Join(t.TempDir(), "auth.yml")
	writeFile(t, auth, fmt.Appendf(nil, "users: [{name: ci, bearer_token_sha256: %x, allow: [push], match: '{job=\"a\"}'}]",
		sha256.Sum256([]byte("token"))))
	const (
		elsewhere  = "set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to http://ADDRESS" + otlpPath
		wrongMerge = "has delta temporality, and merge=group would replace what was added up"
		delta      = "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta"
		endpoint   = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=http://ADDRESS"
	)
	for _, c := range []struct {
		name    string
		gateway []string // its flags
		sdk     func(*testing.T) *exec.Cmd
		env     []string
		want    []string
	}{
		{"base endpoint", nil, goSDK, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://ADDRESS"}, []string{"404", elsewhere}},
		{"address alone", nil, goSDK, []string{endpoint}, []string{"405", elsewhere}},
		{"gRPC", nil, goSDK, []string{"OTEL_EXPORTER_OTLP_METRICS_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_ENDPOINT=http://ADDRESS"},
			[]string{"Unimplemented", "over HTTP and not over gRPC", elsewhere}},
		{"unknown option", nil, goSDK, []string{endpoint + "/with/tll=1h" + otlpPath}, []string{"400", "there is no such option"}},
		{"no token", []string{"--auth.file=" + auth}, goSDK, []string{endpoint + otlpPath}, []string{"401", "send a credential"}},
		{"another group", []string{"--auth.file=" + auth}, goSDK,
			[]string{endpoint + otlpPath, "OTEL_EXPORTER_OTLP_METRICS_HEADERS=Authorization=Bearer%20token"},
			[]string{"403", `lacks the right push for the group {job="b"}`}},
		{"too large", []string{"--push.max-body-size=1KiB"}, goSDK, []string{endpoint + otlpPath}, []string{"413", "larger"}},
		{"too many series", []string{"--push.max-series=2"}, goSDK, []string{endpoint + otlpPath}, []string{"400", "limit of 2"}},
		{"a part, Go", nil, goSDK, []string{endpoint + "/with/merge=group" + otlpPath, delta}, []string{"OTLP partial success", wrongMerge}},
		{"a part, JavaScript", nil, javaScriptSDK("proto"), []string{endpoint + "/with/merge=group" + otlpPath, delta},
			[]string{"Partial Success", wrongMerge}},
		{"a part, JavaScript in JSON", nil, javaScriptSDK("http"), []string{endpoint + "/with/merge=group" + otlpPath, delta},
			[]string{"Partial Success", wrongMerge}},
		{"no token, JavaScript", []string{"--auth.file=" + auth}, javaScriptSDK("proto"), []string{endpoint + otlpPath},
			[]string{"Unauthorized"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			p := start(t, c.gateway...)
			fill := strings.NewReplacer("ADDRESS", p.Addr).Replace
			cmd := c.sdk(t)
			if cmd.Env == nil {
				cmd.Env = os.Environ()
			}
			cmd.Env = append(cmd.Env, "OTEL_SERVICE_NAME=b")
			for _, variable := range c.env {
				cmd.Env = append(cmd.Env, fill(variable))
			}
			out, _ := cmd.CombinedOutput() // SDKs differ in whether an export that fails is an error
			for _, part := range c.want {
				if !strings.Contains(strings.ReplaceAll(string(out), `\"`, `"`), fill(part)) {
					t.Errorf("the SDK says\n%s\nand not\n%s", out, fill(part))
				}
			}
		})
	}
}

// TestOTLPRateLimit: an SDK waits as the gateway asks it to, and all is counted in the end.
func TestOTLPRateLimit(t *testing.T) {
	t.Parallel()
	p := start(t, "--push.rate-limit=1")
	for _, j := range otlpJobs {
		if strings.HasSuffix(j.name, "-delta") {
			j.run(t, p.URL)
			wantText(t, p.get(t, "/metrics"), fmt.Sprintf("orders_total{instance=\"\",job=%q,kind=\"a\"} 7\n", j.name))
		}
	}
	for p.do(t, http.MethodPost, otlpPath, "", "Content-Type", "application/x-protobuf").status != http.StatusTooManyRequests {
	}
	goDelta := otlpJobs[1]
	goDelta.run(t, p.URL)
	text := p.get(t, "/metrics")
	wantText(t, text, fmt.Sprintf("orders_total{instance=\"\",job=%q,kind=\"a\"} 14\n", goDelta.name))
	if strings.Contains(text, "pushgateway_pushes_rejected_total{reason=\"rate\"} 0\n") {
		t.Error("nothing was rejected")
	}
}
