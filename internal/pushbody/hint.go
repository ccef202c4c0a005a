package pushbody

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"unicode/utf16"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/snappy"
	"github.com/klauspost/compress/zstd"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"pushgateway/internal/metric"
	"pushgateway/internal/wire"
)

const (
	delimitedType = protobufType + "; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	textOMType    = openMetricsType + "; version=1.0.0; charset=utf-8"
)

// maxHintSize bounds the bodies for which addHint tries what may be meant, and addLines finds lines, in bytes.
const maxHintSize = 1 << 20

// addHint adds what is likely wrong with a body that could not be parsed, and what to do
// about it, to its rejection. It has tried what it advises: the body that it asks for can
// be parsed.
func addHint(rejection *metric.RejectionError, body []byte, h http.Header, names metric.ValidationScheme) {
	for i, guess := range guesses {
		if i > 0 && len(body) > maxHintSize {
			break
		}
		meant, format, advice := guess(body, h)
		if advice == "" {
			continue
		}
		var families wire.Families
		if err := new(wire.Parser).ParseTo(meant, format, names, &families); err == nil && hasMetrics(families.All) {
			if format == wire.OpenMetrics && slices.ContainsFunc(families.All, hasTimestamps) && !bytes.Contains(body, []byte("# EOF")) {
				continue // more likely text with a number after the value
			}
			if slices.ContainsFunc(families.All, hasTimestamps) {
				advice += ", and leave out its timestamps, or push with timestamps=drop in the query of the URL"
			}
			advise(rejection, advice)
			return
		}
	}
	contentType := h.Get("Content-Type")
	encoding := h.Get("Content-Encoding")
	switch {
	case !slices.Contains([]string{"", "identity", "gzip", "snappy", "zstd"}, strings.ToLower(encoding)):
		advise(rejection, fmt.Sprintf("the header Content-Encoding: %s is not a known compression, so the body was read as it is: "+
			"compress it with gzip, snappy or zstd, or drop the header", encoding))
	case strings.HasPrefix(contentType, "multipart/form-data"):
		advise(rejection, "the body is a form with parts: with curl, use --data-binary @file instead of -F")
	case isJoined(body, h):
		advise(rejection, joinedAdvice)
	}
}

// addLines adds the lines that have the same name and labels to the rejection of a body with a series twice.
func addLines(rejection *metric.RejectionError, body []byte, names metric.ValidationScheme) {
	if len(body) > maxHintSize || rejection.Fix != metric.NoFix {
		return
	}
	if first, second, ok := wire.DuplicateLines(body, names); ok {
		rejection.Noting("; lines %d and %d have the same name and labels", first, second)
	}
}

// advise puts advice before the message of a rejection, and leaves out what the parser
// advises: what it stumbled over only follows from that.
func advise(rejection *metric.RejectionError, advice string) {
	parsed := rejection.Message
	for _, its := range []string{": write ", ": use ", ": remove "} {
		if i := strings.LastIndex(parsed, its); i > 0 {
			parsed = parsed[:i]
		}
	}
	rejection.Message, rejection.Note, rejection.Fix = fmt.Sprintf("%s (as it is: %s)", advice, parsed), "", metric.NoFix
}

const joinedAdvice = "the lines of the body have been joined, as curl does with --data @file: use --data-binary @file"

// isJoined reports whether a body was sent as curl sends data by default, and its only line seems to be
// several: a comment before a sample, or a value with the next line behind it. Cost: O(1) unless the
// body has one line.
func isJoined(body []byte, h http.Header) bool {
	if !strings.HasPrefix(h.Get("Content-Type"), "application/x-www-form-urlencoded") ||
		len(body) == 0 || len(body) > maxHintSize || bytes.Contains(body, []byte("\n")) {
		return false
	}
	if bytes.HasPrefix(body, []byte("#")) {
		return true
	}
	words := strings.Fields(string(body))
	return len(words) > 2 && slices.ContainsFunc(words[1:len(words)-1], joinedValue.MatchString)
}

// joinedValue matches a value with the name of the next sample, or the # of a comment.
var joinedValue = regexp.MustCompile(`^[-+]?([0-9][0-9.]*|[Nn]a[Nn]|Inf)([a-zA-Z_:][a-zA-Z0-9_:]*(\{.*)?|#)$`)

