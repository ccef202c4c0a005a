package metric

import (
	"fmt"
	"strings"
)

// Reason says in one word why a push was rejected. It is the value of a label of
// the gateway's own metrics, so there are few and they stay.
type Reason string

const (
	BadPath         Reason = "path"             // the URL names no group
	BadEncoding     Reason = "encoding"         // the body could not be decompressed
	Malformed       Reason = "malformed"        // the body could not be parsed
	BadTimestamp    Reason = "timestamp"        // a sample carried a timestamp
	BadName         Reason = "name"             // a metric or label name is not allowed
	BadUTF8         Reason = "utf8"             // a text is not UTF-8
	BadValue        Reason = "value"            // a value does not fit its family's type
	ReservedLabel   Reason = "reserved_label"   // a label that the exposition needs itself
	DuplicateSeries Reason = "duplicate_series" // a series twice, in one push or in two groups
	TypeConflict    Reason = "type_conflict"    // the name is held elsewhere with another type
	SuffixCollision Reason = "suffix_collision" // the name is a sample of a histogram or summary
	WrongProtocol   Reason = "protocol"         // the body is of another protocol, such as remote write
	TooLarge        Reason = "size"             // the push is larger than any gateway takes
	BadOption       Reason = "option"           // an option of the push is wrong, or does not fit
	BadMerge        Reason = "merge"            // the push cannot be merged with the group as asked
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		BadPath, BadEncoding, Malformed, BadTimestamp, BadName, BadUTF8, BadValue,
		ReservedLabel, DuplicateSeries, TypeConflict, SuffixCollision, WrongProtocol, TooLarge, BadOption, BadMerge,
	}
}

// RejectionError is why a push was not applied, in words for the one who pushed:
// what is wrong and what to do about it.
type RejectionError struct {
	Reason  Reason
	Message string
}

func (e *RejectionError) Error() string { return e.Message }

// Reject returns a RejectionError with the formatted message, of which Shorten keeps
// the ends: whoever pushes chooses how long names and values in it are.
func Reject(reason Reason, format string, args ...any) *RejectionError {
	return &RejectionError{Reason: reason, Message: Shorten(fmt.Sprintf(format, args...))}
}

// Shorten cuts from the middle of a text that is too long for a log line or an
// answer.
func Shorten(text string) string {
	const most, end = 2000, 700
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most-end], "") + " […] " + strings.ToValidUTF8(text[len(text)-end:], "")
}
