package store

import (
	"fmt"
	"slices"

	"pushgateway/internal/metric"
)

// check reports whether the push fits beside everything else that the batch will
// leave in the store. old is the group it goes to. Cost: O(n log n) in the series
// pushed, whatever is held; see checkSeries.
func (b *batch) check(p *Push, old *Group) error {
	if err := p.checkOptions(old); err != nil {
		return err
	}
	if old == nil {
		if err := b.checkConflictingGroup(p.key); err != nil {
			return err
		}
	}
	c := check{batch: b, push: p, old: old, replaces: p.replaces(old)}
	if old != nil {
		c.shape = old.shape
	} else {
		c.shape = shapeOf(p.key)
	}
	var held []*EncodedFamily
	if old != nil {
		held = old.Families
	}
	for i := range p.families {
		f := &p.families[i]
		for len(held) > 0 && held[0].Name() < f.Name {
			held = held[1:]
		}
		var same *EncodedFamily // the group's family of that name
		if len(held) > 0 && held[0].Name() == f.Name {
			same = held[0]
		}
		// What the group holds already with this type fits beside all that is
		// held; what else is pushed is checked against it in turn.
		if same == nil || same.Type() != f.Type {
			if err := c.checkTypeInGroup(f, same); err != nil {
				return err
			}
			if err := c.checkType(f); err != nil {
				return err
			}
			if err := c.checkSuffixes(f); err != nil {
				return err
			}
		}
		if err := c.checkSeries(i, same); err != nil {
			return err
		}
	}
	return nil
}

// checkConflictingGroup rejects a group that differs from another only in having an empty
// instance label: their push times would be the same series.
func (b *batch) checkConflictingGroup(key metric.GroupingKey) error {
	labels := slices.Clone(key.Labels())
	if instance, ok := key.Value(metric.InstanceLabel); !ok {
		labels = append(labels, metric.Label{Name: metric.InstanceLabel})
	} else if instance == "" {
		labels = slices.DeleteFunc(labels, func(l metric.Label) bool { return l.Name == metric.InstanceLabel })
	} else {
		return nil
	}
	other := metric.NewGroupingKey(labels)
	if b.group(other.ID()) == nil {
		return nil
	}
	return metric.Reject(metric.DuplicateSeries,
		"the groups %s and %s would have the same series, since metrics without an instance label get an empty one: push to %s, "+
			"or set an instance that is not empty",
		key, other, other)
}

// check is one push being checked.
type check struct {
	*batch
	push     *Push
	old      *Group
	replaces bool  // what is not pushed goes
	shape    shape // of the push's key
}

// others returns the families of this name in all groups but the one pushed to.
func (c *check) others(name string) pendingFamily {
	f := c.family(name)
	if c.old.Family(name) != nil {
		f.holders--
	}
	return f
}

// after returns the type of the families of this name once the push has been
// applied, and whose they are; false where there are none.
func (c *check) after(name string) (typ metric.Type, owner string, ok bool) {
	if typ, ok := c.store.reserved[name]; ok {
		return typ, "the gateway's own metrics", true
	}
	if typ, ok := c.push.find(name); ok {
		return typ, "the same push", true
	}
	if f := c.others(name); f.holders > 0 {
		return f.typ, c.holder(name), true
	}
	if f := c.old.Family(name); f != nil && !c.replaces {
		return f.Type(), fmt.Sprintf("the same group %s", c.push.key), true
	}
	return 0, "", false
}

// holder names a group that holds the family, other than the one pushed to.
func (c *check) holder(name string) string {
	id := c.push.key.ID()
	for _, changed := range c.changed {
		if g := c.groups[changed]; changed != id && g.Family(name) != nil {
			return "group " + g.Key.String()
		}
	}
	if f := c.store.families[name]; f != nil && !c.wiped {
		for _, leaf := range f.run.leaves {
			for _, x := range leaf.segment.Items {
				if g := c.group(x.group); x.group != id && g.Family(name) != nil {
					return "group " + g.Key.String()
				}
			}
		}
	}
	return "another group"
}

