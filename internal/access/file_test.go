package access

import (
	"errors"
	"strings"
	"testing"
	"time"
)

const passwordHash = "$2y$10$QOauhQNbBCuQDKes6eFzPeMqBSjb7Mr5DUmpZ/VcEd00UAV/LDeSi"

func TestWholeFile(t *testing.T) {
	policy := mustParse(t, `
users:
  - name: checkout-ci
    bearer_token_sha256:
      - `+tokenHash+`
      - `+strings.Repeat("ab", 32)+`
    allow: [push, delete]
    match: '{team="checkout",env!="dev"}'
  - name: alice
    username: alice@example.org
    password_bcrypt: `+passwordHash+`
    proxy_user: alice
    allow: [read, admin]
  - name: batch
    client_cert_name: [batch1.example.org, batch2.example.org]
    allow: push
anonymous:
  allow: [scrape]
trusted_proxy:
  addresses: [127.0.0.1, "::1", 10.0.0.0/8]
  user_header: x-forwarded-user
session_lifetime: 8h
`)
	if got := strings.Join(policy.Users(), " "); got != "checkout-ci alice batch" {
		t.Errorf("users %s", got)
	}
	if got := policy.Principal("checkout-ci").Match(); got != `{team="checkout",env!="dev"}` {
		t.Errorf("match %s", got)
	}
	if got := policy.Principal("alice").Allows(); got != "read, admin" {
		t.Errorf("alice may %s", got)
	}
	if got := policy.Principal("batch").Allows(); got != "push" {
		t.Errorf("batch may %s", got)
	}
	if got := policy.Principal("anonymous").Allows(); got != "scrape" {
		t.Errorf("anonymous may %s", got)
	}
	if policy.Principal("bob") != nil {
		t.Error("there is a bob")
	}
	if policy.proxyHeader != "X-Forwarded-User" || len(policy.proxyAddresses) != 3 {
		t.Errorf("proxy header %s of %v", policy.proxyHeader, policy.proxyAddresses)
	}
	if policy.sessionLifetime != 8*time.Hour {
		t.Errorf("sessions live %v", policy.sessionLifetime)
	}
}

