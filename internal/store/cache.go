package store

import "sync/atomic"

// Form names a value that readers derive from a segment or a family, such as its
// compressed bytes. A cache has one value of each kind: that of the variant requested last.
type Form struct {
	Kind    uint8
	Variant string
}

// cache holds derived values. It takes no memory for forms that nobody asks for. The zero
// value is empty. It is safe for concurrent use.
type cache struct {
	first atomic.Pointer[cached]
}

// cached is an entry of a linked list. It is immutable.
type cached struct {
	form  Form
	value any
	next  *cached
}

// Cached returns the value of the form, which derive makes unless it is cached. Concurrent
// calls may both call derive. The value must not depend on anything but the form and what
// it is derived from, and must not change.
func (c *cache) Cached(form Form, derive func() any) any {
	for e := c.first.Load(); e != nil; e = e.next {
		if e.form == form {
			return e.value
		}
	}
	value := derive()
	for {
		first := c.first.Load()
		if c.first.CompareAndSwap(first, &cached{form, value, first.without(form.Kind)}) {
			return value
		}
	}
}

// without returns the list without entries of the kind.
func (e *cached) without(kind uint8) *cached {
	if e == nil {
		return nil
	}
	rest := e.next.without(kind)
	if e.form.Kind == kind {
		return rest
	}
	if rest == e.next {
		return e
	}
	return &cached{e.form, e.value, rest}
}