func (c *check) checkType(f *metric.Family) error {
	if typ, ok := c.store.reserved[f.Name]; ok && typ != f.Type {
		return metric.Reject(metric.TypeConflict,
			"%q is pushed as %s, but it is one of the gateway's own metrics, of type %s: push it under another name%s",
			f.Name, f.Type, typ, typeAdvice(f.Type))
	}
	if held := c.others(f.Name); held.holders > 0 && held.typ != f.Type {
		holders := fmt.Sprintf("%s holds it", c.holder(f.Name))
		if held.holders > 1 {
			holders = fmt.Sprintf("%d groups hold it, %s among them,", held.holders, c.holder(f.Name))
		}
		return metric.Reject(metric.TypeConflict, "%q is pushed as %s, but %s as %s: %s%s",
			f.Name, f.Type, holders, held.typ, renameOrRetype(f, held.typ), typeAdvice(f.Type))
	}
	return nil
}

// checkTypeInGroup rejects another type than the group's own, same, where metrics of
// it stay.
func (c *check) checkTypeInGroup(f *metric.Family, same *EncodedFamily) error {
	if same == nil || c.replaces || c.push.options.Merge == metric.MergeFamily {
		return nil
	}
	return metric.Reject(metric.TypeConflict,
		"%q is pushed as %s, but group %s holds it as %s, and merge=%s keeps what is there: %s%s",
		f.Name, f.Type, c.push.key, same.Type(), c.push.options.Merge, renameOrRetype(f, same.Type()), typeAdvice(f.Type))
}

// renameOrRetype says how to push f, which is held with another type. Only a type
// whose samples are of the same form can be had by changing the TYPE line.
func renameOrRetype(f *metric.Family, held metric.Type) string {
	if f.Type.Scalar() && held.Scalar() {
		return fmt.Sprintf("give it that type (in the text format: # TYPE %s %s), or push it under another name", f.Name, held)
	}
	return "push it under another name"
}

// typeAdvice adds that a family may have a type, if it was pushed without one.
func typeAdvice(pushed metric.Type) string {
	if pushed == metric.Untyped {
		return " (a family without a TYPE line is untyped)"
	}
	return ""
}

func (c *check) checkSuffixes(f *metric.Family) error {
	if base, suffix, ok := cutSampleSuffix(f.Name); ok {
		if typ, owner, ok := c.after(base); ok && hasSample(typ, suffix) {
			return metric.Reject(metric.SuffixCollision,
				"%q cannot be a metric family: the %s %q of %s has samples of that name; push it under another name",
				f.Name, typ, base, owner)
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

// checkSeries rejects series that another group has, by the shapes of the groups
// that hold the pushed family i. same is the family as the group itself holds it, if it
// does. Cost: O(n log n) in the series pushed and those of the groups they might be
// in.
func (c *check) checkSeries(i int, same *EncodedFamily) error {
	f := &c.push.families[i]
	known, added := c.shapesOf(f.Name, same)
	if len(added) == 0 && !known.others(c.shape) {
		return nil
	}
	held := map[*EncodedFamily][]metric.Metric{} // decoded once, however many series ask
	for _, m := range c.push.metrics(i) {
		labels := m.Labels
		var owner *Group
		look := func(s shape) {
			if s == c.shape || owner != nil {
				return
			}
			key, ok := s.project(labels)
			if !ok {
				return
			}
			candidate := c.group(key.ID())
			family := candidate.Family(f.Name)
			if family == nil {
				return
			}
			metrics, decoded := held[family]
			if !decoded {
				metrics = family.Metrics()
				held[family] = metrics
			}
			if hasSeries(metrics, labels) {
				owner = candidate
			}
		}
		known.each(labels, look)
		for _, s := range added {
			look(s)
		}
		if owner != nil {
			return metric.Reject(metric.DuplicateSeries,
				"the series %s%s is pushed to group %s, but group %s holds it: give it a label that differs",
				f.Name, metric.FormatLabels(labels), c.push.key, owner.Key)
		}
	}
	return nil
}

// hasSeries reports whether one of the metrics, which are sorted, has these labels.
func hasSeries(metrics []metric.Metric, labels []metric.Label) bool {
	_, found := slices.BinarySearchFunc(metrics, labels,
		func(m metric.Metric, labels []metric.Label) int { return metric.CompareLabels(m.Labels, labels) })
	return found
}
