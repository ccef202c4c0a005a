package access

import (
	"testing"

	"pushgateway/internal/metric"
	"pushgateway/internal/metric/metrictest"
)

// mustParse returns the policy of an auth file's text.
func mustParse(t testing.TB, text string) *Policy {
	t.Helper()
	policy, err := Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return policy
}

var group = metrictest.Key

const tokenHash = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"

func TestRightsOfEveryKind(t *testing.T) {
	own, other, without := group("job", "a", "team", "checkout"), group("job", "a", "team", "billing"), group("job", "a")
	for _, right := range Rights() {
		t.Run(right.String(), func(t *testing.T) {
			policy := mustParse(t, `
users:
  - name: bounded
    bearer_token_sha256: `+tokenHash+`
    allow: [`+right.String()+`]
    match: '{team="checkout"}'
  - name: free
    client_cert_name: free
    allow: [`+right.String()+`]
  - name: powerless
    client_cert_name: powerless
    allow: []
`)
			for _, asked := range Rights() {
				bounded, free, powerless := policy.Principal("bounded"), policy.Principal("free"), policy.Principal("powerless")
				if got, want := bounded.Has(asked), asked == right; got != want {
					t.Errorf("bounded has %s: %v, want %v", asked, got, want)
				}
				if got, want := bounded.May(asked, own), asked == right; got != want {
					t.Errorf("bounded may %s its own group: %v, want %v", asked, got, want)
				}
				for _, foreign := range []metric.GroupingKey{other, without} {
					if got, want := bounded.May(asked, foreign), asked == right && !right.Bounded(); got != want {
						t.Errorf("bounded may %s %s: %v, want %v", asked, foreign, got, want)
					}
				}
				if got, want := free.May(asked, other), asked == right; got != want {
					t.Errorf("free may %s: %v, want %v", asked, got, want)
				}
				if powerless.Has(asked) || powerless.May(asked, own) {
					t.Errorf("powerless may %s", asked)
				}
			}
		})
	}
}

func TestNobodyMayDoAnythingUnlessTheFileSaysSo(t *testing.T) {
	var unknown *Principal
	for _, right := range Rights() {
		for _, p := range []*Principal{unknown, nobody} {
			if p.Has(right) || p.May(right, group("job", "a")) || p.Check(right) == nil {
				t.Errorf("%s may %s", p.Name(), right)
			}
		}
		if !unrestricted.May(right, group("job", "a")) {
			t.Errorf("without an auth file nobody may %s", right)
		}
	}
}

func TestDeniedErrorsNameTheMissingRight(t *testing.T) {
	policy := mustParse(t, `
users:
  - name: checkout-ci
    bearer_token_sha256: `+tokenHash+`
    allow: [push, read]
    match: '{team="checkout"}'
anonymous:
  allow: [scrape]
`)
	p := policy.Principal("checkout-ci")
	for _, c := range []struct {
		err  error
		want string
	}{
		{p.Check(Admin), "checkout-ci lacks the right admin: it has push, read"},
		{p.CheckGroup(Delete, group("job", "a", "team", "checkout")), "checkout-ci lacks the right delete: it has push, read"},
		{p.CheckGroup(Push, group("job", "a")), `checkout-ci lacks the right push for the group {job="a"}: it has it for {team="checkout"} only`},
		{policy.anonymous.Check(Read), "this needs the right read: send a credential that has it"},
		{nobody.Check(Scrape), "this needs the right scrape: send a credential that has it"},
	} {
		if c.err == nil || c.err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", c.err, c.want)
		}
	}
}
