package sqlite

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/ncruces/go-sqlite3"

	"cpns.example.net/pngw/cpns/server"
)

// A conn is a connection and the statements that it has prepared: parsing one
// takes longer than running it.
type conn struct {
	*sqlite3.Conn
	prepared map[string]*sqlite3.Stmt
	commits  atomic.Uint64 // of groups of updates
}

// Close closes the connection and what it has prepared.
func (c *conn) Close() error {
	for _, stmt := range c.prepared {
		stmt.Close()
	}
	return c.Conn.Close()
}

// transact runs f in a transaction that begin begins.
func (c *conn) transact(begin string, f func(server.Tx) error) error {
	if err := c.run(begin); err != nil {
		return explain(err)
	}
	committed := false
	defer func() {
		if !committed { // f failed or panicked, or the commit failed
			c.rollback()
		}
	}()
	if err := f(&tx{c}); err != nil {
		return err
	}
	if err := c.run("COMMIT"); err != nil {
		return explain(err)
	}
	committed = true
	return nil
}

// rollback ends the transaction, also where its context has ended. Some errors
// have ended it already.
func (c *conn) rollback() {
	if c.GetAutocommit() {
		return
	}
	defer c.SetInterrupt(c.SetInterrupt(context.Background()))
	c.Exec("ROLLBACK")
}

// tx is the server.Tx of the transaction that its connection is in.
type tx struct{ *conn }

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(sql string, args ...any) (int64, error) {
	stmt, err := t.statement(sql)
	if err != nil {
		return 0, err
	}
	if err := bind(stmt, args); err != nil {
		return 0, err
	}
	before := t.TotalChanges()
	if err := stmt.Exec(); err != nil {
		return 0, explain(err)
	}
	return t.TotalChanges() - before, nil
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

// get scans the one row of a query.
func get[T any](t *tx, scan func(*row) T, sql string, args ...any) (got T, err error) {
	stmt, err := t.statement(sql)
	if err != nil {
		return got, err
	}
	if err := bind(stmt, args); err != nil {
		return got, err
	}
	defer stmt.Reset()
	if stmt.Step() {
		return scan(&row{Stmt: stmt}), nil
	}
	if err := stmt.Err(); err != nil {
		return got, explain(err)
	}
	return got, server.ErrNotFound
}

// list scans the rows of a query.
func list[T any](t *tx, scan func(*row) T, sql string, args ...any) ([]T, error) {
	stmt, err := t.statement(sql)
	if err != nil {
		return nil, err
	}
	if err := bind(stmt, args); err != nil {
		return nil, err
	}
	defer stmt.Reset()
	var rows []T
	for stmt.Step() {
		rows = append(rows, scan(&row{Stmt: stmt}))
	}
	if err := stmt.Err(); err != nil {
		return nil, explain(err)
	}
	return rows, nil
}

// statement is the prepared statement for sql, made at its first use.
func (c *conn) statement(sql string) (*sqlite3.Stmt, error) {
	if stmt, ok := c.prepared[sql]; ok {
		return stmt, nil
	}
	stmt, _, err := c.PrepareFlags(sql, sqlite3.PREPARE_PERSISTENT)
	if err != nil {
		return nil, explain(err)
	}
	c.prepared[sql] = stmt
	return stmt, nil
}

// bind sets the parameters of a statement. None is ever NULL.
func bind(stmt *sqlite3.Stmt, args []any) error {
	for i, arg := range args {
		var err error
		switch arg := arg.(type) {
		case string:
			err = stmt.BindText(i+1, arg)
		case []byte:
			if arg == nil {
				arg = []byte{}
			}
			err = stmt.BindBlob(i+1, arg)
		case int64:
			err = stmt.BindInt64(i+1, arg)
		case time.Time:
			err = stmt.BindInt64(i+1, arg.UnixMilli())
		default:
			err = fmt.Errorf("cannot bind a %T", arg)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// A row reads the columns of a result from left to right.
type row struct {
	*sqlite3.Stmt
	next int
}

func (r *row) column() int { r.next++; return r.next - 1 }

func (r *row) text() string    { return r.ColumnText(r.column()) }
func (r *row) blob() []byte    { return r.ColumnBlob(r.column(), nil) }
func (r *row) int() int64      { return r.ColumnInt64(r.column()) }
func (r *row) time() time.Time { return time.UnixMilli(r.int()).UTC() }

// bytes32 reads a blob of 32 bytes; one of another size reads as zeros, which
// match nothing.
func (r *row) bytes32() (b [32]byte) {
	if raw := r.blob(); len(raw) == len(b) {
		copy(b[:], raw)
	}
	return b
}