func hasMetrics(families []metric.Family) bool {
	return slices.ContainsFunc(families, func(f metric.Family) bool { return f.Name != "" && len(f.Metrics) > 0 })
}

func hasTimestamps(f metric.Family) bool {
	return slices.ContainsFunc(f.Metrics, func(m metric.Metric) bool { return m.HasTimestamp })
}

// guesses are the mistakes that are known. The first one costs little, however large the
// body. Each returns the body that may be meant, its format, and the advice that gives it;
// the advice is "" if the body is no such case.
var guesses = []func(body []byte, h http.Header) (meant []byte, format wire.Format, advice string){
	compressedBody, delimitedProtobuf, singleProtobuf, protobufText, textAsProtobuf, openMetricsAsText,
	utf16Text, jsonObject, quotedLines, literalLineBreaks, echoOption,
}

func compressedBody(body []byte, h http.Header) ([]byte, wire.Format, string) {
	const advice = "the body is compressed: send it with the header Content-Encoding: "
	format := formatOf(h)
	for _, known := range []struct {
		magic, encoding string
		decompress      func() ([]byte, error)
	}{
		{"\x1f\x8b", "gzip", func() ([]byte, error) {
			z, err := gzip.NewReader(bytes.NewReader(body))
			if err != nil {
				return nil, err
			}
			return beginning(z)
		}},
		{"\x28\xb5\x2f\xfd", "zstd", func() ([]byte, error) {
			z, err := zstd.NewReader(bytes.NewReader(body), zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
				zstd.WithDecoderMaxWindow(8<<20))
			if err != nil {
				return nil, err
			}
			defer z.Close()
			return beginning(z)
		}},
		{"\xff\x06\x00\x00sNaPpY", "snappy", func() ([]byte, error) {
			return beginning(snappy.NewReader(bytes.NewReader(body)))
		}},
	} {
		if bytes.HasPrefix(body, []byte(known.magic)) {
			if meant, err := known.decompress(); err == nil {
				return meant, format, advice + known.encoding
			}
		}
	}
	if n, err := snappy.DecodedLen(body); err == nil && n > 0 && n <= maxHintSize {
		if meant, err := snappy.Decode(nil, body); err == nil {
			return meant, format, "the body is in the block format of snappy: use its framing format (in Go " +
				"snappy.NewBufferedWriter), and " +
				"send it with the header Content-Encoding: snappy"
		}
	}
	return nil, 0, ""
}

// beginning returns the first lines that r has, up to maxHintSize.
func beginning(r io.Reader) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(r, maxHintSize))
	if len(text) == maxHintSize {
		text = text[:bytes.LastIndexByte(text, '\n')+1]
	}
	return text, err
}

func delimitedProtobuf(body []byte, h http.Header) ([]byte, wire.Format, string) {
	if formatOf(h) == wire.Protobuf {
		return nil, 0, ""
	}
	return body, wire.Protobuf, "the body is protobuf: send it with the header Content-Type: " + delimitedType
}

func singleProtobuf(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	return delimit(body), wire.Protobuf, "the body is a protobuf MetricFamily without its length: write messages delimited " +
		"(in Go with protodelim.MarshalTo), with the header Content-Type: " + delimitedType
}

// delimit puts the length of a message before it.
func delimit(message []byte) []byte {
	return append(binary.AppendUvarint(nil, uint64(len(message))), message...)
}

func protobufText(body []byte, h http.Header) ([]byte, wire.Format, string) {
	// The next family starts with a name that is not indented.
	if i := bytes.Index(bytes.TrimLeft(body, " \r\n"), []byte("\nname:")); i >= 0 {
		body = bytes.TrimLeft(body, " \r\n")[:i]
	}
	family := &dto.MetricFamily{}
	if prototext.Unmarshal(body, family) != nil || family.Name == nil {
		return nil, 0, ""
	}
	message, err := proto.Marshal(family)
	if err != nil {
		return nil, 0, ""
	}
	return delimit(message), wire.Protobuf, "the body is protobuf written as text: write it delimited (in Go with protodelim.MarshalTo), " +
		"with the header Content-Type: " + delimitedType
}

