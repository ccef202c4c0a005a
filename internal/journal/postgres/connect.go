package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"pushgateway/internal/store"
)

const (
	// connectTimeout bounds connecting to one host, unless the URL says otherwise.
	connectTimeout = 2 * time.Second
	// closeTimeout bounds the farewell to a server.
	closeTimeout = time.Second
)

// conn is a connection to the database. It is used by one goroutine at a time.
type conn struct {
	*pgx.Conn
	moved    *atomic.Int64 // bytes, in both directions
	timeline int64         // of the server, which is another one after a failover; 0 if unknown
	warned   bool          // by the server, since this was last set to false
	decoder  store.RecordDecoder
}

var errNotCanceled = errors.New("statements are not canceled")

// connect connects to the first host that accepts writes.
func (j *Journal) connect(ctx context.Context) (*conn, error) {
	config := j.options.Address.config.Copy()
	if file := j.options.PasswordFile; file != "" {
		password, err := os.ReadFile(file) // each time, since passwords are rotated
		if err != nil {
			return nil, fmt.Errorf("read the database's password: %w", err)
		}
		config.Password = strings.TrimRight(string(password), "\r\n")
	}
	c := &conn{moved: new(atomic.Int64)}
	config.AfterNetConnect = func(_ context.Context, _ *pgconn.Config, n net.Conn) (net.Conn, error) {
		return &counted{n, c.moved}, nil
	}
	config.OnNotice = func(_ *pgconn.PgConn, n *pgconn.Notice) {
		c.warned = c.warned || n.SeverityUnlocalized == "WARNING"
	}
	// pgx would have the server cancel the statement of a connection that it gives up. But
	// canceling a COMMIT that waits for a synchronous standby makes it succeed without.
	dial, connected := config.DialFunc, new(atomic.Bool)
	config.DialFunc = func(ctx context.Context, network, address string) (net.Conn, error) {
		if connected.Load() {
			return nil, errNotCanceled
		}
		return dial(ctx, network, address)
	}
	opened, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	connected.Store(true)
	c.Conn = opened
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	if err := c.QueryRow(ctx, timelineQuery).Scan(&c.timeline); err != nil {
		if lost(err) || ctx.Err() != nil {
			c.close()
			return nil, err
		}
		c.timeline = 0 // some services do not have the function
	}
	return c, nil
}

const timelineQuery = "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint"

// counted counts the bytes that move over a connection.
type counted struct {
	net.Conn
	moved *atomic.Int64
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.moved.Add(int64(n))
	return n, err
}

func (c *counted) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.moved.Add(int64(n))
	return n, err
}

// send sends a batch and has its results read. However much that is, it ends once the
// server has been silent for too long. After an error no transaction is open, or the
// connection is closed.
func (c *conn) send(ctx context.Context, b *pgx.Batch, silence time.Duration) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	moved := c.moved.Load()
	var patience *time.Timer
	ready := make(chan struct{})
	patience = time.AfterFunc(silence, func() {
		<-ready
		if now := c.moved.Load(); now != moved {
			moved = now
			patience.Reset(silence)
			return
		}
		cancel(errSilent)
	})
	close(ready)
	defer patience.Stop()
	err := c.SendBatch(ctx, b).Close()
	if err != nil && (lost(err) || c.rollback(ctx) != nil) {
		c.close()
	}
	if err != nil && context.Cause(ctx) == errSilent {
		return errSilent
	}
	return err
}

var errSilent = errors.New("the database does not answer in time")

// close closes the connection; c may be nil.
func (c *conn) close() {
	if c == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = c.Close(ctx) // the server notices either way
}

// rollback ends a transaction, if one is open. It returns an error if the connection is
// of no more use.
func (c *conn) rollback(ctx context.Context) error {
	if c.IsClosed() {
		return net.ErrClosed
	}
	if c.PgConn().TxStatus() == 'I' {
		return nil
	}
	_, err := c.Exec(ctx, "ROLLBACK")
	return err
}

// lost reports whether the error, which must not be nil, is of the connection or of the server as
// a whole, rather than of a statement.
func lost(err error) bool {
	failure, ok := errors.AsType[*pgconn.PgError](err)
	return !ok || failure.SeverityUnlocalized == "FATAL" || failure.SeverityUnlocalized == "PANIC"
}

// permanent reports whether trying again is of no use until somebody changes the command
// line or the database.
func permanent(err error) bool {
	if _, ok := errors.AsType[*NewerError](err); ok {
		return true
	}
	failure, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	switch failure.Code {
	case "28000", "28P01", // wrong user or password
		"3D000", "3F000", // no such database or schema
		"42501": // a right is missing
		return true
	}
	return false
}
