package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// insert runs a transaction, and returns the error of its commit.
func insert(t *testing.T, conn *pgx.Conn) error {
	t.Helper()
	ctx := t.Context()
	tx, err := conn.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "INSERT INTO t VALUES ($1)", 1); err != nil {
		t.Fatal(err)
	}
	return tx.Commit(ctx)
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) }) // it may be cut
	return conn
}

func count(t *testing.T, conn *pgx.Conn) int {
	t.Helper()
	var n int
	if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// TestFailover: a standby that must confirm has all commits when it is promoted. One
// behind a slow network lacks the last ones.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := Start(t, Config{})
	slow := StartProxy(t, primary.Addr())
	late := primary.StartStandby("late", slow.Addr())
	prompt := primary.StartStandby("prompt", primary.Addr())
	primary.RequireStandby("prompt")

	conn := connect(t, primary.URL())
	if _, err := conn.Exec(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	late.await("the table arrives", func() bool {
		_, err := connect(t, late.URL()).Exec(t.Context(), "SELECT FROM t")
		return err == nil
	})
	slow.Delay(time.Hour)
	if err := insert(t, conn); err != nil {
		t.Fatal(err)
	}
	primary.Kill()
	slow.Cut()
	for standby, want := range map[*Server]int{prompt: 1, late: 0} {
		standby.Promote()
		conn := connect(t, URL(User, primary.Addr(), standby.Addr()))
		if got := count(t, conn); got != want {
			t.Errorf("%d rows, want %d", got, want)
		}
		if err := insert(t, conn); err != nil {
			t.Error(err)
		}
	}
	primary.Restart()
	if got := count(t, connect(t, primary.URL())); got != 1 {
		t.Errorf("%d rows after a restart", got)
	}
}

// TestProxy cuts commits, and holds traffic back.
func TestProxy(t *testing.T) {
	t.Parallel()
	server := Start(t, Config{})
	direct := connect(t, server.NewDatabase())
	if _, err := direct.Exec(t.Context(), "CREATE TABLE t (n int)"); err != nil {
		t.Fatal(err)
	}
	proxy := StartProxy(t, server.Addr())
	through := URL(direct.Config().Database, proxy.Addr())

	// DuringCommit comes last: the server may commit later, or not at all.
	for _, c := range []struct {
		moment Moment
		want   int // rows more; -1 for any number
	}{{BeforeCommit, 0}, {AfterCommit, 1}, {DuringCommit, -1}} {
		moment, want := c.moment, c.want
		before := count(t, direct)
		conn := connect(t, through)
		done := proxy.CutCommit(moment)
		if err := insert(t, conn); err == nil {
			t.Errorf("%v: no error", moment)
		}
		<-done
		if got := count(t, direct) - before; want >= 0 && got != want {
			t.Errorf("%v: %d rows more", moment, got)
		}
	}

	answer := func(conn *pgx.Conn) <-chan error {
		answered := make(chan error, 1)
		go func() { answered <- conn.Ping(t.Context()) }()
		return answered
	}
	silent := func(what string, answered <-chan error) {
		t.Helper()
		select {
		case err := <-answered:
			t.Errorf("%s: answered with %v", what, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
	answered := func(what string, answered <-chan error) {
		t.Helper()
		if err := <-answered; err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, fault := range map[string]struct{ begin, end func() }{
		"frozen network": {proxy.Freeze, proxy.Thaw},
		"frozen server":  {server.Freeze, server.Thaw},
	} {
		pinged := func() <-chan error { conn := connect(t, through); fault.begin(); return answer(conn) }()
		silent(what, pinged)
		fault.end()
		answered(what, pinged)
	}

	old := connect(t, through)
	proxy.HalfOpen()
	pinged := answer(old)
	silent("half-open", pinged)
	answered("new connection", answer(connect(t, through)))
	proxy.Down()
	if err := <-pinged; err == nil {
		t.Error("a connection is open though the network is down")
	}
	if _, err := pgx.Connect(t.Context(), through); err == nil {
		t.Error("a connection was made though the network is down")
	}
	proxy.Up()
	answered("network up again", answer(connect(t, through)))
}