func textAsProtobuf(body []byte, h http.Header) ([]byte, wire.Format, string) {
	if formatOf(h) != wire.Protobuf {
		return nil, 0, ""
	}
	return body, wire.Text, "the header Content-Type says that the body is protobuf: leave it out to push the text format"
}

func openMetricsAsText(body []byte, h http.Header) ([]byte, wire.Format, string) {
	if formatOf(h) == wire.OpenMetrics {
		return nil, 0, ""
	}
	return body, wire.OpenMetrics, "the body is OpenMetrics: send it with the header Content-Type: " + textOMType
}

func utf16Text(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	var order binary.ByteOrder = binary.LittleEndian
	switch {
	case bytes.HasPrefix(body, []byte("\xff\xfe")), len(body) > 1 && body[0] != 0 && body[1] == 0:
	case bytes.HasPrefix(body, []byte("\xfe\xff")), len(body) > 1 && body[0] == 0:
		order = binary.BigEndian
	default:
		return nil, 0, ""
	}
	units := make([]uint16, len(body)/2)
	for i := range units {
		units[i] = order.Uint16(body[2*i:])
	}
	return []byte(string(utf16.Decode(units))), wire.Text,
		"the body is UTF-16, as > writes it in Windows PowerShell: write the file with | Out-File -Encoding ascii instead of >"
}

func jsonObject(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	trimmed := bytes.TrimSpace(body)
	if len(trimmed) == 0 || trimmed[0] != '{' && trimmed[0] != '[' {
		return nil, 0, ""
	}
	var value json.RawMessage // the first one, since some write an object per line
	decoder := json.NewDecoder(bytes.NewReader(trimmed))
	if decoder.Decode(&value) != nil {
		return nil, 0, ""
	}
	if rest := bytes.TrimSpace(trimmed[decoder.InputOffset():]); len(rest) > 0 && rest[0] != trimmed[0] {
		return nil, 0, ""
	}
	example := "some_metric 3.14"
	var object map[string]any
	if json.Unmarshal(value, &object) == nil {
		for name, field := range object {
			if number, ok := field.(float64); ok && metric.LegacyMetricName(name) && len(name) <= 100 {
				example = fmt.Sprintf("%s %v", name, number)
				break
			}
		}
	}
	return []byte(example), wire.Text, fmt.Sprintf("the body is JSON: push lines of a metric name and a value, such as %q", example)
}

func quotedLines(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	var meant bytes.Buffer
	quoted := 0
	for line := range bytes.Lines(body) {
		line = bytes.TrimSpace(line)
		if n := len(line); n > 1 && line[0] == line[n-1] && (line[0] == '"' || line[0] == '\'') {
			line = bytes.ReplaceAll(line[1:n-1], []byte(`\"`), []byte(`"`))
			quoted++
		}
		meant.Write(line)
		meant.WriteByte('\n')
	}
	if quoted == 0 {
		return nil, 0, ""
	}
	first, _, _ := strings.Cut(meant.String(), "\n")
	return meant.Bytes(), wire.Text, fmt.Sprintf("the quotes around the line are part of the body, since cmd.exe keeps those after echo: "+
		"leave them out, as in echo %.100s", first)
}

func literalLineBreaks(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	if !bytes.Contains(body, []byte(`\n`)) {
		return nil, 0, ""
	}
	return bytes.ReplaceAll(body, []byte(`\n`), []byte("\n")), wire.Text,
		`the body has a backslash and an n where a line break is meant: use printf instead of echo, as in printf 'x 1\ny 2\n'`
}

func echoOption(body []byte, _ http.Header) ([]byte, wire.Format, string) {
	option, rest, found := bytes.Cut(body, []byte(" "))
	if !found || !slices.Contains([]string{"-e", "-n", "-en", "-ne"}, string(option)) {
		return nil, 0, ""
	}
	return rest, wire.Text, fmt.Sprintf("the body begins with %s, which echo does not know as an option in some shells: use printf, "+
		`as in printf 'x 1\ny 2\n'`, option)
}
