// Package sqlite keeps what a CPNS Server knows in one SQLite file: a
// server.Store without cgo, for a server on one machine. Several processes may
// have the file open; writers wait for each other.
//
// A transaction is durable once it is committed: the file is in WAL mode with
// synchronous=FULL, so that each commit ends with an fsync of the log. What is
// deleted is overwritten in the file (secure_delete).
package sqlite

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ncruces/go-sqlite3"

	"cpns.example.net/pngw/cpns/server"
)

const (
	busyTimeout = 10 * time.Second // that a writer waits for one of another process
	readers     = 4                // connections for View
	logPages    = 2000             // of the log, of 4 KiB, after which they are moved into the file
	cacheKiB    = 8192             // of pages that the writer keeps: the upper ones of a million devices
)

// Store is a server.Store in an SQLite file.
type Store struct {
	path string      // of the database, absolute
	file fs.FileInfo // that was opened

	// One connection writes, so that this process's writers queue here and not
	// in SQLite, where waiters poll.
	writer, readers pool
	queue           queue         // of updates
	groupTime       time.Duration // after which a group of them takes nobody in any more

	closing chan struct{} // closed by Close
	close   func() error
}

var _ server.Store = (*Store)(nil)

// Create makes a new database file, with mode 0600. It fails with fs.ErrExist
// where there is a file already.
func Create(ctx context.Context, path string) (*Store, error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := f.Close(); err != nil {
		return nil, err
	}
	return open(ctx, path)
}

// Open opens a database file that Create made, and brings its schema up to date.
// It fails with fs.ErrNotExist where there is none: it never makes one. One that
// a newer program made fails with a *server.SchemaError.
func Open(ctx context.Context, path string) (*Store, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.Size() == 0 {
		return nil, fmt.Errorf("%s is empty: not the database of a CPNS Server", path)
	}
	return open(ctx, path)
}

func open(ctx context.Context, path string) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("opening %s: %w", path, diagnose(path, explain(err)))
		}
	}()
	path, err = filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	s := &Store{path: path, groupTime: groupTime, closing: make(chan struct{})}
	s.close = sync.OnceValue(func() error {
		close(s.closing)
		return errors.Join(s.readers.close(), s.writer.close())
	})
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	s.writer, err = connectPool(ctx, path, 1, fmt.Sprintf("query_only(off)&_pragma=cache_size(-%d)", cacheKiB))
	if err != nil {
		return nil, err
	}
	for _, prepare := range []func(*conn) error{check, useLog, migrate} {
		if err := s.withConn(ctx, s.writer, prepare); err != nil {
			return nil, err
		}
	}
	if err := settle(path); err != nil {
		return nil, err
	}
	s.readers, err = connectPool(ctx, path, readers, "query_only(on)")
	if err != nil {
		return nil, err
	}
	s.file, err = os.Stat(path)
	return s, err
}

// inPlace fails where the file is no longer where it was opened: what is written into one
// that was moved away is missing where everybody looks for it. Once it is back, all is
// well again.
func (s *Store) inPlace() error {
	if s.file == nil { // it is being opened
		return nil
	}
	switch now, err := os.Stat(s.path); {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("%s was moved away, or removed, while this program had it open, and nothing is written: put it back where it was, or start the program again on what is to count", s.path)
	case err != nil:
		return err
	case !os.SameFile(now, s.file):
		return fmt.Errorf("%s is not the file that this program has open, and nothing is written: put that back, or start the program again on this one", s.path)
	}
	return nil
}

// useLog puts the file into WAL mode, which it remembers.
func useLog(c *conn) error {
	stmt, _, err := c.Prepare("PRAGMA journal_mode = wal")
	if err != nil {
		return err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return cmp.Or(stmt.Err(), errors.New("the journal mode is not known"))
	}
	if mode := stmt.ColumnText(0); mode != "wal" {
		return fmt.Errorf("the journal mode is %q: this file system cannot hold the database", mode)
	}
	return nil
}

