package postgres

import (
	"log/slog"
	"net/url"
	"strconv"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pushgateway/internal/metric"
	"pushgateway/internal/pgtest"
	"pushgateway/internal/store"
	"pushgateway/internal/wire"
)

// logger logs to the test.
func logger(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

// newJournal returns a journal, not loaded yet, that the test closes at its end.
func newJournal(t *testing.T, url string, set ...func(*Options)) *Journal {
	t.Helper()
	address, err := ParseAddress(url)
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Address: address, Name: t.Name(), Version: "test", Logger: logger(t)}
	for _, f := range set {
		f(&options)
	}
	j := New(options)
	t.Cleanup(func() { _ = j.Close(t.Context()) })
	return j
}

// A replica is a store on a journal of its own.
type replica struct {
	*store.Store
	journal *Journal
}

// named gives a replica its name.
func named(name string) func(*Options) { return func(o *Options) { o.Name = name } }

// patient has a replica wait as long as it takes for others and for the outcome of a commit.
func patient(o *Options) { o.outcomeTimeout, o.reunionTimeout = time.Minute, time.Minute }

func newReplica(t *testing.T, url string, set ...func(*Options)) replica {
	t.Helper()
	j := newJournal(t, url, set...)
	s := store.New(store.Config{Journal: j, Clock: store.Clock{Now: j.Now, Elapsed: store.SystemClock().Elapsed}})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return replica{s, j}
}

// aloof has a replica learn what others have committed only with its own turns.
type aloof struct{ store.Journal }

func newAloofReplica(t *testing.T, url string, set ...func(*Options)) replica {
	t.Helper()
	j := newJournal(t, url, set...)
	s := store.New(store.Config{Journal: aloof{j}})
	if err := s.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return replica{s, j}
}

func key(job string) metric.GroupingKey {
	return metric.NewGroupingKey([]metric.Label{{Name: "job", Value: job}})
}

// push pushes a body in the text format.
func (r replica) push(t *testing.T, job, body string, options store.PushOptions) (replayed bool, err error) {
	t.Helper()
	parser := wire.TextParser{Names: metric.UTF8Validation}
	families, err := parser.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	p, err := new(store.Encoder).Push(key(job), families, r.journal.Now(), options)
	if err != nil {
		t.Fatal(err)
	}
	return r.Apply(p)
}

func (r replica) mustPush(t *testing.T, job, body string) {
	t.Helper()
	if _, err := r.push(t, job, body, store.PushOptions{}); err != nil {
		t.Fatal(err)
	}
}

// records returns all groups of a replica, encoded.
func (r replica) records() string {
	var all []byte
	for g := range r.Groups() {
		all = store.AppendRecord(all, g)
	}
	return string(all)
}

// jobs returns the jobs of a replica's groups with the value of their metric m, in order.
func (r replica) jobs() string {
	text := ""
	for g := range r.Groups() {
		text += g.Key.Labels()[0].Value
		if m := g.Family("m"); m != nil {
			text += "=" + metricValue(m)
		}
		text += " "
	}
	return text
}

func metricValue(e *store.EncodedFamily) string {
	return strconv.FormatFloat(e.Metrics()[0].Value, 'g', -1, 64)
}

// agree waits until all replicas have the groups, as jobs returns them, and then checks that these
// are the same to the byte.
func agree(t *testing.T, want string, replicas ...replica) {
	t.Helper()
	for i, r := range replicas {
		eventually(t, "replica "+r.journal.options.Name+" has "+want, func() bool { return r.jobs() == want })
		if r.records() != replicas[0].records() {
			t.Errorf("replicas 0 and %d differ in the groups %s", i, want)
		}
	}
}

// through returns the URL of the same database behind a proxy.
func through(t *testing.T, direct string, proxy *pgtest.Proxy) string {
	t.Helper()
	u, err := url.Parse(direct)
	if err != nil {
		t.Fatal(err)
	}
	u.Host = proxy.Addr()
	return u.String()
}

// execute executes statements in the database.
func execute(t *testing.T, url, statements string) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if _, err := c.PgConn().Exec(t.Context(), statements).ReadAll(); err != nil {
		t.Fatalf("%s: %v", statements, err)
	}
}

// number returns the number that a query returns.
func number(t *testing.T, url, query string) (n int) {
	t.Helper()
	c, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(t.Context())
	if err := c.QueryRow(t.Context(), query).Scan(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

// eventually waits until holds reports true.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) { // of a test that fails
			t.Fatalf("it never came to be that %s", what)
		}
	}
}
