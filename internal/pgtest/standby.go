package pgtest

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
)

// StartStandby runs a server that follows s, and returns once it streams. It is
// asynchronous until RequireStandby names it. It reaches s at addr, which is s.Addr() or
// that of a Proxy in front of it.
func (s *Server) StartStandby(name, addr string) *Server {
	s.t.Helper()
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		s.t.Fatal(err)
	}
	standby := newServer(s.t)
	standby.run("pg_basebackup", "--pgdata="+standby.data(), "--wal-method=stream", "--checkpoint=fast", "--no-sync",
		fmt.Sprintf("--dbname=host=127.0.0.1 port=%d user=postgres", s.port))
	standby.configure(map[string]string{
		"port": strconv.Itoa(standby.port),
		"primary_conninfo": fmt.Sprintf(
			"host=%s port=%s user=postgres application_name=%s sslmode=disable gssencmode=disable", host, port, name),
		// After a cut, try again soon.
		"wal_retrieve_retry_interval": "100ms",
	})
	// The server, which is another user, must be able to read it.
	if err := os.WriteFile(filepath.Join(standby.data(), "standby.signal"), nil, 0o644); err != nil {
		s.t.Fatal(err)
	}
	standby.launch()
	standby.await("the standby accepts connections", func() bool { return standby.try("SELECT 1") == nil })
	s.await("the standby streams", func() bool {
		n, err := s.Query("SELECT count(*)::text FROM pg_stat_replication WHERE state = 'streaming' AND application_name = '" + name + "'")
		return err == nil && n == "1"
	})
	return standby
}

// RequireStandby makes commits wait until the standby of this name has written them, or
// no longer wait if name is empty.
func (s *Server) RequireStandby(name string) {
	s.t.Helper()
	s.Exec("ALTER SYSTEM SET synchronous_standby_names = '" + name + "'")
	s.Exec("SELECT pg_reload_conf()")
	s.await("the standby is synchronous", func() bool {
		n, err := s.Query("SELECT count(*)::text FROM pg_stat_replication WHERE sync_state = 'sync'")
		return err == nil && (n == "1") == (name != "")
	})
}

// Promote makes a standby a primary, and returns once it accepts writes.
func (s *Server) Promote() {
	s.t.Helper()
	s.Exec("SELECT pg_promote(true, 60)")
	s.await("the server accepts writes", func() bool {
		recovering, err := s.Query("SELECT pg_is_in_recovery()::text")
		return err == nil && recovering == "false"
	})
}
