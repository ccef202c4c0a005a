package otlp

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"pushgateway/internal/metric"
	"pushgateway/internal/protofield"
)

// Numbers of the fields of opentelemetry.proto.common.v1, by message.
const (
	keyValueKey   = 1
	keyValueValue = 2

	anyString = 1
	anyBool   = 2
	anyInt    = 3
	anyDouble = 4
	anyArray  = 5
	anyList   = 6
	anyBytes  = 7

	arrayValues = 1
	listValues  = 1
)

// maxDepth bounds how deeply values of attributes may be nested.
const maxDepth = 16

var (
	errTooDeep = errors.New("a value is nested too deeply")
	errNotUTF8 = errors.New("a string is not valid UTF-8")
)

// attribute is an attribute of a resource or a data point, with its value as a label has it.
type attribute struct{ key, value string }

// find returns the value of the attribute, "" if there is none.
func find(attributes []attribute, key string) string {
	for i := range attributes {
		if attributes[i].key == key {
			return attributes[i].value
		}
	}
	return ""
}

// text returns the content of a string field, which must be UTF-8.
func text(x protofield.Field) (string, error) {
	if !utf8.Valid(x.Bytes) {
		return "", errNotUTF8
	}
	return x.String(), nil
}

// part is a singular field that holds a message. If it is given several times, protobuf
// merges the messages, which is the same as decoding them one after the other.
type part struct {
	message []byte
	copied  bool
}

// add adds one of the messages, which the first part aliases.
func (p *part) add(message []byte) {
	switch {
	case p.message == nil:
		p.message = message
		return
	case !p.copied:
		p.message = slices.Clone(p.message)
		p.copied = true
	}
	p.message = append(p.message, message...)
}

// appendAttribute appends the attribute in a message KeyValue.
func appendAttribute(dst []attribute, message []byte) ([]attribute, error) {
	var a attribute
	var value part
	err := eachKeyValue(message, &a.key, &value)
	if err != nil {
		return dst, err
	}
	if a.value, err = valueString(value.message); err != nil {
		return dst, err
	}
	return append(dst, a), nil
}

func eachKeyValue(message []byte, key *string, value *part) error {
	return protofield.Each(message, func(x protofield.Field) (err error) {
		switch {
		case x.Is(keyValueKey, protowire.BytesType):
			*key, err = text(x)
		case x.Is(keyValueValue, protowire.BytesType):
			value.add(x.Bytes)
		}
		return err
	})
}

