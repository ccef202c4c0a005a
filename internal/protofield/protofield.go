// Package protofield reads protobuf messages field by field, without generated types. A
// message takes no memory beside what its reader makes of it, and strings alias it.
package protofield

import (
	"fmt"
	"math"
	"unsafe"

	"google.golang.org/protobuf/encoding/protowire"
)

// Field is a field of a protobuf message: its number, its wire type, and its content in
// the form of that type.
type Field struct {
	Number protowire.Number
	Type   protowire.Type
	Bits   uint64 // of a varint or fixed-size number
	Bytes  []byte // of a string, a message, or packed numbers; aliases the message
}

// Float returns the content of a field of type double.
func (f Field) Float() float64 { return math.Float64frombits(f.Bits) }

// String returns the content of a string field. It aliases the message, which must not
// change while the string is in use.
func (f Field) String() string { return Alias(f.Bytes) }

// Is reports whether the field has this number and wire type. One of another type is an
// unknown field, as for other readers of protobuf.
func (f Field) Is(number protowire.Number, typ protowire.Type) bool {
	return f.Number == number && f.Type == typ
}

// Alias returns b as a string without copying it. The caller must not change b while
// the string is in use.
func Alias(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) } // #nosec G103 -- the comment says what callers must not do

// Each calls visit for each field of a message. The error is that of visit, or says why the
// message is not valid.
func Each(message []byte, visit func(Field) error) error {
	for len(message) > 0 {
		number, typ, n := protowire.ConsumeTag(message)
		if n < 0 {
			return protowire.ParseError(n)
		}
		if !number.IsValid() {
			return fmt.Errorf("invalid field number %d", number)
		}
		message = message[n:]
		f := Field{Number: number, Type: typ}
		switch typ {
		case protowire.VarintType:
			f.Bits, n = protowire.ConsumeVarint(message)
		case protowire.Fixed64Type:
			f.Bits, n = protowire.ConsumeFixed64(message)
		case protowire.BytesType:
			f.Bytes, n = protowire.ConsumeBytes(message)
		default:
			n = protowire.ConsumeFieldValue(number, typ, message)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		message = message[n:]
		if err := visit(f); err != nil {
			return err
		}
	}
	return nil
}

// EachNumber calls visit for each number of a repeated field of varints or fixed 64-bit
// numbers, which may be packed.
func EachNumber(f Field, typ protowire.Type, visit func(bits uint64)) error {
	if f.Type == typ {
		visit(f.Bits)
		return nil
	}
	if f.Type != protowire.BytesType {
		return nil
	}
	for b := f.Bytes; len(b) > 0; {
		var bits uint64
		var n int
		if typ == protowire.VarintType {
			bits, n = protowire.ConsumeVarint(b)
		} else {
			bits, n = protowire.ConsumeFixed64(b)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		visit(bits)
		b = b[n:]
	}
	return nil
}
