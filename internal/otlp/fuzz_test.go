package otlp

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"

	metrics "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

// decode decodes a body and returns it in the text format and in protobuf. Families that a store would
// not accept are an error of the test.
func decode(t *testing.T, body []byte, e Encoding) (string, error) {
	t.Helper()
	groupBy := func(metric.GroupingKey) []string { return []string{serviceInstance, "g"} }
	r, err := New(Config{PromoteResourceAttributes: "a"}).Decode(body, e, groupBy, plenty)
	if err != nil {
		return "", err
	}
	var encoded []byte
	for _, g := range r.Groups {
		points := 0
		var n metric.Normalizer
		n.Reset(g.Key)
		n.DropTimestamps = true
		for i := range g.Families {
			f := g.Families[i]
			f.Metrics = append([]metric.Metric(nil), f.Metrics...)
			points += len(f.Metrics)
			encoded = wire.AppendProtobufMetrics(encoded, &f)
			if err := n.Normalize(&f); err != nil {
				t.Errorf("not accepted: %v", err)
			}
			if f.Merge == metric.MergeSum {
				if err := f.CheckSummable(metric.GaugeSum); err != nil {
					t.Errorf("cannot be added up: %v", err)
				}
			}
		}
		if points > 0 && g.Points == 0 {
			t.Errorf("group %s has families of no data point", g.Key)
		}
	}
	return format(r) + fmt.Sprintf("%q", encoded), nil
}

// FuzzProtobuf: what the reference decodes, the decoder decodes, to the same whatever the order of
// fields and the encoding.
func FuzzProtobuf(f *testing.F) {
	for _, c := range mappings {
		body, err := fromJSON([]byte(inRequest(c.metrics)))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(body)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := decode(t, body, Protobuf)
		var reference metrics.MetricsData
		if proto.Unmarshal(body, &reference) != nil {
			return // fields that have no effect are not checked here
		}
		if err != nil {
			if strings.Contains(err.Error(), errTooDeep.Error()) {
				return
			}
			t.Fatalf("the reference accepts what is rejected: %v", err)
		}
		canonical, err := proto.Marshal(&reference)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(t, canonical, Protobuf); err != nil || again != got {
			t.Errorf("in canonical form %v\n%s\nbefore\n%s", err, again, got)
		}
		if strings.Contains(got, "NaN") {
			return // of which JSON has only one
		}
		inJSON, err := protojson.Marshal(&reference)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(t, hexadecimalIDs(inJSON), JSON); err != nil || again != got {
			t.Errorf("in JSON %v\n%s\nbefore\n%s", err, again, got)
		}
	})
}

var idsInJSON = regexp.MustCompile(`"(traceId|spanId)":\s*"([^"]*)"`)

// hexadecimalIDs writes the IDs of traces and spans as OTLP does; JSON of protobuf has them in base64.
func hexadecimalIDs(text []byte) []byte {
	return idsInJSON.ReplaceAllFunc(text, func(field []byte) []byte {
		parts := idsInJSON.FindSubmatch(field)
		id, err := base64.StdEncoding.DecodeString(string(parts[2]))
		if err != nil {
			panic(err)
		}
		return []byte(`"` + string(parts[1]) + `":"` + hex.EncodeToString(id) + `"`)
	})
}

// FuzzJSON: what the reference decodes, the decoder decodes, to the same.
func FuzzJSON(f *testing.F) {
	for _, c := range mappings {
		f.Add(inRequest(c.metrics))
	}
	f.Fuzz(func(t *testing.T, body string) {
		got, err := decode(t, []byte(body), JSON)
		for _, other := range []string{"Id", "_", `\`, "bytes", "nfinity"} {
			if strings.Contains(body, other) {
				return // IDs, names as in protobuf, other alphabets: the reference has other rules
			}
		}
		var reference metrics.MetricsData
		if (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(body), &reference) != nil {
			return // it rejects a field that is given twice
		}
		if err != nil {
			if strings.Contains(err.Error(), errTooDeep.Error()) || !json.Valid([]byte(body)) {
				return // in fields that it does not know, the reference accepts numbers like 0e
			}
			if strings.Contains(err.Error(), "aggregationTemporality") {
				return // the reference ignores names that it does not know
			}
			t.Fatalf("the reference accepts what is rejected: %v", err)
		}
		canonical, err := proto.Marshal(&reference)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decode(t, canonical, Protobuf); err != nil || again != got {
			t.Errorf("in protobuf %v\n%s\nbefore\n%s", err, again, got)
		}
	})
}
