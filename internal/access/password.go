package access

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/crypto/bcrypt"

	"pushgateway/internal/limits"
)

// Bounds of checking passwords. Only those that are not known to be right count.
const (
	passwordsPerSecond = 1 // of one source
	passwordBurst      = 20
	maxSources         = 20_000
	maxWaiting         = 64 // for a processor, of all sources
	maxKnownPasswords  = 10_000
	// maxPasswordSize is how much of a password bcrypt looks at.
	maxPasswordSize = 72
)

// passwordMAC stands for a user name and a password. It cannot be computed outside of
// this process, so neither looking it up nor a memory dump gives a password away.
type passwordMAC [sha256.Size]byte

// knownPasswords is which passwords a policy has seen to be right, so that each takes
// the time of bcrypt once. It belongs to one policy: after a reload all are checked
// anew.
type knownPasswords struct {
	mu      sync.Mutex // guards all below
	right   map[passwordMAC]bool
	pending map[passwordMAC]*passwordCheck
}

// passwordCheck is a check under way, which others with the same password wait for.
type passwordCheck struct {
	done  chan struct{} // closed once right and err are set
	right bool
	err   error
}

// A passwordChecker checks passwords, within bounds. It is safe for concurrent use.
type passwordChecker struct {
	key     [sha256.Size]byte
	sources *limits.Clients
	turns   chan struct{} // holds a value for each check that runs or waits
	running chan struct{} // holds a value for each check that runs
	compare func(hash, password []byte) error
	now     func() time.Time
	checks  atomic.Uint64 // calls of compare
}

func newPasswordChecker(now func() time.Time) *passwordChecker {
	running := max(1, runtime.GOMAXPROCS(0)/2)
	c := &passwordChecker{
		sources: limits.NewClients(passwordsPerSecond, passwordBurst, maxSources),
		turns:   make(chan struct{}, running+maxWaiting),
		running: make(chan struct{}, running),
		compare: bcrypt.CompareHashAndPassword,
		now:     now,
	}
	_, _ = rand.Read(c.key[:]) // never fails
	return c
}

// check returns the user of the policy with this user name and password, nil if there
// is none. A user name that does not exist costs the same as a wrong password. The
// error is a *ThrottledError, or that of ctx.
func (c *passwordChecker) check(ctx context.Context, policy *Policy, login, password, source string) (*user, error) {
	if policy.costliest == nil || strings.Contains(password, "\x00") {
		return nil, nil // no such password can be right
	}
	// What follows is not part of the password: else one that is right would have
	// many forms.
	password = password[:min(len(password), maxPasswordSize)]
	mac := c.mac(login, password)
	u := policy.byLogin[login]
	right, err := policy.passwords.once(ctx, mac, func() (bool, error) {
		return c.compute(ctx, policy, u, password, source)
	})
	if !right {
		return nil, err
	}
	return u, nil
}

func (c *passwordChecker) mac(login, password string) (mac passwordMAC) {
	h := hmac.New(sha256.New, c.key[:])
	var size [8]byte
	binary.BigEndian.PutUint64(size[:], uint64(len(login)))
	h.Write(size[:])
	h.Write([]byte(login))
	h.Write([]byte(password))
	h.Sum(mac[:0])
	return mac
}

// once returns the result of compute, or what it was before if that was right. While
// it is computed, others with the same mac wait for it.
func (k *knownPasswords) once(ctx context.Context, mac passwordMAC, compute func() (bool, error)) (bool, error) {
	k.mu.Lock()
	for !k.right[mac] && k.pending[mac] != nil {
		check := k.pending[mac]
		k.mu.Unlock()
		select {
		case <-check.done:
		case <-ctx.Done():
			return false, ctx.Err()
		}
		if !errors.Is(check.err, context.Canceled) && !errors.Is(check.err, context.DeadlineExceeded) {
			return check.right, check.err
		}
		k.mu.Lock() // the one that was waited for has gone
	}
	if k.right[mac] {
		k.mu.Unlock()
		return true, nil
	}
	check := &passwordCheck{done: make(chan struct{})}
	if k.pending == nil {
		k.pending, k.right = map[passwordMAC]*passwordCheck{}, map[passwordMAC]bool{}
	}
	k.pending[mac] = check
	k.mu.Unlock()

	check.right, check.err = compute()

	k.mu.Lock()
	delete(k.pending, mac)
	if check.right {
		if len(k.right) >= maxKnownPasswords {
			clear(k.right)
		}
		k.right[mac] = true
	}
	k.mu.Unlock()
	close(check.done)
	return check.right, check.err
}

// compute runs bcrypt once. u is nil if there is no such user.
func (c *passwordChecker) compute(ctx context.Context, policy *Policy, u *user, password, source string) (right bool, err error) {
	giveBack, wait := c.sources.Take(source, c.now())
	if wait > 0 {
		return false, &ThrottledError{RetryAfter: wait}
	}
	select {
	case c.turns <- struct{}{}:
		defer func() { <-c.turns }()
	default:
		return false, &ThrottledError{RetryAfter: time.Second}
	}
	select {
	case c.running <- struct{}{}:
		defer func() { <-c.running }()
	case <-ctx.Done():
		return false, ctx.Err()
	}
	hash := policy.costliest
	if u != nil {
		hash = u.passwordHash
	}
	c.checks.Add(1)
	right = c.compare(hash, []byte(password)) == nil && u != nil
	if right {
		giveBack()
	}
	return right, nil
}
