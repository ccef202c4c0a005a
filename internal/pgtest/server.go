// Package pgtest runs real PostgreSQL servers for tests, each in a temporary folder and
// on a loopback port of its own. Only tests and benchmarks use it.
package pgtest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
)

// patience bounds every wait. It only decides how long a failing test takes.
const patience = 60 * time.Second

// User is the role that owns the databases of tests. It is no superuser.
const User = "pushgateway"

// TB is what servers need of the test that they end with.
type TB interface {
	Helper()
	Failed() bool
	Cleanup(func())
	Logf(format string, args ...any)
	Error(args ...any)
	Errorf(format string, args ...any)
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// Config describes a server.
type Config struct {
	// Sync makes commits survive a power failure, which costs time. Without it they
	// survive everything that a test can do.
	Sync bool
	// Settings are added to postgresql.conf.
	Settings map[string]string
}

// A Server is a PostgreSQL server. It ends with its test, as do all of its processes.
// Its methods fail the test if something goes wrong. They may be called from one
// goroutine at a time, except Addr, URL and Query.
type Server struct {
	t    TB
	dir  string // of everything that the server writes
	port int

	cmd   *exec.Cmd
	ended chan struct{} // closed once cmd is gone

	databases atomic.Int64 // that NewDatabase has made
}

// Start runs a new server with the database "pushgateway", and returns once it accepts
// connections. Standbys can follow it.
func Start(t TB, config Config) *Server {
	t.Helper()
	s := newServer(t)
	s.run("initdb", "--pgdata="+s.data(), "--username=postgres", "--auth=trust", "--no-sync",
		"--encoding=UTF8", "--locale=C", "--wal-segsize=1", "--no-instructions")
	settings := map[string]string{
		"listen_addresses":        "127.0.0.1",
		"port":                    strconv.Itoa(s.port),
		"unix_socket_directories": "",
		"fsync":                   "off",
		"shared_buffers":          "32MB",
		"max_wal_size":            "256MB",
		"wal_keep_size":           "64MB",
		"max_connections":         "200",
		"log_line_prefix":         "%m [%p] %a ",
	}
	if config.Sync {
		settings["fsync"] = "on"
	}
	maps.Copy(settings, config.Settings)
	s.configure(settings)
	s.launch()
	s.await("the server accepts connections", func() bool { return s.try("SELECT 1") == nil })
	s.Exec("CREATE ROLE " + User + " LOGIN")
	s.Exec("CREATE DATABASE " + User + " OWNER " + User)
	return s
}

// newServer makes the folder of a server, and chooses its port.
func newServer(t TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, dir: dir, port: FreePort(t)}
	t.Cleanup(s.cleanUp)
	if id := unprivileged(t); id != nil {
		if err := os.Chown(dir, int(id.Uid), int(id.Gid)); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

// FreePort returns a port on which nobody listens. It is below those that the system chooses, for
// listeners as for outgoing connections, so that it stays free while a server is down.
func FreePort(t TB) int {
	t.Helper()
	for range 1000 {
		port := 15_000 + rand.IntN(15_000)
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return port
	}
	t.Fatal("no port is free")
	return 0
}

func (s *Server) data() string    { return filepath.Join(s.dir, "data") }
func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

// configure appends settings to postgresql.conf, where the last one counts.
func (s *Server) configure(settings map[string]string) {
	s.t.Helper()
	f, err := os.OpenFile(filepath.Join(s.data(), "postgresql.conf"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		if _, err := fmt.Fprintf(f, "%s = '%s'\n", name, settings[name]); err != nil {
			s.t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		s.t.Fatal(err)
	}
}

// Addr returns host:port of the server.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)) }

// URL returns the URL of the database "pushgateway".
func (s *Server) URL() string { return URL(User, s.Addr()) }

// URL returns the URL of a database that is reached at these addresses.
func URL(database string, addrs ...string) string {
	u := url.URL{Scheme: "postgres", User: url.User(User), Path: database, RawQuery: "sslmode=disable"}
	for i, addr := range addrs {
		if i > 0 {
			u.Host += ","
		}
		u.Host += addr
	}
	if len(addrs) > 1 {
		u.RawQuery += "&target_session_attrs=read-write"
	}
	return u.String()
}

// NewDatabase makes an empty database and returns its URL.
func (s *Server) NewDatabase() string {
	s.t.Helper()
	name := fmt.Sprintf("%s_%d", User, s.databases.Add(1))
	s.Exec("CREATE DATABASE " + name + " OWNER " + User)
	return URL(name, s.Addr())
}

// connect opens a connection as superuser to the database "postgres".
func (s *Server) connect(ctx context.Context) (*pgx.Conn, error) {
	config, err := pgx.ParseConfig(fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable", s.Addr()))
	if err != nil {
		return nil, err
	}
	config.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	return pgx.ConnectConfig(ctx, config)
}

// try runs a statement as superuser.
func (s *Server) try(statement string) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(ctx) }()
	_, err = conn.Exec(ctx, statement)
	return err
}

// Exec runs a statement as superuser in the database "postgres".
func (s *Server) Exec(statement string) {
	s.t.Helper()
	if err := s.try(statement); err != nil {
		s.t.Fatalf("%s: %v", statement, err)
	}
}

// Query returns the first value of the result of a query, as text, run as superuser in
// the database "postgres".
func (s *Server) Query(query string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := s.connect(ctx)
	if err != nil {
		return "", err
	}
	defer func() { _ = conn.Close(ctx) }()
	var value string
	err = conn.QueryRow(ctx, query).Scan(&value)
	return value, err
}

// await polls a condition until it holds. It fails the test if the server ends first.
func (s *Server) await(what string, holds func() bool) {
	s.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-s.ended:
			s.t.Fatalf("PostgreSQL ended: %v\n%s", s.cmd.ProcessState, s.log())
		case <-deadline:
			s.t.Fatalf("waited %v in vain until %s", patience, what)
		case <-tick.C:
		}
	}
}
