package store

import (
	"errors"
	"fmt"
	"iter"
	"slices"

	"pushgateway/internal/metric"
	"pushgateway/internal/sorted"
)

// check rejects a push that does not fit all that the batch will leave in the store. old
// is the group it goes to. Cost: O(n log n) in the pushed series, whatever is stored; see
// checkSeries.
func (b *batch) check(p *Push, old *Group) error {
	if err := b.checkGroup(p, old); err != nil {
		return err
	}
	c := b.newCheck(p, old)
	for i, same := range p.counterparts(old) {
		if err := c.checkFamily(i, same); err != nil {
			return err
		}
	}
	return nil
}

// counterparts yields the index of each pushed family, with the family of its name
// that old has; nil if it has none. old may be nil.
func (p *Push) counterparts(old *Group) iter.Seq2[int, *EncodedFamily] {
	var stored []*EncodedFamily
	if old != nil {
		stored = old.Families
	}
	return func(yield func(int, *EncodedFamily) bool) {
		for i, j := range sorted.Join(len(p.encoded), len(stored), func(i, j int) int { return compareNames(&p.encoded[i], stored[j]) }) {
			var same *EncodedFamily
			if j >= 0 {
				same = stored[j]
			}
			if i >= 0 && !yield(i, same) {
				return
			}
		}
	}
}

// checkGroup rejects a push that does not fit its group, old, whatever families it has.
func (b *batch) checkGroup(p *Push, old *Group) error {
	err := p.checkOptions(old)
	if err == nil && old == nil {
		err = b.checkConflictingGroup(p.key)
	}
	return err
}

// checkConflictingGroup rejects a group that differs from another one only in that its
// instance label is empty: their push times would be the same series.
func (b *batch) checkConflictingGroup(key metric.GroupingKey) error {
	instance, ok := key.Value(metric.InstanceLabel)
	if instance != "" {
		return nil
	}
	labels := slices.Clone(key.Labels())
	if ok {
		labels = slices.DeleteFunc(labels, func(l metric.Label) bool { return l.Name == metric.InstanceLabel })
	} else {
		labels = append(labels, metric.Label{Name: metric.InstanceLabel})
	}
	other := metric.NewGroupingKey(labels)
	if b.group(other.ID()) == nil {
		return nil
	}
	return metric.Reject(metric.DuplicateSeries,
		"the groups %s and %s would have the same series, since metrics without an instance label get an empty one: push to %s, "+
			"or set an instance that is not empty",
		key, other, other).Naming(other)
}

// check is one push being checked.
type check struct {
	*batch
	push     *Push
	old      *Group
	replaces bool                 // nothing of old stays
	shape    shape                // of the push's key
	named    []metric.GroupingKey // by holder
}

// newCheck returns a check of the push. It is valid until the next call.
func (b *batch) newCheck(p *Push, old *Group) *check {
	b.checking = check{batch: b, push: p, old: old, replaces: p.replaces(old), shape: p.shape}
	return &b.checking
}

// checkFamily rejects the pushed family i if it does not fit all that is stored. same is
// the group's own family of that name, nil if it has none.
func (c *check) checkFamily(i int, same *EncodedFamily) error {
	c.shareHeader(i, same)
	// What the group has already with this type fits. What else is pushed is checked
	// against it in turn.
	if same == nil || same.Type() != c.push.families[i].Type {
		if err := c.checkTypes(i, same); err != nil {
			if rejection, ok := errors.AsType[*metric.RejectionError](err); ok {
				rejection.Others = c.named
			}
			return err
		}
	}
	return c.checkSeries(i, same)
}

// shareHeader has the pushed family i use the header of a stored one, if they are equal.
func (c *check) shareHeader(i int, same *EncodedFamily) {
	e := &c.push.encoded[i]
	if same == nil {
		f := c.find(e.Name(), e)
		if f == nil || len(f.run.leaves) == 0 {
			return
		}
		same = f.run.leaves[0].segment.Items[0]
	}
	if e.header != same.header && *e.header == *same.header {
		e.header = same.header
	}
}

