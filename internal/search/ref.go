package search

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"pushgateway/internal/metric"
)

// hashPrefix begins the ref of a group whose path is too long to be repeated in
// every link.
const hashPrefix = "~/"

// maxID is up to which length of a group's ID its path is its ref.
const maxID = 150

// Ref names a group in the URLs of the pages, behind /groups/: as in the path it
// was pushed to, or by a hash where that is long.
func Ref(key metric.GroupingKey) string {
	if len(key.ID()) > maxID {
		return hashPrefix + hash(key)
	}
	return strings.TrimPrefix(key.Path(), "/metrics/")
}

// ByHash returns the key of the group whose ref this is, where the ref is a hash
// and there is such a group. Cost: O(groups), and hashing those with long keys.
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
