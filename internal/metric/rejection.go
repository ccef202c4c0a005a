package metric

import (
	"fmt"
	"strings"
)

// Reason says in one word why a push was rejected. It is the value of a label of
// the gateway's own metrics, so there are few and they do not change.
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
	TypeConflict    Reason = "type_conflict"    // other groups hold the name with another type
	SuffixCollision Reason = "suffix_collision" // the name is a sample of a histogram or summary
	WrongProtocol   Reason = "protocol"         // the body is of another protocol, such as remote write
	TooLarge        Reason = "size"             // the push is larger than the limit
	BadOption       Reason = "option"           // an option of the push is wrong, or does not fit
	BadMerge        Reason = "merge"            // the push cannot be merged with the group as asked
	LimitExceeded   Reason = "limit"            // the push, or its group, exceeds a limit
	QuotaExceeded   Reason = "quota"            // what is stored in all, or by a rule, would exceed a limit
	RateLimited     Reason = "rate"             // the client pushes too often
	Overloaded      Reason = "overload"         // too many pushes, or too large ones, at the same time
)

// Reasons returns all reasons.
func Reasons() []Reason {
	return []Reason{
		BadPath, BadEncoding, Malformed, BadTimestamp, BadName, BadUTF8, BadValue,
		ReservedLabel, DuplicateSeries, TypeConflict, SuffixCollision, WrongProtocol, TooLarge, BadOption, BadMerge,
		LimitExceeded, QuotaExceeded, RateLimited, Overloaded,
	}
}

// RejectionError says why a push was not applied.
type RejectionError struct {
	Reason Reason
	// Message says what is wrong with which object and how to change the push. It
	// names no URL, flag, header or command; those follow from Fix.
	Message string
	// Note continues the message after the fix, with what matters less.
	Note string
	// Fix is what helps besides changing the push.
	Fix Fix
	// Group is the group that Fix is about, if it is about one.
	Group GroupingKey
	// Others are the groups that Message names besides the one pushed to; see Discreet.
	Others []GroupingKey
	// Labels are the label names that Fix is about, if it is about some.
	Labels []string
}

// Fix is something that the sender of a rejected push can do, as data: package web
// knows the gateway's address and flags and puts it into words.
type Fix uint8

const (
	NoFix             Fix = iota
	DeleteGroup           // delete Group, which is the sender's own, and what it holds
	SumOrReplace          // push with merge=sum, or replace Group, which is the sender's own
	AllowUTF8             // have the gateway allow any UTF-8 in names
	AllowQuotedUTF8       // likewise, and quote the name
	DropTimestamps        // have the gateway drop the timestamps of the push
	UseGroupURL           // use the URL of Group, which the request probably means
	UseURLOrAllowUTF8     // likewise, or have the gateway allow any UTF-8 in names
	SplitByLabels         // let Labels of the metrics name their groups
)

func (e *RejectionError) Error() string { return e.Message + e.Note }

// With returns e with the fix.
func (e *RejectionError) With(fix Fix) *RejectionError {
	e.Fix = fix
	return e
}

// Noting returns e with the formatted note, cut by Shorten.
func (e *RejectionError) Noting(format string, args ...any) *RejectionError {
	e.Note = Shorten(fmt.Sprintf(format, args...))
	return e
}

// Naming returns e with the groups, other than the one pushed to, that its message names.
func (e *RejectionError) Naming(others ...GroupingKey) *RejectionError {
	e.Others = others
	return e
}

// Discreet returns the message and the note without the names of other groups.
func (e *RejectionError) Discreet() string {
	text := e.Error()
	if len(e.Others) > 0 && strings.Contains(text, cut) {
		return "the push does not fit beside another group: push it under other names, or with other labels"
	}
	for _, other := range e.Others {
		text = strings.ReplaceAll(text, "group "+other.String(), "another group")
		text = strings.ReplaceAll(text, other.String(), "another one")
	}
	return text
}

// Reject returns a RejectionError with the formatted message, cut by Shorten: whoever
// pushes chooses how long the names and values in it are.
func Reject(reason Reason, format string, args ...any) *RejectionError {
	return &RejectionError{Reason: reason, Message: Shorten(fmt.Sprintf(format, args...))}
}

// cut stands in for what Shorten cuts.
const cut = " […] "

// Shorten cuts from the middle of a text that is too long for a log line or an
// answer.
func Shorten(text string) string {
	const maxLength, tail = 2000, 700
	if len(text) <= maxLength {
		return text
	}
	return strings.ToValidUTF8(text[:maxLength-tail], "") + cut + strings.ToValidUTF8(text[len(text)-tail:], "")
}
