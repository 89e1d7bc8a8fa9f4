package postgres

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/internal/sleep"
)

// Conflicts that are counted.
const (
	serialization = iota
	deadlock
)

// How often a transaction is repeated, and after how long at first and at most: each time
// after a random part of a wait that doubles.
const (
	conflictsMost   = 12
	constraintsMost = 3 // a constraint that a concurrent transaction may have broken
	lostMost        = 2 // connections that were lost before the commit
	firstWait       = 2 * time.Millisecond
	longestWait     = 200 * time.Millisecond
)

// codeOf is the SQLSTATE of an error, "" for one that is not the database's.
func codeOf(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// again runs a transaction, and repeats it if it fails because of concurrent transactions.
// If the connection is lost it also repeats it, unless it may have been committed;
// transactions that only read can always be repeated.
func (s *Store) again(ctx context.Context, reads bool, transact func() error) error {
	constraints, lost := 0, 0
	for n := 0; ; n++ {
		err := transact()
		if err == nil || ctx.Err() != nil {
			return err
		}
		switch code := codeOf(err); {
		case code == "40001" || errors.Is(err, errConflict):
			s.conflicts[serialization].Add(1)
		case code == "40P01":
			s.conflicts[deadlock].Add(1)
		case code == "23505" || code == "23503":
			if constraints++; constraints > constraintsMost {
				return err
			}
		case isLost(err):
			if _, unknown := errors.AsType[*commitError](err); unknown && !reads {
				return err
			}
			if lost++; lost > lostMost {
				return err
			}
		default:
			return err
		}
		if n == conflictsMost {
			return fmt.Errorf("%w: %d conflicts with other transactions in a row: %w", server.ErrUnavailable, n, err)
		}
		if err := sleep.For(ctx, rand.N(min(firstWait<<n, longestWait))+1); err != nil {
			return err
		}
	}
}

// A commitError says that a connection was lost while the commit was under way.
type commitError struct{ err error }

func (e *commitError) Error() string {
	return "it is not known whether the database has committed: " + e.err.Error()
}
func (e *commitError) Unwrap() error { return e.err }

// isLost reports whether an established connection ended.
func isLost(err error) bool {
	if e, ok := errors.AsType[*explained](err); ok {
		return e.lost
	}
	if _, dialed := errors.AsType[*pgconn.ConnectError](err); dialed {
		return false // it has been tried just now
	}
	switch code := codeOf(err); {
	case code == "57P01", code == "57P02", readOnly(err), strings.HasPrefix(code, "08"):
		return true
	case code != "":
		return false
	}
	_, network := errors.AsType[*net.OpError](err)
	return network || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || pgconn.SafeToRetry(err)
}

// readOnly is whether the database takes no writes. One that has been a standby since its
// start knows no serializable transactions (0A000), which updates are, and does not come to
// refuse a write (25006).
func readOnly(err error) bool {
	code := codeOf(err)
	return code == "25006" || code == "0A000"
}

// explained is an error with a message for people. It wraps no error of the file system:
// a missing socket, or a missing password file, must not look like server.ErrNotFound.
type explained struct {
	text string
	lost bool // an established connection
	errs []error
}

func (e *explained) Error() string   { return e.text }
func (e *explained) Unwrap() []error { return e.errs }

// opaque makes an explained error that says which of the errors that callers ask for
// it is.
func opaque(text string, err error, kinds ...error) error {
	e := &explained{text: text, lost: isLost(err), errs: kinds}
	for _, kind := range []error{context.Canceled, context.DeadlineExceeded, fs.ErrClosed} {
		if errors.Is(err, kind) {
			e.errs = append(e.errs, kind)
		}
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		e.errs = append(e.errs, pg)
	}
	if unknown, ok := errors.AsType[*commitError](err); ok {
		e.errs = append(e.errs, &commitError{errors.New(unknown.Error())})
	}
	return e
}

// explain adds what a person can do to common errors of a database. Errors that may be
// temporary are server.ErrUnavailable.
func explain(err error) error {
	if _, done := errors.AsType[*explained](err); done || err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	say := func(kind error, text string) error {
		text += ": " + cause(err)
		if kind == nil {
			return opaque(text, err)
		}
		return opaque(text, err, kind)
	}
	code := codeOf(err)
	switch {
	case code == "28P01", code == "28000":
		return say(nil, "the database refuses the user or the password (--store, --store-password-file, pgpass)")
	case code == "3D000":
		return say(nil, "there is no such database: createdb makes one")
	case code == "42501":
		return say(nil, "the database forbids it: the user has to own the database, or its schema")
	case readOnly(err):
		return say(server.ErrUnavailable, "the database can only be read: it is a standby, or set read-only")
	case code == "53100":
		return say(errors.Join(server.ErrUnavailable, syscall.ENOSPC), "the database's disk is full")
	case code == "53300":
		return say(server.ErrUnavailable, "the database takes no more connections (max_connections)")
	case code == "57P03":
		return say(server.ErrUnavailable, "the database is starting or stopping")
	case code == "57014":
		return say(server.ErrUnavailable, "the database ended the transaction, for it took too long or somebody cancelled it")
	case strings.HasPrefix(code, "53"), strings.HasPrefix(code, "57"), strings.HasPrefix(code, "58"), strings.HasPrefix(code, "08"):
		return say(server.ErrUnavailable, "the database is not well")
	case code != "":
		return err
	}
	if _, dialed := errors.AsType[*pgconn.ConnectError](err); dialed {
		if isCertificate(err) {
			return say(nil, "the database's certificate is not to be trusted (sslmode, sslrootcert)")
		}
		return say(server.ErrUnavailable, "the database cannot be reached")
	}
	if isLost(err) || errors.Is(err, context.DeadlineExceeded) {
		return say(server.ErrUnavailable, "the database did not answer")
	}
	return err
}

// isCertificate reports whether TLS failed because of the other end's certificate.
func isCertificate(err error) bool {
	text := err.Error()
	return strings.Contains(text, "x509:") || strings.Contains(text, "certificate")
}

// cause is an error of pgx's in one line.
func cause(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}

// noRow is what get answers where there is none.
func noRow(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return fs.ErrNotExist
	}
	return err
}
