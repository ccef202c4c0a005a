package test

import (
	"fmt"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// TestReplicasBehindPooler: replicas work through PgBouncer in transaction mode, as
// docs/REPLICAS.md sets it up. The pooler is killed under load, and started again.
func TestReplicasBehindPooler(t *testing.T) {
	server := pgtest.Start(t, pgtest.Config{})
	addr := freeAddr(t)
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	users, config := filepath.Join(dir, "users"), filepath.Join(dir, "pgbouncer.ini")
	writeFile(t, users, fmt.Appendf(nil, "%q \"\"\n", pgtest.User))
	_, section := replicasPage.block(t, "replicas", "pooler")
	writeFile(t, config, []byte(strings.Replace(section, "host=db1 port=5432",
		strings.NewReplacer("127.0.0.1:", "host=127.0.0.1 port=").Replace(server.Addr()), 1)+fmt.Sprintf(`
listen_addr = %s
listen_port = %s
unix_socket_dir =
auth_type = trust
auth_file = %s
`, host, port, users)))
	startPooler := func() *program {
		p := launchAt(t, addr, exec.Command("pgbouncer", "-u", "postgres", config))
		p.wantCode = 1 // after SIGTERM
		return p
	}
	pooler := startPooler()

	_, line := replicasPage.block(t, "replicas", "pooler-url")
	database := strings.Replace(regexp.MustCompile("postgres://[^']+").FindString(line), "pgbouncer:6432", addr, 1)
	if u, err := url.Parse(database); err != nil || u.Host != addr {
		t.Fatalf("%q: %v", database, err)
	}
	r := startReplicas(t, sameURL(database+"&sslmode=disable"))
	load := r.startLoad(t)
	<-time.After(*replicasFor / 8)
	load.awaitPushes(t)
	pooler.kill(t)
	startPooler()
	<-time.After(*replicasFor / 8)
	load.awaitPushes(t)
	load.finish(t)
}
