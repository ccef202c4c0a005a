package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// maxJSONDepth bounds how deeply messages may be nested in JSON. Values of attributes take three messages for
// each level.
const maxJSONDepth = 16 + 3*maxDepth

// fromJSON converts an ExportMetricsServiceRequest from JSON to protobuf. Fields that have no
// effect here are left out. Its JSON is that of protobuf, but that the IDs of traces and spans
// are in hexadecimal digits and enumerations may be numbers only.
func fromJSON(body []byte) ([]byte, error) {
	c := converter{json.NewDecoder(bytes.NewReader(body))}
	c.UseNumber()
	first, err := c.Token()
	if err != nil {
		return nil, unexpectedEnd(err)
	}
	if first != json.Delim('{') {
		return nil, errors.New("it is no object")
	}
	message, err := c.appendMessage(nil, requestFields, 0)
	if err != nil {
		return nil, unexpectedEnd(err)
	}
	if _, err := c.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return message, nil
}

// unexpectedEnd returns err in words if it says only that the text ends too early.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it is cut short")
	}
	return err
}

// converter converts JSON to protobuf.
type converter struct{ *json.Decoder }

// jsonField is a field of a message: its number, and how its values are encoded.
type jsonField struct {
	number protowire.Number
	// append appends a value that is no message, with its tag. It may be a string, json.Number or bool.
	append func(dst []byte, number protowire.Number, value json.Token) ([]byte, error)
	fields jsonFields // of a message
	list   bool
}

// jsonFields are the fields of a message by their names in JSON.
type jsonFields map[string]*jsonField

// appendMessage appends the fields of an object, whose first token has been read.
func (c converter) appendMessage(dst []byte, fields jsonFields, depth int) ([]byte, error) {
	if depth == maxJSONDepth {
		return dst, errTooDeep
	}
	for c.More() {
		token, err := c.Token()
		if err != nil {
			return dst, err
		}
		name, _ := token.(string) // keys are strings
		field := fields[name]
		if field == nil {
			var skipped json.RawMessage
			if err := c.Decode(&skipped); err != nil {
				return dst, err
			}
			continue
		}
		if token, err = c.Token(); err != nil {
			return dst, err
		}
		switch {
		case token == nil: // null is the same as nothing
		case field.list && token != json.Delim('['):
			return dst, fmt.Errorf("%s is no list", name)
		case field.list:
			for c.More() {
				if token, err = c.Token(); err == nil {
					dst, err = c.appendValue(dst, field, name, token, depth)
				}
				if err != nil {
					return dst, err
				}
			}
			if _, err = c.Token(); err != nil { // the end of the list
				return dst, err
			}
		default:
			if dst, err = c.appendValue(dst, field, name, token, depth); err != nil {
				return dst, err
			}
		}
	}
	_, err := c.Token() // the end of the object
	return dst, err
}

// appendValue appends a value that begins with the token.
func (c converter) appendValue(dst []byte, field *jsonField, name string, token json.Token, depth int) ([]byte, error) {
	if field.fields == nil {
		dst, err := field.append(dst, field.number, token)
		if err != nil {
			return dst, fmt.Errorf("%s: %w", name, err)
		}
		return dst, nil
	}
	if token != json.Delim('{') {
		return dst, fmt.Errorf("%s is no object", name)
	}
	dst = protowire.AppendTag(dst, field.number, protowire.BytesType)
	start := len(dst)
	dst, err := c.appendMessage(dst, field.fields, depth+1)
	return slices.Insert(dst, start, protowire.AppendVarint(nil, uint64(len(dst)-start))...), err
}

func appendString(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	s, ok := value.(string)
	if !ok {
		return dst, errors.New("not a string")
	}
	return protowire.AppendString(protowire.AppendTag(dst, number, protowire.BytesType), s), nil
}

func appendBytes(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	s, _ := value.(string)
	decoded, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return dst, errors.New("not in base64")
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), decoded), nil
}

func appendID(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	s, _ := value.(string)
	decoded, err := hex.DecodeString(s)
	if err != nil {
		return dst, errors.New("not in hexadecimal digits")
	}
	return protowire.AppendBytes(protowire.AppendTag(dst, number, protowire.BytesType), decoded), nil
}

func appendBool(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	b, ok := value.(bool)
	if !ok {
		return dst, errors.New("not true or false")
	}
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), protowire.EncodeBool(b)), nil
}

// digits returns the text of a number, which may be in a string.
func digits(value json.Token) string {
	switch v := value.(type) {
	case json.Number:
		return v.String()
	case string:
		return v
	}
	return ""
}

