package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"cpns.example.net/pngw/cpns/server"
)

// tx is the server.Tx of a transaction. It has the context of the transaction
// itself, which is over when it is.
type tx struct {
	ctx    context.Context
	conn   *pgx.Conn
	begin  string // the statement that begins it, "" once that was sent
	failed error  // the first error that ended it
}

// start sends what begins the transaction together with its first statement, to
// save a journey. It says that there is nothing to begin any more.
func (t *tx) start(batch *pgx.Batch) {
	if t.begin != "" {
		batch.Queue(t.begin)
		t.begin = ""
	}
}

// fail remembers an error of the database's: PostgreSQL does nothing more in a
// transaction after one.
func (t *tx) fail(err error) error {
	if err == nil || errors.Is(err, pgx.ErrNoRows) {
		return noRow(err)
	}
	if t.failed == nil {
		t.failed = err
	}
	return err
}

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(sql string, args ...any) (int64, error) {
	tag, err := t.send(sql, args, nil)
	return tag.RowsAffected(), t.fail(err)
}

// send runs one statement, and reads its rows where read is not nil.
func (t *tx) send(sql string, args []any, read func(pgx.Rows) error) (tag pgconn.CommandTag, err error) {
	if t.failed != nil {
		return tag, t.failed
	}
	if t.begin == "" {
		if read == nil {
			return t.conn.Exec(t.ctx, sql, args...)
		}
		rows, err := t.conn.Query(t.ctx, sql, args...)
		if err != nil {
			return tag, err
		}
		return tag, errors.Join(read(rows), rows.Err())
	}
	batch := new(pgx.Batch)
	t.start(batch)
	batch.Queue(sql, args...)
	results := t.conn.SendBatch(t.ctx, batch)
	defer func() { err = firstOf(err, results.Close()) }()
	if _, err := results.Exec(); err != nil {
		return tag, err
	}
	if read == nil {
		return results.Exec()
	}
	rows, err := results.Query()
	if err != nil {
		return tag, err
	}
	return tag, errors.Join(read(rows), rows.Err())
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// insert runs an INSERT ... ON CONFLICT DO NOTHING of one row.
func (t *tx) insert(sql string, args ...any) error { return t.one(server.ErrExists, sql, args) }

// change runs an UPDATE or DELETE of one row.
func (t *tx) change(sql string, args ...any) error { return t.one(server.ErrNotFound, sql, args) }

func (t *tx) one(none error, sql string, args []any) error {
	n, err := t.exec(sql, args...)
	if err == nil && n == 0 {
		return none
	}
	return err
}

// A scanner reads the columns of a row from left to right.
type scanner[T any] func(scan func(...any) error) (T, error)

func scanOne[T any](scan func(...any) error) (v T, err error) { return v, scan(&v) }

// get scans the one row of a query.
func get[T any](t *tx, scan scanner[T], sql string, args ...any) (got T, err error) {
	all, err := list(t, scan, sql, args...)
	if err != nil {
		return got, err
	}
	if len(all) == 0 {
		return got, server.ErrNotFound
	}
	return all[0], nil
}

// list scans the rows of a query.
func list[T any](t *tx, scan scanner[T], sql string, args ...any) ([]T, error) {
	var all []T
	_, err := t.send(sql, args, func(rows pgx.Rows) error {
		defer rows.Close()
		for rows.Next() {
			v, err := scan(rows.Scan)
			if err != nil {
				return err
			}
			all = append(all, v)
		}
		return nil
	})
	if err := t.fail(err); err != nil {
		return nil, err
	}
	return all, nil
}

// commit ends the transaction.
func (t *tx) commit() error {
	if t.begin != "" {
		return nil // nothing was done
	}
	tag, err := t.conn.Exec(t.ctx, "COMMIT")
	if err != nil {
		if codeOf(err) == "" {
			return &commitError{err}
		}
		return err
	}
	if tag.String() != "COMMIT" {
		return fmt.Errorf("the database answered %s to COMMIT", tag)
	}
	return nil
}

// rollback ends the transaction, also where its context has ended: then the
// connection is closed, which ends it at the database too.
func (t *tx) rollback() {
	if t.begin != "" || t.conn.IsClosed() {
		return
	}
	ctx, cancel := within(context.WithoutCancel(t.ctx))
	defer cancel()
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		t.conn.Close(ctx)
	}
}

// How values lie in columns: times as milliseconds since 1970 UTC, as in package
// sqlite; 32 bytes as bytea; what others wrote without the bytes that a text may not
// have.

func millis(t time.Time) int64 { return t.UnixMilli() }

func timeOf(ms int64) time.Time { return time.UnixMilli(ms).UTC() }

// bytes32 is 32 bytes; a value of another size reads as zeros, which match nothing.
func bytes32(raw []byte) (b [32]byte) {
	if len(raw) == len(b) {
		copy(b[:], raw)
	}
	return b
}

// bytea is never NULL.
func bytea(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

func text(s string) string {
	return strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\ufffd"), "\ufffd")
}
