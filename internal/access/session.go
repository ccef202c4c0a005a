package access

import (
	"crypto/rand"
	"crypto/sha256"
	"slices"
	"sync"
	"time"
)

// SessionCookie is the name of the cookie that carries a session.
const SessionCookie = "pushgateway_session"

// maxUserSessions bounds the sessions of one user; a further one ends the oldest.
const maxUserSessions = 100

// sessions is who has signed in on the pages. Sessions are known to this process only,
// and end with it. It is safe for concurrent use.
type sessions struct {
	mu     sync.Mutex // guards all below
	byID   map[sessionID]*session
	byUser map[string][]*session // the oldest first
}

// sessionID is the hash of the secret that the cookie carries.
type sessionID [sha256.Size]byte

type session struct {
	id         sessionID
	user       string
	credential credential // that it was opened with
	expires    time.Time
}

func newSessions() *sessions {
	return &sessions{byID: map[sessionID]*session{}, byUser: map[string][]*session{}}
}

// open begins a session and returns its secret.
func (s *sessions) open(u *user, with credential, now, expires time.Time) (secret string) {
	secret = rand.Text() + rand.Text()
	opened := &session{sha256.Sum256([]byte(secret)), u.name, with, expires}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, old := range slices.Clone(s.byUser[u.name]) {
		if !now.Before(old.expires) {
			s.end(old)
		}
	}
	if of := s.byUser[u.name]; len(of) >= maxUserSessions {
		s.end(of[0])
	}
	s.byID[opened.id] = opened
	s.byUser[u.name] = append(s.byUser[u.name], opened)
	return secret
}

// user returns whose session it is by the policy, nil if there is none: if it has
// expired, or its credential is no longer in the policy.
func (s *sessions) user(secret string, policy *Policy, now time.Time) *user {
	s.mu.Lock()
	defer s.mu.Unlock()
	found := s.byID[sha256.Sum256([]byte(secret))]
	if found == nil {
		return nil
	}
	u := policy.byName[found.user]
	if u == nil || !u.credentials[found.credential] || !now.Before(found.expires) {
		s.end(found)
		return nil
	}
	return u
}

// close ends a session, if there is one.
func (s *sessions) close(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if found := s.byID[sha256.Sum256([]byte(secret))]; found != nil {
		s.end(found)
	}
}

// prune ends the sessions that the policy has no credential for.
func (s *sessions) prune(policy *Policy) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, of := range s.byID {
		if u := policy.byName[of.user]; u == nil || !u.credentials[of.credential] {
			s.end(of)
		}
	}
}

func (s *sessions) end(ended *session) {
	delete(s.byID, ended.id)
	left := slices.DeleteFunc(s.byUser[ended.user], func(of *session) bool { return of == ended })
	if len(left) == 0 {
		delete(s.byUser, ended.user)
		return
	}
	s.byUser[ended.user] = left
}