// others returns the families of this name in all groups but the one pushed to, which has
// it as own; nil if it does not. e is as in batch.find.
func (c *check) others(name string, own, e *EncodedFamily) pendingFamily {
	f := c.family(name, e)
	if own != nil {
		f.remove(own.Type())
	}
	return f
}

// after returns the type of the families of this name once the push has been applied,
// and whose they are; false if there are none.
func (c *check) after(name string) (typ metric.Type, owner string, ok bool) {
	if typ, ok := c.store.reserved[name]; ok {
		return typ, "the gateway's own metrics", true
	}
	if i, ok := c.push.find(name); ok {
		return c.push.families[i].Type, "the same push", true
	}
	own := c.old.Family(name)
	if f := c.others(name, own, own); f.groups > 0 {
		return f.typeOf(), c.holder(name), true
	}
	if own != nil && !c.replaces {
		return own.Type(), fmt.Sprintf("the same group %s", c.push.key), true
	}
	return 0, "", false
}

// holder names a group that has the family, other than the one pushed to. If it can, it
// names one that has it with a type, since that is in the way.
func (c *check) holder(name string) string {
	id, found := c.push.key.ID(), "another group"
	look := func(g *Group) (done bool) {
		e := g.Family(name)
		if e == nil || g.Key.ID() == id {
			return false
		}
		found, c.named = "group "+g.Key.String(), append(c.named, g.Key)
		return e.Type() != metric.Untyped
	}
	for _, changed := range c.changed {
		if look(c.groups[changed]) {
			return found
		}
	}
	if f := c.find(name, nil); f != nil {
		for _, leaf := range f.run.leaves {
			for _, e := range leaf.segment.Items {
				if look(c.group(e.key.ID())) {
					return found
				}
			}
		}
	}
	return found
}

// checkTypes rejects the pushed family i if it cannot be exposed beside the others. same
// is the group's own family of that name, nil if it has none.
func (c *check) checkTypes(i int, same *EncodedFamily) error {
	f := &c.push.families[i]
	if err := c.checkTypeInGroup(f, same); err != nil {
		return err
	}
	if err := c.checkType(f, same, &c.push.encoded[i]); err != nil {
		return err
	}
	return c.checkSuffixes(f)
}

// checkType rejects a type that does not fit those of other groups; see types.
func (c *check) checkType(f *metric.Family, same, e *EncodedFamily) error {
	if typ, ok := c.store.reserved[f.Name]; ok && typ != f.Type {
		return metric.Reject(metric.TypeConflict,
			"%q is pushed as %s, but it is one of the gateway's own metrics, of type %s: %s%s",
			f.Name, f.Type, typ, renameOrRetype(f, typ), typeAdvice(f.Type))
	}
	others := c.others(f.Name, same, e)
	if others.fits(f.Type) {
		return nil
	}
	holders := c.holder(f.Name) + " holds it"
	if others.groups > 1 {
		holders = fmt.Sprintf("%d groups hold it, %s among them", others.groups, c.holder(f.Name))
	}
	return metric.Reject(metric.TypeConflict, "%q is pushed as %s, but stored as %s: %s%s",
		f.Name, f.Type, others.typeOf(), renameOrRetype(f, others.typeOf()), typeAdvice(f.Type)).Noting(" (%s)", holders)
}

// checkTypeInGroup rejects a type that does not fit that of the group's own family, same,
// if metrics of it stay.
func (c *check) checkTypeInGroup(f *metric.Family, same *EncodedFamily) error {
	merge := c.push.options.mergeOf(f)
	if same == nil || c.replaces || merge == metric.MergeFamily {
		return nil
	}
	var own types
	own.add(same.Type())
	if merge == metric.MergeSeries && own.fits(f.Type) {
		return nil
	}
	return metric.Reject(metric.TypeConflict,
		"%q is pushed as %s, but group %s holds it as %s, and merge=%s keeps what is there: %s%s",
		f.Name, f.Type, c.push.key, same.Type(), merge, renameOrRetype(f, same.Type()), typeAdvice(f.Type))
}

