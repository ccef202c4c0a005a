package test

import (
	"testing"
	"time"

	"pushgateway/internal/pgtest"
)

// TestReplicasRepairFailover kills one of the replicas and the primary of two database servers.
// The standby is seconds behind when it takes the primary's place, and lacks commits. The
// replicas that live write them again.
func TestReplicasRepairFailover(t *testing.T) {
	primary := pgtest.Start(t, pgtest.Config{})
	slow := pgtest.StartProxy(t, primary.Addr())
	standby := primary.StartStandby("standby", slow.Addr())
	r := startReplicas(t, sameURL(pgtest.URL(pgtest.User, primary.Addr(), standby.Addr())))
	load := r.startLoad(t)
	<-time.After(*replicasFor / 4)
	load.awaitPushes(t)
	slow.Delay(time.Hour)
	<-time.After(*replicasFor / 2)
	load.awaitPushes(t)
	// Once others have had the turn, they know all that this one has acknowledged.
	r.each[0].kill(t)
	load.awaitPushes(t)
	primary.Kill()
	slow.Cut()
	standby.Promote()
	t.Logf("pushes accepted %v after the promotion", load.awaitPushes(t))
	r.start(t, 0)
	<-time.After(*replicasFor / 4)
	load.awaitPushes(t)
	repaired := r.total(t, "pushgateway_persistence_repaired_groups_total")
	t.Logf("%v groups written again", repaired)
	if repaired == 0 {
		t.Error("no group had to be written again: nothing was lost")
	}
	load.finish(t)
}