// settle makes the files beside the database durable and private. They stay as
// long as a connection is open. The driver gives the index of the log the mode
// that the umask allows, and syncs the log only, not the folder that names it.
func settle(path string) error {
	for _, suffix := range []string{"-wal", "-shm"} {
		if err := os.Chmod(path+suffix, 0o600); err != nil {
			return err
		}
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	return dir.Sync()
}

// Close closes the file, after the transactions still running. SQLite then moves
// what is in the log into it.
func (s *Store) Close() error { return s.close() }

// View runs f on a snapshot of the database.
func (s *Store) View(ctx context.Context, f func(server.Tx) error) error {
	return s.withConn(ctx, s.readers, func(c *conn) error { return c.transact("BEGIN", f) })
}

// Tidy runs f as Update does: processes take turns.
func (s *Store) Tidy(ctx context.Context, f func(server.Tx) error) error { return s.Update(ctx, f) }

// withConn runs f on a connection of p. What takes long ends with the context.
func (s *Store) withConn(ctx context.Context, p pool, f func(*conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.closing:
		return fs.ErrClosed
	case c := <-p:
		defer func() { p <- c }()
		if err := s.inPlace(); err != nil {
			return err
		}
		defer c.SetInterrupt(c.SetInterrupt(ctx))
		return s.diagnose(ctx, f(c))
	case <-ctx.Done():
		return ctx.Err()
	}
}

// diagnose says what an error is that a transaction with a context has ended with.
func (s *Store) diagnose(ctx context.Context, err error) error {
	if ctx.Err() != nil && errors.Is(err, sqlite3.INTERRUPT) {
		return fmt.Errorf("%w: %w", ctx.Err(), err)
	}
	return diagnose(s.path, err)
}

// A pool holds the connections that are not in use. Closing it waits for the
// others.
type pool chan *conn

func connectPool(ctx context.Context, path string, size int, pragma string) (pool, error) {
	p := make(pool, size)
	for range size {
		c, err := connect(ctx, path, pragma)
		if err != nil {
			p.drain(len(p))
			return nil, err
		}
		p <- c
	}
	return p, nil
}

func (p pool) close() error { return p.drain(cap(p)) }

func (p pool) drain(n int) error {
	var errs []error
	for range n {
		errs = append(errs, (<-p).Close())
	}
	return errors.Join(errs...)
}

// connect opens the file at path, an absolute one. It has to exist.
func connect(ctx context.Context, path, pragma string) (*conn, error) {
	uri := url.URL{Scheme: "file", Path: path, RawQuery: fmt.Sprintf("mode=rw&modeof=%s"+
		"&_pragma=busy_timeout(%d)&_pragma=synchronous(full)&_pragma=wal_autocheckpoint(%d)"+
		"&_pragma=foreign_keys(on)&_pragma=secure_delete(on)&_pragma=trusted_schema(off)&_pragma=%s",
		strings.ReplaceAll(url.QueryEscape(path), "+", "%20"), busyTimeout.Milliseconds(), logPages, pragma)}
	c, err := sqlite3.OpenContext(ctx, uri.String())
	if err != nil {
		return nil, err
	}
	c.SetInterrupt(context.Background())
	// A statement is compiled once, and not anew for each value of a range in it.
	if _, err := c.Config(sqlite3.DBCONFIG_ENABLE_QPSG, true); err != nil {
		c.Close()
		return nil, err
	}
	return &conn{Conn: c, prepared: make(map[string]*sqlite3.Stmt)}, nil
}

// explain says what a person can do about the errors that SQLite has for every day.
func explain(err error) error {
	if _, known := errors.AsType[*diskError](err); known {
		return err
	}
	switch {
	case errors.Is(err, sqlite3.FULL):
		return &diskError{syscall.ENOSPC, err}
	case errors.Is(err, sqlite3.BUSY):
		return fmt.Errorf("another process has been writing to the database for %v: %w", busyTimeout, err)
	case errors.Is(err, sqlite3.READONLY):
		return fmt.Errorf("the database cannot be written to (%w): %w", fs.ErrPermission, err)
	case errors.Is(err, sqlite3.CANTOPEN):
		return fmt.Errorf("the database or its folder cannot be opened (%w): %w", fs.ErrPermission, err)
	case errors.Is(err, sqlite3.CORRUPT), errors.Is(err, sqlite3.NOTADB):
		return fmt.Errorf("the database is damaged, restore it from a backup: %w", err)
	}
	return err
}
