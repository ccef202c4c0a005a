package search

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"pushgateway/internal/metric"
)

// hashPrefix begins the ref of a group whose path is too long for links.
const hashPrefix = "~/"

// maxID is the maximum length of a group's ID for which its path is its ref.
const maxID = 150

// Ref returns the name of a group in the URLs of the pages, following /groups/: the
// labels as in the path of a push, or a hash if that is too long.
func Ref(key metric.GroupingKey) string {
	if len(key.ID()) > maxID {
		return hashPrefix + hash(key)
	}
	return strings.TrimPrefix(key.Path(), "/metrics/")
}

// ByHash returns the key of the group with this ref. isHash reports whether the ref is
// a hash at all; key is the zero value if it is not, or if there is no such group.
// Cost: O(groups) and hashing those with long keys.
func (l *Listing) ByHash(ref string) (key metric.GroupingKey, isHash bool) {
	want, isHash := strings.CutPrefix(ref, hashPrefix)
	if !isHash {
		return key, false
	}
	for i := range l.Rows {
		if k := l.Rows[i].Group.Key; len(k.ID()) > maxID && hash(k) == want {
			return k, true
		}
	}
	return key, true
}

func hash(key metric.GroupingKey) string {
	sum := sha256.Sum256([]byte(key.ID()))
	return hex.EncodeToString(sum[:16])
}
