// Package postgres keeps what CPNS Servers know in a PostgreSQL database, 15 or
// later: a server.Store for several servers at once, on github.com/jackc/pgx/v5.
//
// Updates are SERIALIZABLE transactions: the database itself sees to it that they
// come out as if one ran after the other, and ends one of two that do not (SQLSTATE
// 40001, 40P01); that one is run again, after a while drawn at random.
//
// Assignments, many at once, go in groups (group.go): one query finds what all of them
// depend on, one READ COMMITTED transaction writes what follows, on the condition that what
// was found is still there: a PNE's owner, epoch and TK, the turn of a user at a gateway
// who fails or claims (table turns), that nobody has the RAND_PNGW, and by a foreign
// key that an owner is a user. Otherwise they are found anew.
//
// Durable is what the database calls so: whoever wants a commit to survive the loss of a
// machine sets synchronous_standby_names and leaves synchronous_commit on.
//
// It uses nothing that CockroachDB and YugabyteDB lack, but for the advisory lock of
// Tidy, which is there to spare work and no more. Neither has been tried.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"cpns.example.net/pngw/cpns/server"
)

// Store is a server.Store in a PostgreSQL database.
type Store struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	preparing sync.Mutex
	prepared  atomic.Bool // the schema is this program's

	groups    groups // of assignments
	clock     clock
	conflicts [2]atomic.Uint64 // transactions run again, by conflict

	closed  atomic.Bool
	stop    context.CancelFunc
	running sync.WaitGroup
}

var (
	_ server.Store = (*Store)(nil)
	_ server.Clock = (*Store)(nil)
)

// New makes a store of the database that c names, which Create has made. It does
// not connect yet: the first transaction does, or Prepare.
func New(c Config) (*Store, error) {
	pc, err := c.parse()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	pool, err := pgxpool.NewWithConfig(ctx, pc)
	if err != nil {
		stop()
		return nil, err
	}
	s := &Store{pool: pool, log: c.Log, stop: stop, groups: groups{busy: make(map[string]bool)}}
	s.running.Go(func() { s.keepTime(ctx) })
	return s, nil
}

// Create makes the tables in an empty database. It fails with fs.ErrExist where
// there are some already.
func Create(ctx context.Context, c Config) (*Store, error) {
	s, err := New(c)
	if err != nil {
		return nil, err
	}
	if err := s.withConn(ctx, create); err != nil {
		s.Close()
		return nil, fmt.Errorf("making the tables: %w", err)
	}
	s.prepared.Store(true)
	return s, nil
}

// Prepare connects, and brings the schema up to date. It fails with
// server.ErrUnavailable where the database cannot be reached, and with a
// *server.SchemaError where a newer program made it.
func (s *Store) Prepare(ctx context.Context) error {
	if s.prepared.Load() {
		return nil
	}
	s.preparing.Lock()
	defer s.preparing.Unlock()
	if s.prepared.Load() {
		return nil
	}
	if err := s.withConn(ctx, prepare); err != nil {
		return fmt.Errorf("opening the database: %w", err)
	}
	s.prepared.Store(true)
	s.synchronize(ctx)
	return nil
}

// Close closes the connections, after the transactions still running.
func (s *Store) Close() error {
	if s.closed.CompareAndSwap(false, true) {
		s.stop()
		s.running.Wait()
		s.pool.Close()
	}
	return nil
}

// How a transaction begins.
const (
	beginView   = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
	beginUpdate = "BEGIN ISOLATION LEVEL SERIALIZABLE"
	beginTidy   = "BEGIN ISOLATION LEVEL READ COMMITTED"
)

// View runs f on a snapshot of the database.
func (s *Store) View(ctx context.Context, f func(server.Tx) error) error {
	return s.again(ctx, true, func() error { return s.transact(ctx, beginView, f) })
}

// Update runs f as a serializable transaction.
func (s *Store) Update(ctx context.Context, f func(server.Tx) error) error {
	return s.again(ctx, false, func() error { return s.transact(ctx, beginUpdate, f) })
}

// Tidy runs f at READ COMMITTED, so that it makes no update run again, and at one
// server of all at a time.
func (s *Store) Tidy(ctx context.Context, f func(server.Tx) error) error {
	return s.again(ctx, false, func() error {
		return s.transact(ctx, beginTidy, func(t server.Tx) error {
			mine, err := get(t.(*tx), scanOne[bool], "SELECT pg_try_advisory_xact_lock($1)", tidyLock)
			if err != nil || !mine {
				return err
			}
			return f(t)
		})
	})
}

// tidyLock is the number of the advisory lock: "CPNSTIDY" in ASCII.
const tidyLock int64 = 0x43504e5354494459

// transact runs f in a transaction.
func (s *Store) transact(ctx context.Context, begin string, f func(server.Tx) error) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	return s.withConn(ctx, func(ctx context.Context, c *pgx.Conn) (err error) {
		t := &tx{ctx: ctx, conn: c, begin: begin}
		ended := false
		defer func() {
			if !ended { // f failed or panicked
				t.rollback()
			}
		}()
		if err := f(t); err != nil {
			if t.failed != nil { // whatever f made of it
				return t.failed
			}
			return err
		}
		if t.failed != nil {
			return t.failed
		}
		ended = true
		return t.commit()
	})
}

// withConn runs f on a connection. One that f leaves in a transaction is closed.
func (s *Store) withConn(ctx context.Context, f func(context.Context, *pgx.Conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if s.closed.Load() {
		return fs.ErrClosed
	}
	c, err := s.pool.Acquire(ctx)
	switch {
	case err == nil:
	case s.closed.Load():
		return fs.ErrClosed
	case errors.Is(err, context.DeadlineExceeded) && s.exhausted():
		return s.errExhausted(err)
	default:
		if err = explain(err); errors.Is(err, server.ErrUnavailable) {
			return err
		}
		return opaque(err.Error(), err)
	}
	defer c.Release()
	err = f(ctx, c.Conn())
	if readOnly(err) { // after a failover the next connection is another server's
		c.Conn().Close(ctx)
	}
	return explain(err)
}

// exhausted reports whether all connections are in use.
func (s *Store) exhausted() bool { return s.pool.Stat().AcquiredConns() == s.pool.Config().MaxConns }

func (s *Store) errExhausted(err error) error {
	return fmt.Errorf("all %d connections to the database are in use (pool_max_conns in --store is their number): %w: %w", s.pool.Config().MaxConns, server.ErrUnavailable, err)
}

// Stats counts what the store had to do again.
type Stats struct {
	SerializationFailures uint64 // SQLSTATE 40001
	Deadlocks             uint64 // SQLSTATE 40P01
	Connections, InUse    int
}

// Stats are those since the store was made.
func (s *Store) Stats() Stats {
	pool := s.pool.Stat()
	return Stats{
		SerializationFailures: s.conflicts[serialization].Load(),
		Deadlocks:             s.conflicts[deadlock].Load(),
		Connections:           int(pool.TotalConns()),
		InUse:                 int(pool.AcquiredConns()),
	}
}

// Conflicts are how many transactions were run again for SQLSTATE 40001 and 40P01.
func (s *Store) Conflicts() (serialization, deadlocks uint64) {
	st := s.Stats()
	return st.SerializationFailures, st.Deadlocks
}

// Pool is how many connections there are, and how many of them are in use.
func (s *Store) Pool() (open, inUse int) {
	st := s.Stats()
	return st.Connections, st.InUse
}

// within is a context of the store's own work, which nobody waits for long.
func within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, 5*time.Second)
}
