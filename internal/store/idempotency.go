package store

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// ReplayWindow is how long a group remembers the idempotency key of a push.
const ReplayWindow = 24 * time.Hour

// maxUsedKeys bounds the keys that a group remembers; the oldest are forgotten first. The
// journal writes them with the group at each push, about 12 bytes each.
const maxUsedKeys = 1000

// usedKeys are the idempotency keys of the pushes that were last applied to a group, in
// that order. A group shares the memory of its previous state and only appends.
type usedKeys []usedKey

// usedKey is a key and the time of its push.
type usedKey struct {
	hash    uint64 // the first 8 bytes of the key's SHA-256
	seconds int64  // Unix
}

func hashOfKey(key string) uint64 {
	sum := sha256.Sum256([]byte(key))
	return binary.BigEndian.Uint64(sum[:])
}

// has reports whether a push of the same key was applied within the window. Cost:
// O(keys).
func (u usedKeys) has(p *Push) bool {
	if p.options.IdempotencyKey == "" || len(u) == 0 {
		return false
	}
	hash := hashOfKey(p.options.IdempotencyKey)
	for i := len(u) - 1; i >= 0; i-- {
		if u[i].hash == hash && u[i].within(p.at) {
			return true
		}
	}
	return false
}

// within reports whether the key is still remembered at the given time. A clock that was
// set back must not let a push count twice.
func (k usedKey) within(at time.Time) bool {
	return at.Unix()-k.seconds < int64(ReplayWindow/time.Second)
}

// with returns the keys after the push p, without those that the group forgets.
func (u usedKeys) with(p *Push) usedKeys {
	for len(u) > 0 && (len(u) >= maxUsedKeys || !u[0].within(p.at)) {
		u = u[1:]
	}
	if p.options.IdempotencyKey == "" {
		return u
	}
	return append(u, usedKey{hashOfKey(p.options.IdempotencyKey), p.at.Unix()})
}
