package journal

import (
	"errors"
	"os"
	"slices"
	"strings"

	"pushgateway/internal/store"
)

// Inspection is what a file turned out to be and to hold.
type Inspection struct {
	Original bool           // it is of the original Pushgateway
	Groups   []*store.Group // in the order of their IDs
	// Guessed tells that the file is damaged and Groups are what could be found in
	// it, which may include groups that were deleted since.
	Guessed bool
}

// Inspect reads a file without changing it or anything beside it. With damage the
// error is a *DamageError, and the groups are those that can still be read.
func Inspect(path string) (Inspection, error) {
	what, err := identify(path)
	switch {
	case err != nil:
		return Inspection{}, err
	case what == absent:
		if _, err := os.Stat(path); err != nil {
			return Inspection{}, describeOpen(path, err)
		}
		return Inspection{}, nil
	case what == foreign:
		groups, _, err := readOriginalFile(path)
		if err == nil {
			return Inspection{Original: true, Groups: groups}, nil
		}
		salvaged, salvageErr := salvage(path)
		return Inspection{Groups: salvaged, Guessed: true}, errors.Join(err, salvageErr)
	}
	groups, _, err := read(path)
	var damage *DamageError
	if !errors.As(err, &damage) {
		return Inspection{Groups: groups}, err
	}
	salvaged, salvageErr := salvage(path)
	return Inspection{Groups: salvaged, Guessed: true}, errors.Join(err, salvageErr)
}

// salvage finds records wherever they stand in a file, by their checksums. Of each
// group it takes the newest.
func salvage(path string) ([]*store.Group, error) {
	file, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pageSize := os.Getpagesize()
	if len(file) > pageHeader+metaLength {
		if size := native.Uint32(file[pageHeader+metaPageSize:]); size >= 512 && size <= 1<<20 && size&(size-1) == 0 {
			pageSize = int(size)
		}
	}
	newest := map[string]*store.Group{}
	for at := 0; at+pageHeader <= len(file); at += pageSize {
		page := file[at:]
		if native.Uint16(page[pageFlags:]) != leafPage {
			continue
		}
		for i := range int(native.Uint16(page[pageCount:])) {
			g := recordAt(page, pageHeader+i*elementSize)
			if g == nil {
				continue
			}
			if known := newest[g.Key.ID()]; known == nil || g.Changed().After(known.Changed()) {
				newest[g.Key.ID()] = g
			}
		}
	}
	groups := make([]*store.Group, 0, len(newest))
	for _, g := range newest {
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b *store.Group) int { return strings.Compare(a.Key.ID(), b.Key.ID()) })
	return groups, nil
}

// recordAt decodes the record of a page's element, nil where there is no good one.
func recordAt(page []byte, element int) *store.Group {
	if element+elementSize > len(page) {
		return nil
	}
	e := page[element:]
	start := uint64(native.Uint32(e[leafAt:])) + uint64(native.Uint32(e[leafKey:]))
	end := start + uint64(native.Uint32(e[leafValueSize:]))
	if end > uint64(len(e)) {
		return nil
	}
	g, err := store.DecodeRecord(e[start:end])
	if err != nil {
		return nil
	}
	return g
}