// renameOrRetype says how to push f, which is stored with another type. Changing the
// TYPE line only helps if samples of both types have the same form.
func renameOrRetype(f *metric.Family, stored metric.Type) string {
	if f.Type.Scalar() && stored.Scalar() {
		return fmt.Sprintf("push it as %s (in the text format: # TYPE %s %[1]s), or under another name", stored, f.Name)
	}
	return "push it under another name"
}

// typeAdvice adds that a family may have a type, if it was pushed without one.
func typeAdvice(pushed metric.Type) string {
	if pushed == metric.Untyped {
		return "; a family without a TYPE line is untyped"
	}
	return ""
}

// partAdvice adds how to push a family of no type as a part of the family called base.
func partAdvice(pushed, typ metric.Type, base string) string {
	if pushed != metric.Untyped || typ != metric.Histogram && typ != metric.Summary {
		return ""
	}
	return fmt.Sprintf(", or as a part of that %s (in the text format: # TYPE %s %[1]s)", typ, base)
}

func (c *check) checkSuffixes(f *metric.Family) error {
	if base, suffix, ok := cutSampleSuffix(f.Name); ok {
		if typ, owner, ok := c.after(base); ok && hasSample(typ, suffix) {
			return metric.Reject(metric.SuffixCollision,
				"%q cannot be a metric family: the %s %q of %s has samples of that name; push it under another name%s",
				f.Name, typ, base, owner, partAdvice(f.Type, typ, base))
		}
	}
	for _, suffix := range compositeSuffixes {
		if !hasSample(f.Type, suffix) {
			continue
		}
		if _, owner, ok := c.after(f.Name + suffix); ok {
			return metric.Reject(metric.SuffixCollision,
				"the %s %q has samples called %q, but that is a metric family of %s; push one of the two under another name",
				f.Type, f.Name, f.Name+suffix, owner)
		}
	}
	return nil
}

// checkSeries rejects series of the pushed family i that another group has. It looks for
// them by the shapes of the groups that have the family. same is the group's own family of
// that name, nil if it has none. Cost: O(n log n) in the pushed series and those of the
// groups that they might be in.
func (c *check) checkSeries(i int, same *EncodedFamily) error {
	f := &c.push.families[i]
	if same == nil {
		same = &c.push.encoded[i]
	}
	known, added := c.shapesOf(f.Name, same)
	if len(added) == 0 && !known.others(c.shape) {
		return nil
	}
	decoded := map[*EncodedFamily][]metric.Metric{} // once, however many series ask
	for _, m := range c.push.metrics(i) {
		var owner *Group
		look := func(s shape) {
			if s == c.shape || owner != nil {
				return
			}
			key, ok := s.project(m.Labels)
			if !ok {
				return
			}
			candidate := c.group(key.ID())
			e := candidate.Family(f.Name)
			if e == nil {
				return
			}
			metrics, ok := decoded[e]
			if !ok {
				metrics = e.Metrics()
				decoded[e] = metrics
			}
			if hasSeries(metrics, m.Labels) {
				owner = candidate
			}
		}
		known.each(m.Labels, look)
		for _, s := range added {
			look(s)
		}
		if owner != nil {
			return metric.Reject(metric.DuplicateSeries,
				"the series %s%s is pushed to group %s, but group %s holds it: give it a label that differs",
				f.Name, metric.FormatLabels(m.Labels), c.push.key, owner.Key).Naming(owner.Key)
		}
	}
	return nil
}

// hasSeries reports whether one of the metrics, which are sorted, has the labels.
func hasSeries(metrics []metric.Metric, labels []metric.Label) bool {
	_, found := slices.BinarySearchFunc(metrics, labels,
		func(m metric.Metric, labels []metric.Label) int { return metric.CompareLabels(m.Labels, labels) })
	return found
}
