package postgres

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"pushgateway/internal/journal"
	"pushgateway/internal/journal/journaltest"
	"pushgateway/internal/pgtest"
	"pushgateway/internal/store"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Config{})
	journaltest.Run(t, func(t *testing.T) *journaltest.Subject { return subjectOf(t, server) })
}

// subjectOf is a Journal in a new database, behind a network that can fail.
func subjectOf(t *testing.T, server *pgtest.Server) *journaltest.Subject {
	t.Helper()
	direct := server.NewDatabase()
	execute(t, direct, fullDisk)
	proxy := pgtest.StartProxy(t, server.Addr())
	down := false // from the next commit on
	j := newJournal(t, through(t, direct, proxy), func(o *Options) {
		o.outcomeTimeout = 200 * time.Millisecond // nobody answers before Recover
		o.beforeCommit = func() {
			if down {
				proxy.Down()
			}
		}
	})
	return &journaltest.Subject{
		Journal: j,
		Another: func(t *testing.T) store.Journal { return newJournal(t, direct) },
		Restored: func(t *testing.T, backup []byte) store.Journal {
			t.Helper()
			file := filepath.Join(t.TempDir(), "f.db")
			if err := os.WriteFile(file, backup, 0o600); err != nil {
				t.Fatal(err)
			}
			return journal.New(journal.Options{Path: file})
		},
		Faults: []journaltest.Fault{journaltest.Rejected, journaltest.NoSpace, journaltest.NoSpaceAtSync},
		Fail: func(t *testing.T, f journaltest.Fault) {
			switch f {
			case journaltest.Rejected:
				down = true
			case journaltest.NoSpace:
				execute(t, direct, "CREATE OR REPLACE TRIGGER full_disk BEFORE UPDATE ON pushgateway_head FOR EACH ROW EXECUTE FUNCTION full_disk()")
			case journaltest.NoSpaceAtSync:
				execute(t, direct, "DROP TRIGGER IF EXISTS full_disk ON pushgateway_head; "+
					"CREATE CONSTRAINT TRIGGER full_disk AFTER UPDATE ON pushgateway_head DEFERRABLE INITIALLY DEFERRED "+
					"FOR EACH ROW EXECUTE FUNCTION full_disk()")
			}
		},
		Recover: func(t *testing.T) {
			down = false
			proxy.Up()
			execute(t, direct, "DROP TRIGGER IF EXISTS full_disk ON pushgateway_head")
			eventually(t, "the journal is ready", func() bool { return j.Ready() == nil })
		},
	}
}

const fullDisk = "CREATE OR REPLACE FUNCTION full_disk() RETURNS trigger LANGUAGE plpgsql AS " +
	"$$ BEGIN RAISE EXCEPTION 'no space left' USING ERRCODE = 'disk_full'; END $$"