func TestProblemsNameTheirLine(t *testing.T) {
	user := "users:\n  - name: a\n    allow: [push]\n"
	for _, c := range []struct{ name, text, want string }{
		{"empty", "", "no users: and no anonymous:, so nobody could do anything"},
		{"no mapping", "- a", "line 1: cannot unmarshal !!seq into access.fileText"},
		{"syntax", "users: [", "line 1: did not find expected node content"},
		{"unknown key", "user: []", "line 1: unknown key user: the keys here are users, anonymous, trusted_proxy, session_lifetime"},
		{"unknown key of a user", user + "    allows: []", "line 4: unknown key allows: the keys here are name, bearer_token_sha256"},
		{
			"plain password", user + "    password: x",
			"line 4: unknown key password: passwords are stored as password_bcrypt; pushgateway auth hash makes one",
		},
		{
			"plain token", user + "    bearer_token: x",
			"line 4: unknown key bearer_token: tokens are stored as bearer_token_sha256; pushgateway auth token makes one",
		},
		{"key twice", user + "    allow: []", `line 4: mapping key "allow" already defined at line 3`},
		{"two documents", "users: []\n---\nusers: []", "a second YAML document begins"},
		{"no name", "users:\n  - allow: [push]", "line 2: user 1: name: missing"},
		{"no credential", user, "line 2: user a: no credential"},
		{
			"no rights", "users:\n  - name: a\n    client_cert_name: a",
			"line 2: user a: allow: missing; list the rights: push, delete, scrape, read, admin",
		},
		{"unknown right", "users:\n  - name: a\n    client_cert_name: a\n    allow: [pusch]", "line 4: user a: allow: pusch is not a right"},
		{
			"reserved name", "users:\n  - name: anonymous\n    client_cert_name: a\n    allow: []",
			"line 2: user anonymous: name: rights of requests without a credential",
		},
		{
			"name twice", "users:\n  - name: a\n    client_cert_name: a\n    allow: []" +
				"\n  - name: a\n    client_cert_name: b\n    allow: []",
			"line 5: user a: name: another user has it already",
		},
		{
			"certificate twice", "users:\n  - name: a\n    client_cert_name: x\n    allow: []" +
				"\n  - name: b\n    client_cert_name: x\n    allow: []",
			"line 6: user b: client_cert_name: x belongs to user a already",
		},
		{
			"token twice", "users:\n  - name: a\n    bearer_token_sha256: " + tokenHash + "\n    allow: []" +
				"\n  - name: b\n    bearer_token_sha256: " + tokenHash + "\n    allow: []",
			"line 6: user b: bearer_token_sha256: user a has it already",
		},
		{"no hash of a token", user + "    bearer_token_sha256: secret", "line 4: user a: bearer_token_sha256: not a SHA-256 hash"},
		{"no hash of a password", user + "    password_bcrypt: secret", "line 4: user a: password_bcrypt: not a bcrypt hash"},
		{
			"costly hash", user + "    password_bcrypt: " + strings.Replace(passwordHash, "$10$", "$31$", 1),
			"line 4: user a: password_bcrypt: has cost 31",
		},
		{"user name without password", user + "    username: x", "line 4: user a: username: needs password_bcrypt"},
		{"colon", user + "    username: a:b\n    password_bcrypt: " + passwordHash, "line 4: user a: username: cannot contain a colon"},
		{"selector", user + "    client_cert_name: a\n    match: '{team=}'", "line 5: user a: match: "},
		{
			"selector without quotes", user + "    client_cert_name: a\n    match: {team: x}",
			"line 5: user a: match: a selector must be in quotes",
		},
		{"selector of a metric", user + "    client_cert_name: a\n    match: 'up'", "line 5: user a: match: up asks for the metric name up"},
		{"proxy user without proxy", user + "    proxy_user: a", "line 4: user a: proxy_user: needs trusted_proxy with its user_header"},
		{"proxy address", "trusted_proxy:\n  addresses: [localhost]\n", "line 2: trusted_proxy: addresses: localhost is not an IP address"},
		{"proxy without address", "trusted_proxy:\n  user_header: X-User\n", "line 2: trusted_proxy: addresses: missing"},
		{
			"proxy header", "trusted_proxy:\n  addresses: [127.0.0.1]\n  user_header: Authorization\n",
			"line 3: trusted_proxy: user_header: Authorization is not",
		},
		{
			"session lifetime", "anonymous:\n  allow: []\nsession_lifetime: 1y\n",
			"line 3: session_lifetime: 1y is not a duration such as 8h, of at most 30d",
		},
		{"alias", "users:\n  - name: &a a\n    client_cert_name: *a\n    allow: []", "line 3: user a: client_cert_name: must be a single value"},
		{"control characters", "users:\n  - name: \"a\\nb\"\n    allow: []", "line 2: user 1: name: has characters that cannot be printed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			policy, err := Parse([]byte(c.text))
			invalid, ok := errors.AsType[*InvalidError](err)
			if !ok || policy != nil {
				t.Fatalf("got %v, %v", policy, err)
			}
			if !strings.Contains(invalid.Problems[0], c.want) {
				t.Errorf("got  %s\nwant %s", invalid.Problems[0], c.want)
			}
		})
	}
}

func TestProblemsAreBoundedAndSecretsStayOut(t *testing.T) {
	const user = "  - name: a\n    bearer_token_sha256: hunter2\n    password_bcrypt: hunter2\n    allow: [push]\n"
	text := "users:\n" + strings.Repeat(user, 1000)
	_, err := Parse([]byte(text))
	invalid, ok := errors.AsType[*InvalidError](err)
	if !ok || len(invalid.Problems) > maxProblems {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a secret is in the message: %v", err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add("users:\n  - name: a\n    bearer_token_sha256: " + tokenHash + "\n    allow: [push]\n    match: '{a=\"b\"}'\n")
	f.Add("users: &x\n  - <<: *x\n")
	f.Add("anonymous: {allow: [scrape], match: '{}'}\ntrusted_proxy: {addresses: [::1/0], user_header: X}\nsession_lifetime: 1h")
	f.Add("users:\n  - name: b\n    username: c\n    password_bcrypt: " + passwordHash + "\n    allow: read\n")
	f.Fuzz(func(t *testing.T, text string) {
		policy, err := Parse([]byte(text))
		if (policy == nil) == (err == nil) {
			t.Fatalf("got %v, %v", policy, err)
		}
		if err != nil {
			if err.Error() == "" {
				t.Error("the error says nothing")
			}
			return
		}
		for _, u := range policy.users {
			if len(u.credentials) == 0 || policy.Principal(u.name) != &u.Principal {
				t.Errorf("user %q cannot be identified", u.name)
			}
			for _, right := range Rights() {
				if u.May(right, group("job", "a")) && !u.Has(right) {
					t.Errorf("user %q may %s, but lacks it", u.name, right)
				}
			}
		}
	})
}
