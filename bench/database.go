package main

import (
	"fmt"
	"os"
	"slices"

	"pushgateway/internal/pgtest"
)

// A databaseOwner ends a PostgreSQL server with the run, as a test would.
type databaseOwner struct {
	server   *pgtest.Server
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
// and runs until the end.
func (l *lab) newDatabase() (url string, err error) {
	defer func() {
		switch failure := recover().(type) {
		case nil:
		case databaseFailure:
			err = fmt.Errorf("PostgreSQL: %s", failure)
		default:
			panic(failure)
		}
	}()
	if l.database.server == nil {
		l.database.server = pgtest.Start(&l.database, pgtest.Config{Sync: true})
	}
	return l.database.server.NewDatabase(), nil
}