func appendDouble(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	text := digits(value)
	var v float64
	switch text {
	case "NaN":
		v = math.NaN()
	case "Infinity":
		v = math.Inf(+1)
	case "-Infinity":
		v = math.Inf(-1)
	default:
		var err error
		if v, err = strconv.ParseFloat(text, 64); err != nil || !json.Valid([]byte(text)) {
			return dst, errors.New("not a number")
		}
	}
	return protowire.AppendFixed64(protowire.AppendTag(dst, number, protowire.Fixed64Type), math.Float64bits(v)), nil
}

// integer returns an integer of the given size. It may be written as 1e3 or 1.0.
func integer(value json.Token, bits int) (int64, error) {
	text := digits(value)
	v, err := strconv.ParseInt(text, 10, bits)
	if err == nil {
		return v, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if limit := math.Ldexp(1, bits-1); err != nil || f != math.Trunc(f) || f < -limit || f >= limit {
		return 0, fmt.Errorf("not an integer of %d bits", bits)
	}
	return int64(f), nil
}

// count returns an integer that is not negative.
func count(value json.Token) (uint64, error) {
	text := digits(value)
	v, err := strconv.ParseUint(text, 10, 64)
	if err == nil {
		return v, nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f != math.Trunc(f) || f < 0 || f >= math.Ldexp(1, 64) {
		return 0, errors.New("not an integer of 64 bits, at least 0")
	}
	return uint64(f), nil
}

func appendFixedCount(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	v, err := count(value)
	return protowire.AppendFixed64(protowire.AppendTag(dst, number, protowire.Fixed64Type), v), err
}

func appendCount(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	v, err := count(value)
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), v), err
}

func appendFixedInteger(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	v, err := integer(value, 64)
	return protowire.AppendFixed64(protowire.AppendTag(dst, number, protowire.Fixed64Type), uint64(v)), err
}

func appendInteger(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	v, err := integer(value, 64)
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), uint64(v)), err
}

func appendZigZag(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	v, err := integer(value, 32)
	return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), protowire.EncodeZigZag(v)), err
}

// appendTemporality appends a value of AggregationTemporality, which other programs write by name.
func appendTemporality(dst []byte, number protowire.Number, value json.Token) ([]byte, error) {
	const prefix = "AGGREGATION_TEMPORALITY_"
	if name, ok := value.(string); ok && strings.HasPrefix(name, prefix) {
		at := slices.Index([]string{"UNSPECIFIED", "DELTA", "CUMULATIVE"}, name[len(prefix):])
		if at < 0 {
			return dst, fmt.Errorf("unknown value %q", name)
		}
		return protowire.AppendVarint(protowire.AppendTag(dst, number, protowire.VarintType), uint64(at)), nil
	}
	return appendInteger(dst, number, value)
}

