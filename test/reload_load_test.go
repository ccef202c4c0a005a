package test

import (
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// from returns the program as clients at another address of this machine see it.
func (p *program) from(t *testing.T, address string) *program {
	t.Helper()
	other := *p
	other.client = newClient(t)
	dialer := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}
	other.client.Transport.(*http.Transport).DialContext = dialer.DialContext
	return &other
}

// TestSignInAndReloadUnderLoad reloads the auth file and the rules again and again, valid and broken in
// turn, as is the file for --web.config.file, while clients push, scrape and sign in with right and
// wrong credentials. No right credential is ever rejected, and no wrong one accepted. A credential that
// is revoked is rejected, and one that is new is accepted, from the first request after the reload.
func TestSignInAndReloadUnderLoad(t *testing.T) {
	t.Parallel()
	const (
		rounds   = 8
		lasting  = 4 // users with a password in every auth file
		password = "open sesame"
	)
	dir := t.TempDir()
	hash, _, _ := auth(t, password+"\n", "hash", "--cost=4")
	hash = strings.TrimSpace(hash)
	token, tokenHash := newToken(t)
	passing, passingHash := newToken(t)
	var users strings.Builder
	fmt.Fprintf(&users, "users:\n- {name: pusher, bearer_token_sha256: %s, allow: [push, admin]}\n", tokenHash)
	for i := range lasting {
		fmt.Fprintf(&users, "- {name: user%d, password_bcrypt: %q, allow: [push, scrape, read]}\n", i, hash)
	}
	temporary := fmt.Sprintf("- {name: passing, bearer_token_sha256: %s, password_bcrypt: %q, allow: [push, read]}\n", passingHash, hash)

	// A file is replaced as a whole, since the gateway may read it at any time.
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		writeFile(t, path+".new", []byte(content))
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
		return path
	}
	web := func(frames string) string {
		return file("web.yml", "http_server_config: {headers: {X-Frame-Options: "+frames+"}}\n")
	}
	rules := func(ttl string) string { return file("rules.yml", `rules: [{match: '{job="a"}', ttl: `+ttl+"}]\n") }
	p := start(t, "--web.enable-lifecycle", "--web.config.file="+web("deny"), "--config.file="+rules("1h"),
		"--auth.file="+file("auth.yml", users.String()))
	began := time.Now()

	form := []string{"Content-Type", "application/x-www-form-urlencoded"}
	login := func(user, tried string) string {
		return url.Values{"username": {user}, "password": {tried}}.Encode()
	}
	stop := make(chan struct{})
	var clients sync.WaitGroup
	var webBroken atomic.Int64 // odd while the web config is broken, at which all answers are 500
	var rights, wrongs atomic.Int64
	client := func(p *program, count *atomic.Int64, want []int, method, path, body string, headers ...string) {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				before := webBroken.Load()
				a, err := p.try(method, path, body, headers...)
				if err != nil {
					t.Errorf("%s %s: %v", method, path, err)
					return
				}
				broken := before%2 == 1 || webBroken.Load() != before
				if !slices.Contains(want, a.status) && !(broken && a.status == http.StatusInternalServerError) {
					t.Errorf("%s %s: %d %.200s", method, path, a.status, a.body)
					return
				}
				count.Add(1)
				time.Sleep(2 * time.Millisecond) // so that none takes the processors from the others
			}
		})
	}
	ok, signedIn, wrong := []int{http.StatusOK}, []int{http.StatusSeeOther}, []int{http.StatusUnauthorized, http.StatusTooManyRequests}
	client(p, &rights, ok, "PUT", "/metrics/job/a", "m 1\n", "Authorization", "Bearer "+token)
	client(p, &rights, ok, "PUT", "/metrics/job/b", "m 1\n", "Authorization", basicAuth("user0", password))
	client(p, &rights, ok, "GET", "/metrics", "", "Authorization", basicAuth("user1", password))
	client(p, &rights, signedIn, "POST", "/sign-in", login("user2", password), form...)
	cookie, _, _ := strings.Cut(p.do(t, "POST", "/sign-in", login("user3", password), form...).header.Get("Set-Cookie"), ";")
	client(p, &rights, ok, "GET", "/", "", "Cookie", cookie)
	guessers := []string{"127.0.0.2", "127.0.0.3"}
	client(p, &wrongs, wrong, "PUT", "/metrics/job/a", "m 1\n", "Authorization", "Bearer "+token+"x")
	client(p.from(t, guessers[0]), &wrongs, wrong, "GET", "/metrics", "", "Authorization", basicAuth("user1", "guess"))
	client(p.from(t, guessers[1]), &wrongs, wrong, "POST", "/sign-in", login("user2", "guess"), form...)

	reload := func(want int) {
		t.Helper()
		if a := p.do(t, "PUT", "/-/reload", "", "Authorization", "Bearer "+token); a.status != want {
			t.Errorf("reload: %d %s, want %d", a.status, a.body, want)
		}
	}
	session := "none" // of the passing user, who has a token and a password
	passes := func(when string, want bool) {
		t.Helper()
		for _, credential := range [][]string{
			{"Authorization", "Bearer " + passing}, {"Authorization", basicAuth("passing", password)}, {"Cookie", session},
		} {
			if credential[1] == "none" {
				continue
			}
			a := p.do(t, "GET", "/api/v1/groups", "", credential...)
			if accepted := a.status == http.StatusOK; accepted != want || !accepted && a.status != http.StatusUnauthorized {
				t.Errorf("%s: %d with %s, want it accepted: %v", when, a.status, credential[0], want)
			}
		}
	}
	for round := range rounds {
		file("auth.yml", users.String()+temporary)
		rules(fmt.Sprintf("%dh", round+1))
		reload(http.StatusOK)
		passes("after the credential has come", true)
		session, _, _ = strings.Cut(p.do(t, "POST", "/sign-in", login("passing", password), form...).header.Get("Set-Cookie"), ";")

		file("auth.yml", "nonsense: [")
		reload(http.StatusInternalServerError)
		passes("after a reload of a broken auth file", true)

		webBroken.Add(1)
		file("web.yml", "nonsense: [")
		for authorization, known := range map[string]bool{"Bearer " + token: true, "Bearer wrong": false} {
			a := p.do(t, "PUT", "/metrics/job/a", "m 1\n", "Authorization", authorization)
			if a.status != http.StatusInternalServerError {
				t.Errorf("with a broken web config, known %v: %d", known, a.status)
			}
		}
		web([]string{"deny", "sameorigin"}[round%2])
		webBroken.Add(1)

		file("auth.yml", users.String())
		rules("soon")
		reload(http.StatusInternalServerError) // for the rules; the auth file is in use
		passes("after the credential has gone", false)
		session = "none"
	}
	close(stop)
	clients.Wait()

	for name, count := range map[string]int64{"right": rights.Load(), "wrong": wrongs.Load()} {
		if count < rounds {
			t.Errorf("only %d requests with %s credentials", count, name)
		}
	}
	// At each reload, passwords that are right are checked anew, each once by the old auth file and once by
	// the new one at most. Those that are wrong are checked once a second after the first 20 of each source.
	seconds := int(time.Since(began).Seconds()) + 1
	limit := (2*rounds+1)*2*(lasting+1) + (len(guessers)+1)*(20+seconds)
	checks := p.selfMetric(t, "/metrics", "pushgateway_auth_password_checks_total", "Authorization", basicAuth("user1", password))
	t.Logf("%d requests with right and %d with wrong credentials; %v passwords checked, at most %d",
		rights.Load(), wrongs.Load(), checks, limit)
	if int(checks) > limit || checks < lasting {
		t.Errorf("%v passwords were checked, want at most %d", checks, limit)
	}
}
