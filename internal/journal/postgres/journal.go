// Package postgres is a store.Journal in a PostgreSQL database that any number of
// replicas share.
//
// One row, the head, is the turn: who has locked it may change groups. Its sequence
// number grows by one with each commit, and each commit has a random token. A replica
// that takes the turn reads the groups that others have changed since the last commit it
// knows, and so decides on what is true. Whoever does not want to change anything
// follows without locking: a notification carries the number of each commit, and a
// query now and then finds those of which none came. A token tells a replica whether the
// database still has the commits that the replica knows: after a failover to a server
// that lacks the last ones, it writes them again.
package postgres

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"pushgateway/internal/journal"
	"pushgateway/internal/store"
)

// Options say how a Journal works.
type Options struct {
	Address Address
	// PasswordFile has the password, unless that is in the URL or the environment; empty
	// if there is none.
	PasswordFile string
	// Name is this replica's, as people know it, and Version the program's.
	Name, Version string
	// Configuration returns hashes of the rules and the auth file in use, empty if there
	// is none. It may be nil.
	Configuration func() (rules, auth string)
	Logger        *slog.Logger

	// For tests.
	beforeCommit                   func()
	outcomeTimeout, reunionTimeout time.Duration // 0 for the defaults
}

// Journal is a store.Journal in a database. Its methods can be called concurrently as
// store.Journal says.
type Journal struct {
	options Options
	process token // of this process among the replicas
	started time.Time
	metrics metrics
	current func() iter.Seq[*store.Group]

	ctx  context.Context // ends with Close
	stop context.CancelFunc

	// The following are used under the store's lock, like Begin and Commit.
	turn        *conn         // on which Begin and Commit work; nil if there is none
	undelivered store.Changes // learned, but not returned to the store yet
	flushed     commit        // the last one that this replica knows to be durable
	reunion     struct {      // after a failover
		timeline int64
		since    time.Time
	}

	status atomic.Pointer[store.JournalStatus]
	shared atomic.Pointer[store.Replicas]
	offset atomic.Int64 // of the database's clock
	// turning is true during a turn. turned is when the last turn ended, as a duration since
	// started, and turns is the number of turns so far.
	turning atomic.Bool
	turned  atomic.Int64
	turns   atomic.Int64
	// timeline is that of the server with which this replica has last caught up.
	timeline atomic.Int64
	adopt    atomic.Pointer[func(learn func() store.Changes)]

	mu        sync.Mutex // guards the following
	knowledge knowledge
	own       commit          // that Commit has made or is making
	unready   error           // why changes are not accepted; nil if they are
	alive     context.Context // ends when the database goes away
	bury      context.CancelCauseFunc
	size      int64 // of the tables
	warning   string
	committed time.Time
	logged    time.Time // when it was last logged that the database is away
}

const (
	// retryAfter is when those whose change could not be stored may try again.
	retryAfter = time.Second
	// lockTimeout bounds waiting for the turn. A frozen database is noticed earlier.
	lockTimeout = 10 * time.Second
	// turnTimeout is after how long the server ends the turn of a replica that does nothing.
	turnTimeout = 5 * time.Second
	// turnSilence is how long the server may be silent in a turn, most of it to wait for a lock.
	turnSilence = lockTimeout + answerTimeout
	// answerTimeout is how long the server may take to answer what is asked regularly.
	answerTimeout = 3 * time.Second
	// defaultOutcomeTimeout bounds finding out whether a commit was made, if the server did
	// not say.
	defaultOutcomeTimeout = 3 * time.Second
	// logInterval is how often it is logged that the database is still away.
	logInterval = time.Minute
)

var (
	errLoading  = errors.New("the stored groups are still being loaded")
	errStopping = errors.New("the gateway is stopping")
)

// New returns a journal that accepts changes once Load has returned.
func New(o Options) *Journal {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Configuration == nil {
		o.Configuration = func() (rules, auth string) { return "", "" }
	}
	o.outcomeTimeout = cmp.Or(o.outcomeTimeout, defaultOutcomeTimeout)
	o.reunionTimeout = cmp.Or(o.reunionTimeout, defaultReunionTimeout)
	j := &Journal{
		options: o, process: newToken(), started: time.Now(), metrics: newMetrics(),
		unready: errLoading,
	}
	j.knowledge.changed = map[string]int64{}
	j.ctx, j.stop = context.WithCancel(context.Background())
	j.alive, j.bury = context.WithCancelCause(j.ctx)
	j.updateStatus()
	return j
}

