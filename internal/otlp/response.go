package otlp

import (
	"encoding/json"
	"strconv"

	"google.golang.org/protobuf/encoding/protowire"
)

// Numbers of the fields of responses, by message.
const (
	responsePartialSuccess = 1

	partialRejected = 1
	partialMessage  = 2

	statusCode    = 1
	statusMessage = 2
)

// AppendResponse appends an ExportMetricsServiceResponse. It says how many data points were
// rejected, and why, unless the message is empty.
func AppendResponse(dst []byte, e Encoding, rejected int, message string) []byte {
	if e == JSON {
		if message == "" {
			return append(dst, "{}"...)
		}
		dst = append(dst, `{"partialSuccess":{"rejectedDataPoints":"`...)
		dst = strconv.AppendInt(dst, int64(rejected), 10)
		dst = append(dst, `","errorMessage":`...)
		return append(appendJSONString(dst, message), "}}"...)
	}
	if message == "" {
		return dst
	}
	var partial []byte
	partial = protowire.AppendTag(partial, partialRejected, protowire.VarintType)
	partial = protowire.AppendVarint(partial, uint64(rejected))
	partial = protowire.AppendTag(partial, partialMessage, protowire.BytesType)
	partial = protowire.AppendString(partial, message)
	dst = protowire.AppendTag(dst, responsePartialSuccess, protowire.BytesType)
	return protowire.AppendBytes(dst, partial)
}

// AppendStatus appends a google.rpc.Status, which answers a request that failed. Its code is
// that of gRPC for the HTTP status.
func AppendStatus(dst []byte, e Encoding, httpStatus int, message string) []byte {
	code := codeOf(httpStatus)
	if e == JSON {
		dst = append(dst, `{"code":`...)
		dst = strconv.AppendInt(dst, int64(code), 10)
		dst = append(dst, `,"message":`...)
		return append(appendJSONString(dst, message), '}')
	}
	dst = protowire.AppendTag(dst, statusCode, protowire.VarintType)
	dst = protowire.AppendVarint(dst, uint64(code))
	dst = protowire.AppendTag(dst, statusMessage, protowire.BytesType)
	return protowire.AppendString(dst, message)
}

func appendJSONString(dst []byte, text string) []byte {
	quoted, err := json.Marshal(text)
	if err != nil {
		panic(err) // no string is an error
	}
	return append(dst, quoted...)
}

// codeOf returns the code of gRPC for an HTTP status.
func codeOf(httpStatus int) int {
	switch httpStatus {
	case 400, 404, 405, 413, 414, 415:
		return 3 // invalid argument
	case 401:
		return 16 // unauthenticated
	case 403:
		return 7 // permission denied
	case 408, 504:
		return 4 // deadline exceeded
	case 429:
		return 8 // resource exhausted
	case 501:
		return 12 // unimplemented
	case 502, 503:
		return 14 // unavailable
	}
	return 13 // internal
}
