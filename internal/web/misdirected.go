package web

import (
	"net/http"
	"net/url"
	"strings"

	"pushgateway/internal/metric"
	"pushgateway/internal/pushoptions"
)

// exportedSignals are what SDKs export by OTLP, each to a path of its own.
var exportedSignals = [...]string{"metrics", "traces", "logs"}

// misdirectedExport returns the status and the reason that answer an export by OTLP to where the gateway accepts none,
// or nil if the request is no such export: SDKs speak gRPC unless they are told otherwise, export traces and
// logs, too, and go to other paths if all they have is an address. rows are those of the path, nil if there are none.
func (s *Server) misdirectedExport(r *request, rows methods) (status int, rejection *metric.RejectionError) {
	if r.Method != http.MethodPost {
		return 0, nil
	}
	options, path := "", r.path
	if _, rest, found := pushoptions.CutPrefix(r.path); found {
		path = rest
		options = (&url.URL{Path: strings.TrimSuffix(r.path, rest)}).EscapedPath()
	}
	endpoint := s.config.Pages.Address(r.Request) + options + otlpPath
	if isGRPC(r.Request) {
		return http.StatusNotImplemented, metric.Reject(metric.WrongProtocol,
			"the gateway accepts OTLP over HTTP and not over gRPC: use an exporter for HTTP, as with OTEL_EXPORTER_OTLP_METRICS_PROTOCOL="+
				"http/protobuf, and set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to %s", endpoint)
	}
	status, cause := http.StatusNotFound, "404 page not found"
	if rows != nil {
		status, cause = http.StatusMethodNotAllowed, "Method Not Allowed"
	}
	_, isExport := encodingOf(r)
	for _, signal := range exportedSignals {
		if strings.HasSuffix(path, "/v1/"+signal) && (isExport || s.routes.find(path) == nil) {
			return status, metric.Reject(metric.BadPath,
				"%s: this path is for %s by OTLP, but the gateway accepts only metrics, at %s: set "+
					"OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to %s", cause, signal, otlpPath, endpoint)
		}
	}
	if isExport && strings.Trim(path, "/") == "" {
		return status, metric.Reject(metric.BadPath,
			"%s: to export metrics by OTLP, set OTEL_EXPORTER_OTLP_METRICS_ENDPOINT to %s", cause, endpoint)
	}
	return 0, nil
}

// isGRPC reports whether the request is a call by gRPC.
func isGRPC(r *http.Request) bool {
	return r.ProtoMajor == 2 && strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
}

// answerGRPC answers a call by gRPC, none of which the gateway implements, with an error.
func answerGRPC(w http.ResponseWriter, err error) {
	const unimplemented = "12" // as a gRPC status code
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", unimplemented)
	h.Set("Grpc-Message", url.PathEscape(err.Error()))
	w.WriteHeader(http.StatusOK) // gRPC has its own statuses
}
