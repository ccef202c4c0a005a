package test

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"pushgateway/internal/pgtest"
)

// An operation is a request that may change groups.
type operation struct {
	method, path, body, key string

	sequence int64 // of the commit that it led to
	answer   answer
}

// randomOperation returns an operation. Many conflict with each other, in types, in series, or
// in the way that a group is pushed to. Groups of the job called own are changed by nobody
// else, since selectors are not matched in the step in which the groups are deleted.
func randomOperation(random *rand.Rand, own string) operation {
	one := func(of ...string) string { return of[random.IntN(len(of))] }
	path := "/metrics/job/" + one("a", "b", "c", own)
	series := one("x", "y")
	if random.IntN(2) == 0 {
		path += "/instance/" + one("1", "2")
	} else if random.IntN(2) == 0 {
		series += `{instance="` + one("1", "2") + `"}` // a group with this instance may have it
	}
	name, _, _ := strings.Cut(series, "{")
	o := operation{
		method: one(http.MethodPut, http.MethodPost), path: path,
		body: fmt.Sprintf("# TYPE %s %s\n%s %d\n", name, one("gauge", "gauge", "gauge", "counter"), series, random.IntN(1000)),
	}
	switch random.IntN(8) {
	case 0:
		return operation{method: http.MethodDelete, path: path}
	case 1:
		return operation{method: http.MethodDelete, path: `/api/v1/groups?match[]={job="` + own + `"}`}
	case 2, 3: // clients share keys, so that one of them is replayed
		n := random.IntN(10_000)
		o = operation{method: http.MethodPost, path: "/metrics/job/sum?merge=sum", key: fmt.Sprint(n)}
		o.body = fmt.Sprintf("# TYPE total counter\ntotal %d\n", n)
	case 4:
		o.path += "?merge=sum"
		o.method = http.MethodPost
	}
	return o
}

func (o *operation) send(t *testing.T, p *program) answer {
	var headers []string
	if o.key != "" {
		headers = []string{"Idempotency-Key", o.key}
	}
	a, err := p.try(o.method, o.path, o.body, headers...)
	if err != nil {
		t.Error(err)
	}
	return a
}

// TestReplicasAgreeOnOrder changes the same groups on three replicas at once. All end with
// the same exposition, which is that of a single gateway that was sent the same in the order of the
// commits, and gave the same answers.
func TestReplicasAgreeOnOrder(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	var urls []string
	for i := range replicaCount {
		urls = append(urls, fmt.Sprintf("%s&application_name=replica-%d", server.URL(), i))
	}
	r := startReplicas(t, urls, "--web.enable-admin-api")
	database := connectTo(t, server.URL())
	_, err := database.Exec(t.Context(), `
		CREATE TABLE seen (sequence bigint, replica text);
		CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$
		BEGIN
			INSERT INTO seen VALUES (new.sequence, current_setting('application_name'));
			RETURN new;
		END $$;
		CREATE TRIGGER see AFTER INSERT ON pushgateway_commits FOR EACH ROW EXECUTE FUNCTION see()`)
	if err != nil {
		t.Fatal(err)
	}

	// Each replica has one client, so that each commit is of one operation.
	var mu sync.Mutex // guards accepted
	var accepted []operation
	deadline := time.Now().Add(*replicasFor)
	var clients sync.WaitGroup
	for i, p := range r.each {
		database := connectTo(t, server.URL())
		clients.Go(func() {
			random := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), uint64(i)))
			for last := int64(0); time.Now().Before(deadline) && !t.Failed(); {
				o := randomOperation(random, fmt.Sprint("own-", i))
				a := o.send(t, p)
				o.answer = a
				rows, err := database.Query(t.Context(), "SELECT sequence FROM seen WHERE replica = $1 AND sequence > $2",
					fmt.Sprint("replica-", i), last)
				if err != nil {
					t.Error(err)
					return
				}
				sequences, err := pgx.CollectRows(rows, pgx.RowTo[int64])
				if err != nil {
					t.Error(err)
					return
				}
				push := o.method != http.MethodDelete && a.header.Get("Idempotency-Replayed") == ""
				if len(sequences) > 1 || push && a.status == http.StatusOK && len(sequences) == 0 {
					t.Errorf("%s %s %q: %d %s, and %d commits", o.method, o.path, o.body, a.status, a.body, len(sequences))
				}
				if len(sequences) == 0 {
					continue
				}
				last, o.sequence = sequences[0], sequences[0]
				mu.Lock()
				accepted = append(accepted, o)
				mu.Unlock()
			}
		})
	}
	clients.Wait()
	got := r.agree(t)

	slices.SortFunc(accepted, func(a, b operation) int { return cmp.Compare(a.sequence, b.sequence) })
	alone := start(t, "--web.enable-admin-api", "--web.own-metrics-path=/self")
	answers := map[int]int{}
	for _, o := range accepted {
		a := o.send(t, alone)
		answers[a.status]++
		if a.status != o.answer.status {
			t.Fatalf("commit %d: %s %s %q was answered with %d %s; alone with %d %s",
				o.sequence, o.method, o.path, o.body, o.answer.status, o.answer.body, a.status, a.body)
		}
	}
	wantLines(t, "exposition", withoutPushTimes(got), withoutPushTimes(alone.get(t, "/metrics")))
	t.Logf("%d operations changed something, by status: %v", len(accepted), answers)
	for _, status := range []int{http.StatusOK, http.StatusAccepted, http.StatusBadRequest} {
		if answers[status] == 0 {
			t.Errorf("no operation was answered with %d", status)
		}
	}
}

// withoutPushTimes returns the lines of an exposition, with 1 for each push time that is not 0.
func withoutPushTimes(exposition string) []string {
	var lines []string
	for line := range strings.Lines(exposition) {
		line = strings.TrimSpace(line)
		name, _, _ := strings.Cut(line, "{")
		if at := strings.LastIndexByte(line, ' '); isPushTime(name) && line[at:] != " 0" {
			line = line[:at] + " 1"
		}
		lines = append(lines, line)
	}
	return lines
}

// connectTo opens a connection to a database, which ends with the test.
func connectTo(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := conn.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return conn
}
