package history

// ages is a list of timelines, ordered by the time of their last push. Its links are in the
// timelines, so the list needs no objects of its own. The zero value is empty.
type ages struct{ oldest, newest *timeline }

// add adds a timeline that is in no list as the newest.
func (a *ages) add(t *timeline) {
	t.older, t.newer = a.newest, nil
	if a.newest == nil {
		a.oldest = t
	} else {
		a.newest.newer = t
	}
	a.newest = t
}

// remove removes a timeline that is in the list.
func (a *ages) remove(t *timeline) {
	if t.older == nil {
		a.oldest = t.newer
	} else {
		t.older.newer = t.newer
	}
	if t.newer == nil {
		a.newest = t.older
	} else {
		t.newer.older = t.older
	}
	t.older, t.newer = nil, nil
}