// The fields of all messages that have an effect here. They never change.
var (
	anyFields      = jsonFields{}
	keyValueFields = jsonFields{
		"key":   {number: keyValueKey, append: appendString},
		"value": {number: keyValueValue, fields: anyFields},
	}
	exemplarFields = jsonFields{
		"timeUnixNano":       {number: exemplarTime, append: appendFixedCount},
		"asDouble":           {number: exemplarDouble, append: appendDouble},
		"spanId":             {number: exemplarSpan, append: appendID},
		"traceId":            {number: exemplarTrace, append: appendID},
		"asInt":              {number: exemplarInt, append: appendFixedInteger},
		"filteredAttributes": {number: exemplarAttributes, fields: keyValueFields, list: true},
	}
	numberFields = jsonFields{
		"startTimeUnixNano": {number: pointStart, append: appendFixedCount},
		"timeUnixNano":      {number: pointTime, append: appendFixedCount},
		"asDouble":          {number: numberDouble, append: appendDouble},
		"exemplars":         {number: numberExemplar, fields: exemplarFields, list: true},
		"asInt":             {number: numberInt, append: appendFixedInteger},
		"attributes":        {number: numberAttributes, fields: keyValueFields, list: true},
		"flags":             {number: numberFlags, append: appendCount},
	}
	histogramFields = jsonFields{
		"startTimeUnixNano": {number: pointStart, append: appendFixedCount},
		"timeUnixNano":      {number: pointTime, append: appendFixedCount},
		"count":             {number: histogramCount, append: appendFixedCount},
		"sum":               {number: histogramSum, append: appendDouble},
		"bucketCounts":      {number: histogramBucket, append: appendFixedCount, list: true},
		"explicitBounds":    {number: histogramBound, append: appendDouble, list: true},
		"exemplars":         {number: histogramExemplar, fields: exemplarFields, list: true},
		"attributes":        {number: histogramAttributes, fields: keyValueFields, list: true},
		"flags":             {number: histogramFlags, append: appendCount},
	}
	bucketsFields = jsonFields{
		"offset":       {number: bucketsOffset, append: appendZigZag},
		"bucketCounts": {number: bucketsCount, append: appendCount, list: true},
	}
	exponentialFields = jsonFields{
		"attributes":        {number: exponentialAttributes, fields: keyValueFields, list: true},
		"startTimeUnixNano": {number: pointStart, append: appendFixedCount},
		"timeUnixNano":      {number: pointTime, append: appendFixedCount},
		"count":             {number: exponentialCount, append: appendFixedCount},
		"sum":               {number: exponentialSum, append: appendDouble},
		"scale":             {number: exponentialScale, append: appendZigZag},
		"zeroCount":         {number: exponentialZeroCount, append: appendFixedCount},
		"positive":          {number: exponentialPositive, fields: bucketsFields},
		"negative":          {number: exponentialNegative, fields: bucketsFields},
		"flags":             {number: exponentialFlags, append: appendCount},
		"exemplars":         {number: exponentialExemplar, fields: exemplarFields, list: true},
	}
	quantileFields = jsonFields{
		"quantile": {number: quantileQuantile, append: appendDouble},
		"value":    {number: quantileValue, append: appendDouble},
	}
	summaryFields = jsonFields{
		"startTimeUnixNano": {number: pointStart, append: appendFixedCount},
		"timeUnixNano":      {number: pointTime, append: appendFixedCount},
		"count":             {number: summaryCount, append: appendFixedCount},
		"sum":               {number: summarySum, append: appendDouble},
		"quantileValues":    {number: summaryQuantile, fields: quantileFields, list: true},
		"attributes":        {number: summaryAttributes, fields: keyValueFields, list: true},
		"flags":             {number: summaryFlags, append: appendCount},
	}
	metricFields = jsonFields{
		"name":                 {number: metricName, append: appendString},
		"description":          {number: metricDescription, append: appendString},
		"unit":                 {number: metricUnit, append: appendString},
		"gauge":                {number: metricGauge, fields: dataFields(numberFields)},
		"sum":                  {number: metricSum, fields: dataFields(numberFields)},
		"histogram":            {number: metricHistogram, fields: dataFields(histogramFields)},
		"exponentialHistogram": {number: metricExponentialHistogram, fields: dataFields(exponentialFields)},
		"summary":              {number: metricSummary, fields: dataFields(summaryFields)},
	}
	scopeMetricsFields = jsonFields{"metrics": {number: scopeMetricsMetric, fields: metricFields, list: true}}
	resourceFields     = jsonFields{"attributes": {number: resourceAttributes, fields: keyValueFields, list: true}}
	requestFields      = jsonFields{"resourceMetrics": {number: requestResourceMetrics, list: true, fields: jsonFields{
		"resource":     {number: resourceMetricsResource, fields: resourceFields},
		"scopeMetrics": {number: resourceMetricsScope, fields: scopeMetricsFields, list: true},
	}}}
)

// dataFields returns the fields of the data of a metric, whose points have the given fields.
func dataFields(points jsonFields) jsonFields {
	return jsonFields{
		"dataPoints":             {number: dataPoints, fields: points, list: true},
		"aggregationTemporality": {number: dataTemporality, append: appendTemporality},
		"isMonotonic":            {number: dataMonotonic, append: appendBool},
	}
}

func init() { // values of attributes are nested
	anyFields["stringValue"] = &jsonField{number: anyString, append: appendString}
	anyFields["boolValue"] = &jsonField{number: anyBool, append: appendBool}
	anyFields["intValue"] = &jsonField{number: anyInt, append: appendInteger}
	anyFields["doubleValue"] = &jsonField{number: anyDouble, append: appendDouble}
	anyFields["bytesValue"] = &jsonField{number: anyBytes, append: appendBytes}
	anyFields["arrayValue"] = &jsonField{number: anyArray, fields: jsonFields{
		"values": {number: arrayValues, fields: anyFields, list: true},
	}}
	anyFields["kvlistValue"] = &jsonField{number: anyList, fields: jsonFields{
		"values": {number: listValues, fields: keyValueFields, list: true},
	}}
}