// valueString returns a message AnyValue as a label has it: arrays and lists as JSON, bytes
// in base64. It aliases the message.
func valueString(message []byte) (string, error) {
	value, err := decodeValue(message, 0)
	if err != nil {
		return "", err
	}
	switch v := value.(type) {
	case nil:
		return "", nil
	case string:
		return v, nil
	case bool:
		return strconv.FormatBool(v), nil
	case int64:
		return strconv.FormatInt(v, 10), nil
	case float64:
		return formatFloat(v), nil
	case []byte:
		return base64.StdEncoding.EncodeToString(v), nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil { // a number that JSON does not have, as for Prometheus
		return "", nil
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

// formatFloat formats a number as JSON does, and those that JSON lacks as OTLP does.
func formatFloat(v float64) string {
	switch {
	case math.IsNaN(v):
		return "NaN"
	case math.IsInf(v, +1):
		return "Infinity"
	case math.IsInf(v, -1):
		return "-Infinity"
	}
	text, err := json.Marshal(v)
	if err != nil {
		panic(err) // JSON has all other numbers
	}
	return string(text)
}

// decodeValue decodes a message AnyValue to nil, a string, bool, int64, float64, []byte, []any
// or map[string]any.
func decodeValue(message []byte, depth int) (value any, err error) {
	if depth == maxDepth {
		return nil, errTooDeep
	}
	var kind protowire.Number // of a nested message
	var nested part
	set := func(v any) { value, kind, nested = v, 0, part{} }
	err = protofield.Each(message, func(x protofield.Field) error {
		switch {
		case x.Is(anyString, protowire.BytesType):
			s, err := text(x)
			set(s)
			return err
		case x.Is(anyBool, protowire.VarintType):
			set(x.Bits != 0)
		case x.Is(anyInt, protowire.VarintType):
			set(int64(x.Bits))
		case x.Is(anyDouble, protowire.Fixed64Type):
			set(x.Float())
		case x.Is(anyBytes, protowire.BytesType):
			set(x.Bytes)
		case x.Is(anyArray, protowire.BytesType), x.Is(anyList, protowire.BytesType):
			if x.Number != kind {
				set(nil)
			}
			kind = x.Number
			nested.add(x.Bytes)
		}
		return nil
	})
	switch {
	case err != nil:
		return nil, err
	case kind == anyArray:
		return decodeArray(nested.message, depth)
	case kind == anyList:
		return decodeList(nested.message, depth)
	}
	return value, nil
}

func decodeArray(message []byte, depth int) ([]any, error) {
	all := []any{}
	err := protofield.Each(message, func(x protofield.Field) error {
		if !x.Is(arrayValues, protowire.BytesType) {
			return nil
		}
		v, err := decodeValue(x.Bytes, depth+1)
		all = append(all, v)
		return err
	})
	return all, err
}

func decodeList(message []byte, depth int) (map[string]any, error) {
	all := map[string]any{}
	err := protofield.Each(message, func(x protofield.Field) error {
		if !x.Is(listValues, protowire.BytesType) {
			return nil
		}
		var key string
		var value part
		if err := eachKeyValue(x.Bytes, &key, &value); err != nil {
			return err
		}
		v, err := decodeValue(value.message, depth+1)
		all[key] = v
		return err
	})
	return all, err
}

// arenaSize is how many labels are allocated at a time.
const arenaSize = 256

// labelsOf returns the labels for the attributes of a data point or resource, which it sorts. The
// group's own labels are left out, and so are labels without a value. The result is sorted
// by name.
func (d *decoder) labelsOf(attributes []attribute, skip func(key string) bool) ([]metric.Label, *metric.RejectionError) {
	if !slices.IsSortedFunc(attributes, compareKeys) {
		slices.SortStableFunc(attributes, compareKeys)
	}
	if size := len(attributes) + len(d.group.promoted); cap(d.arena)-len(d.arena) < size {
		d.arena = make([]metric.Label, 0, max(size, arenaSize))
	}
	start := len(d.arena)
	for _, a := range attributes {
		if a.key == metric.NameLabel || skip != nil && skip(a.key) {
			continue
		}
		name, reason := d.labelName(a.key)
		if reason != nil {
			d.arena = d.arena[:start]
			return nil, reason
		}
		d.arena = append(d.arena, metric.Label{Name: name, Value: a.value})
	}
	own := d.joinSameNames(d.arena[start:])
	for _, l := range d.group.promoted {
		if _, found := slices.BinarySearchFunc(own, l, compareNames); !found {
			d.arena = append(d.arena[:start+len(own)], l)
			own = d.arena[start:]
			slices.SortFunc(own, compareNames)
		}
	}
	own = slices.DeleteFunc(own, func(l metric.Label) bool {
		_, inKey := d.group.Key.Value(l.Name)
		return inKey
	})
	d.arena = d.arena[:start+len(own)]
	return own[:len(own):len(own)], nil
}

// joinSameNames sorts labels by name, and removes those without a value. Different attributes can have the same
// name once it is escaped: then their values are joined, in the order in which they come, but for empty ones
// before the first other. Otherwise the last value counts.
func (d *decoder) joinSameNames(labels []metric.Label) []metric.Label {
	slices.SortStableFunc(labels, compareNames)
	joined := labels[:0]
	for len(labels) > 0 {
		n := 1
		for n < len(labels) && labels[n].Name == labels[0].Name {
			n++
		}
		l := labels[n-1]
		if n > 1 && Escapes(d.config.Strategy) {
			var values []string
			for _, same := range labels[:n] {
				if len(values) > 0 || same.Value != "" {
					values = append(values, same.Value)
				}
			}
			l.Value = strings.Join(values, ";")
		}
		if l.Value != "" {
			joined = append(joined, l)
		}
		labels = labels[n:]
	}
	return joined
}

func compareNames(a, b metric.Label) int { return strings.Compare(a.Name, b.Name) }

func compareKeys(a, b attribute) int { return strings.Compare(a.key, b.key) }