// Load makes the tables if needed and reads the groups. It waits for a database that is
// away until ctx ends.
func (j *Journal) Load(ctx context.Context, current func() iter.Seq[*store.Group]) ([]*store.Group, error) {
	j.current = current
	for {
		groups, err := j.load(ctx)
		switch {
		case err == nil:
			go j.follow()
			return groups, nil
		case ctx.Err() != nil:
			return nil, fmt.Errorf("load from %s: %w", j.options.Address, context.Cause(ctx))
		case permanent(err):
			return nil, fmt.Errorf("load from %s: %w", j.options.Address, err)
		}
		j.fail(fmt.Errorf("%w: %w", errLoading, err))
		pause(ctx, retryAfter)
	}
}

func (j *Journal) load(ctx context.Context) ([]*store.Group, error) {
	c, err := j.connect(ctx)
	if err != nil {
		return nil, err
	}
	migrated, err := migrate(ctx, c.Conn)
	if err == nil && migrated {
		j.options.Logger.Info("made the tables in the database", "database", j.options.Address, "version", schemaVersion)
	}
	var r *reading
	if err == nil {
		r, err = c.readAll(ctx)
	}
	if err != nil {
		c.close()
		return nil, err
	}
	j.turn = c
	j.mu.Lock()
	j.knowledge.replace(r)
	j.committed = time.Now()
	j.mu.Unlock()
	j.timeline.Store(c.timeline)
	if err := errors.Join(j.register(ctx, c), j.inspect(ctx, c)); err != nil {
		c.close()
		return nil, err
	}
	j.succeed()
	groups := make([]*store.Group, 0, len(r.rows))
	for _, g := range r.rows {
		groups = append(groups, g.group)
	}
	return groups, nil
}

// Ready returns nil if changes are accepted, otherwise an *UnavailableError.
func (j *Journal) Ready() error {
	if err := j.status.Load().Err; err != nil {
		return unavailable(err)
	}
	return nil
}

func unavailable(reason error) error {
	return &store.UnavailableError{Reason: reason, RetryAfter: retryAfter}
}

// Status describes the journal.
func (j *Journal) Status() store.JournalStatus { return *j.status.Load() }

// updateStatus makes the state visible. The caller holds mu, or is New.
func (j *Journal) updateStatus() {
	j.status.Store(&store.JournalStatus{
		Durable:    j.unready == nil,
		Database:   j.options.Address.String(),
		SizeBytes:  j.size,
		LastCommit: j.committed,
		Loading:    errors.Is(j.unready, errLoading),
		Err:        j.unready,
		Warning:    j.warning,
	})
}

// fail notes that the database is away. Whoever waits for it is told.
func (j *Journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if errors.Is(j.unready, errStopping) {
		return
	}
	if j.unready == nil || time.Since(j.logged) > logInterval {
		j.logged = time.Now()
		j.options.Logger.Error("the database cannot be used, changes are not accepted", "database", j.options.Address, "err", err)
	}
	j.unready = err
	j.bury(err)
	j.updateStatus()
}

// succeed notes that the database can be used.
func (j *Journal) succeed() {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.unready == nil || errors.Is(j.unready, errStopping) {
		return
	}
	if !errors.Is(j.unready, errLoading) {
		j.options.Logger.Info("the database can be used again", "database", j.options.Address)
	}
	j.unready = nil
	j.alive, j.bury = context.WithCancelCause(j.ctx)
	j.updateStatus()
}

// whileAlive returns a context that ends with ctx, or when the database goes away.
func (j *Journal) whileAlive(ctx context.Context) (context.Context, context.CancelFunc) {
	j.mu.Lock()
	alive := j.alive
	j.mu.Unlock()
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(alive, cancel)
	return ctx, func() { stop(); cancel() }
}

// away returns why the database could not be used, for an error of the connection.
func away(err error) error {
	if errors.Is(err, errSilent) {
		return err
	}
	return fmt.Errorf("the database cannot be reached: %w", err)
}

// Backup calls send with the groups that this replica has, as a file that a gateway can
// start from, or that can be migrated to a database. The file is encoded in memory.
func (j *Journal) Backup(_ context.Context, send func(size int64, content io.Reader) error) error {
	if j.current == nil {
		return j.Ready()
	}
	return journal.Copy(j.current(), send)
}

// Close says goodbye to the other replicas and disconnects. All accepted changes are
// committed already.
func (j *Journal) Close(ctx context.Context) error {
	j.stop()
	j.mu.Lock()
	defer j.mu.Unlock()
	up := j.unready == nil
	j.unready = errStopping
	j.updateStatus()
	if j.turn == nil {
		return nil
	}
	if up {
		ctx, cancel := context.WithTimeout(ctx, closeTimeout)
		defer cancel()
		_, _ = j.turn.Exec(ctx, "DELETE FROM pushgateway_replicas WHERE process = $1", [16]byte(j.process)) // it would be forgotten anyway
	}
	j.turn.close()
	j.turn = nil
	return nil
}
