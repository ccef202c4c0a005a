package main

import (
	"fmt"
	"os"
	"slices"

	"pushgateway/internal/pgtest"
)

// A databaseOwner ends PostgreSQL servers with the run, as a test would.
type databaseOwner struct {
	servers  map[bool]*pgtest.Server // by whether each sync takes longer
	cleanups []func()
	failed   bool
}

// databaseFailure is what Fatal panics with.
type databaseFailure string

func (*databaseOwner) Helper()            {}
func (o *databaseOwner) Failed() bool     { return o.failed }
func (o *databaseOwner) Cleanup(f func()) { o.cleanups = append(o.cleanups, f) }
func (o *databaseOwner) Logf(format string, args ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", args...)
}
func (o *databaseOwner) Errorf(format string, args ...any) {
	o.failed = true
	o.Logf(format, args...)
}
func (o *databaseOwner) Error(args ...any) { o.Errorf("%s", fmt.Sprint(args...)) }
func (o *databaseOwner) Fatal(args ...any) {
	o.failed = true
	panic(databaseFailure(fmt.Sprint(args...)))
}
func (o *databaseOwner) Fatalf(format string, args ...any) { o.Fatal(fmt.Sprintf(format, args...)) }

func (o *databaseOwner) end() {
	for _, f := range slices.Backward(o.cleanups) {
		f()
	}
}

// newDatabase returns the URL of an empty database in a PostgreSQL server, which syncs each commit
// and runs until the end. If slowSync is set, each sync takes 1 ms longer.
func (l *lab) newDatabase(slowSync bool) (url string, err error) {
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case databaseFailure:
			err = fmt.Errorf("PostgreSQL: %s", failure)
		default:
			panic(failure)
		}
	}()
	server := l.database.servers[slowSync]
	if server == nil {
		config := pgtest.Config{Sync: true}
		if slowSync {
			config.Settings = map[string]string{"commit_delay": "1000", "commit_siblings": "0"} // before each sync, in µs
		}
		server = pgtest.Start(&l.database, config)
		if l.database.servers == nil {
			l.database.servers = map[bool]*pgtest.Server{}
		}
		l.database.servers[slowSync] = server
	}
	return server.NewDatabase(), nil
}
