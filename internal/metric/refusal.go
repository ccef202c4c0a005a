package metric

import "fmt"

// Reason says in one word why a push was refused. It is the value of a label of
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
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		BadPath, BadEncoding, Malformed, BadTimestamp, BadName, BadUTF8, BadValue,
		ReservedLabel, DuplicateSeries, TypeConflict, SuffixCollision, WrongProtocol,
	}
}

// RefusalError is why a push was not applied, in words for the one who pushed:
// what is wrong and what to do about it.
type RefusalError struct {
	Reason  Reason
	Message string
}

func (e *RefusalError) Error() string { return e.Message }

// Refuse returns a RefusalError with the formatted message.
func Refuse(reason Reason, format string, args ...any) *RefusalError {
	return &RefusalError{Reason: reason, Message: fmt.Sprintf(format, args...)}
}
