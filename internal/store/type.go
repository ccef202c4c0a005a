package store

import (
	"pushgateway/internal/metric"
)

// An exposition has one type for each name. Groups whose families of a name have the same
// type fit together. Untyped gives way: if some groups have a family as untyped and
// others as counter (or as gauge), all of it is exposed as counter. So clients can begin
// to send a type one by one. A group's own family stays as it was pushed: once no group
// has the type anymore, the rest is untyped again.

// types counts the groups that have a family of one name, and those that give it a type.
type types struct {
	groups int32
	typed  int32       // groups whose type is not untyped
	typ    metric.Type // the type of these groups
}

func (t *types) add(typ metric.Type) {
	t.groups++
	if typ != metric.Untyped {
		t.typed++
		t.typ = typ
	}
}

func (t *types) remove(typ metric.Type) {
	t.groups--
	if typ != metric.Untyped {
		t.typed--
	}
}

// typeOf returns the type of the exposition.
func (t *types) typeOf() metric.Type {
	if t.typed > 0 {
		return t.typ
	}
	return metric.Untyped
}

// mixed reports whether some groups have another type than the exposition.
func (t *types) mixed() bool { return t.typed > 0 && t.typed < t.groups }

// fits reports whether a family of the type can be exposed together with those counted.
func (t *types) fits(typ metric.Type) bool {
	switch {
	case t.groups == 0:
		return true
	case typ == metric.Untyped:
		return t.typed == 0 || t.typ.Scalar()
	case t.typed > 0 && t.typ != typ:
		return false
	}
	return typ.Scalar() || t.typed == t.groups
}

// mergedType returns the type of a family in which metrics of both types are.
func mergedType(a, b metric.Type) metric.Type {
	if a == metric.Untyped && b.Scalar() {
		return b
	}
	return a
}

// segments returns the segments of the family, in which all have its type.
func (f *family) segments() []*Segment[*EncodedFamily] {
	segments := f.run.snapshot()
	if !f.mixed() {
		f.retyped = nil
		return segments
	}
	retyped := make(map[*Segment[*EncodedFamily]]*Segment[*EncodedFamily], len(segments))
	all := make([]*Segment[*EncodedFamily], len(segments))
	for i, segment := range segments {
		same := f.retyped[segment]
		if same == nil || same.Items[0].Type() != f.typ {
			same = withType(segment, f.typ)
		}
		retyped[segment], all[i] = same, same
	}
	f.retyped = retyped
	return all
}

// withType returns the segment with all encoded families as of the type, which is the
// segment itself if they are. Cost: O(bytes of the others).
func withType(segment *Segment[*EncodedFamily], typ metric.Type) *Segment[*EncodedFamily] {
	all := make([]*EncodedFamily, len(segment.Items))
	var h *header
	for i, e := range segment.Items {
		if e.Type() == typ {
			all[i] = e
			continue
		}
		f := metric.Family{Name: e.Name(), Type: typ, Metrics: e.Metrics()}
		if own := (header{e.Name(), e.Help(), e.Unit(), typ}); h == nil || *h != own {
			h = &own
		}
		all[i], _ = newEncodedFamily(&f, h, e.key, e.Time(), e.Plain(), nil)
	}
	if h == nil {
		return segment
	}
	return &Segment[*EncodedFamily]{Items: all}
}
