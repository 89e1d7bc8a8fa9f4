package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"cpns.example.net/pngw/cpns"
)

// importRows bounds the rows of one file: of each 32 bytes are held in memory, by which the
// ones that are there twice are found. All else waits, sealed, in a spool.
const importRows = 1_200_000

// ImportOptions say what to do with an import.
type ImportOptions struct {
	Partial bool // import the good rows although others are bad
	DryRun  bool // check everything, import nothing
	// Resume passes over rows whose PNE is there already with the same Temporary Key, and
	// with the owner that the row names, if it names one: an import that broke off left
	// them.
	Resume bool
	// Bad is told of every bad row, in the order of the lines per check; nil
	// where nobody listens.
	Bad func(*RowError)
	// Progress is told how many of the good rows have been written, after each batch, and
	// Read how many of all have been read, now and then; nil where nobody listens.
	Progress func(written, of int)
	Read     func(rows int)
	// Checked is told how many of the rows the server has checked, where they are sent to
	// one in parts; nil where nobody listens.
	Checked func(checked, of int)
}

// A RowError is why one row of an import is bad. It never shows a TK.
type RowError struct {
	Line   int // from 1, the header
	Reason string
}

func rowErrorf(line int, format string, args ...any) *RowError {
	return &RowError{line, fmt.Sprintf(format, args...)}
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ImportResult counts the rows of an import.
type ImportResult struct {
	Good, Bad int
	Imported  int // all good rows, or none; where the import fails, those of the batches before
	There     int // passed over, for they were there already
}

// ImportPNEs reads PNEs and their Temporary Keys as CSV (see csvReader), with an
// owner where the file has that column. Where a row is bad nothing is imported,
// unless Partial is set. Many rows are written in batches: an import that fails in the
// middle leaves those before, and the same file with Partial imports the others. Its own errors are those that make the whole import fail;
// a header that is none is a *RowError.
func (o *Operator) ImportPNEs(ctx context.Context, r io.Reader, opts ImportOptions) (ImportResult, error) {
	in, err := newCSVReader(r)
	if err != nil {
		return ImportResult{}, err
	}
	return o.importFrom(ctx, in, opts)
}

// importFrom imports what a file or a program has.
func (o *Operator) importFrom(ctx context.Context, in rowReader, opts ImportOptions) (ImportResult, error) {
	if opts.Bad == nil {
		opts.Bad = func(*RowError) {}
	}
	if opts.Read == nil {
		opts.Read = func(int) {}
	}
	var result ImportResult
	bad := func(e *RowError) {
		result.Bad++
		opts.Bad(e)
	}
	// All is read before the transaction begins: the input may be slow, and a
	// running server waits for the store as long as the transaction lasts.
	rows, err := o.stage(in, opts.Read, bad)
	if err != nil {
		return result, err
	}
	defer rows.close()
	if err := o.refuseSharedTKs(ctx, rows, bad); err != nil {
		return result, err
	}
	if err := o.checkPNEs(ctx, rows, opts.Resume, &result, bad); err != nil {
		return result, err
	}
	if opts.DryRun || result.Good == 0 || result.Bad > 0 && !opts.Partial {
		return result, nil
	}
	return result, o.addPNEs(ctx, rows, opts, &result, bad)
}

// How an import is written: in batches that hold the store no longer than a gateway
// may wait.
const (
	batchFirst = 100
	batchMost  = 5000
	batchTime  = 50 * time.Millisecond // that a batch should take; four times that is the most it may grow by
)

// addPNEs adds rows in batches, each with its audit event. Those that the store does
// not take, for it has changed since they were checked, are told to bad. What a batch
// has added stays where a later one fails.
func (o *Operator) addPNEs(ctx context.Context, rows *stagedRows, opts ImportOptions, result *ImportResult, bad func(*RowError)) error {
	of, done := result.Good, 0
	return rows.inBatches(func() int { return rows.batch }, func(batch []importRow) error {
		var all []verdict
		added := 0
		begin := time.Now()
		err := o.store.Update(ctx, func(tx Tx) error {
			under, err := o.vault.currentIn(tx)
			if err != nil {
				return err
			}
			for _, row := range batch {
				if id, _ := row.pne.TK.idOf(); id != under {
					return ErrRekeyed
				}
			}
			if all, err = o.verdicts(tx, batch, opts.Resume); err != nil {
				return err
			}
			var pnes []PNE
			for n, v := range all {
				if v.taken() {
					pnes = append(pnes, batch[n].pne)
				}
			}
			if known, err := tx.AddPNEs(pnes); err != nil {
				return err
			} else if len(known) > 0 {
				return fmt.Errorf("adding PNE %s: %w", known[0], ErrExists)
			}
			if added = len(pnes); added == 0 {
				return nil
			}
			return tx.AddEvent(o.event(Event{Kind: EventPNEsImported, Detail: fmt.Sprintf("imported: %d", added)}))
		})
		if err != nil {
			return err
		}
		for _, v := range all {
			if v.refused != nil {
				bad(v.refused)
			} else if v.there {
				result.There++
			}
		}
		result.Good -= len(batch) - added
		result.Imported += added
		done += len(batch)
		if opts.Progress != nil {
			opts.Progress(done, of)
		}
		took := max(time.Since(begin), time.Millisecond)
		size := int64(rows.batch)
		rows.batch = int(min(max(size*int64(batchTime)/int64(took), size/4, 20), size*4, batchMost))
		return nil
	})
}

// checkPNEs parts the rows that the store would take now from the others. It only
// reads: gateways do not wait for a check.
func (o *Operator) checkPNEs(ctx context.Context, rows *stagedRows, resume bool, result *ImportResult, bad func(*RowError)) error {
	return rows.inBatches(func() int { return pageRows }, func(page []importRow) error {
		var all []verdict
		err := o.store.View(ctx, func(tx Tx) (err error) {
			all, err = o.verdicts(tx, page, resume)
			return err
		})
		for n, v := range all {
			switch {
			case v.refused != nil:
				bad(v.refused)
			case v.there:
				result.There++
			default:
				result.Good++
				continue
			}
			rows.skip(page[n].number)
		}
		return err
	})
}

// A verdict is what the store says of a row: it takes it, or does not, or, where an import
// is resumed, has it already as the row is.
type verdict struct {
	refused *RowError
	there   bool
}

func (v *verdict) taken() bool { return v.refused == nil && !v.there }

// verdicts are those on rows, one each.
func (o *Operator) verdicts(tx Tx, rows []importRow, resume bool) ([]verdict, error) {
	entities := make([]cpns.EntityID, len(rows))
	for n, row := range rows {
		entities[n] = row.pne.Entity
	}
	found, err := tx.PNEsAmong(entities)
	if err != nil {
		return nil, err
	}
	known := make(map[cpns.EntityID]PNE, len(found))
	for _, p := range found {
		known[p.Entity] = p
	}
	users := map[cpns.UserID]bool{"": true}
	all := make([]verdict, len(rows))
	for n, row := range rows {
		owner := row.pne.Owner
		if _, asked := users[owner]; !asked {
			_, err := tx.User(owner)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, err
			}
			users[owner] = err == nil
		}
		p, isKnown := known[row.pne.Entity]
		same := false
		if isKnown && resume && (owner == "" || owner == p.Owner) {
			if same, err = o.hasTK(&p, row.digest); err != nil {
				return nil, err
			}
		}
		switch {
		case !users[owner]:
			all[n].refused = rowErrorf(row.line, "owner: there is no user %s", owner)
		case same:
			all[n].there = true
		case isKnown:
			all[n].refused = rowErrorf(row.line, "PNE %s is known already", row.pne.Entity)
		}
	}
	return all, nil
}

// hasTK says whether a PNE has the TK of a digest.
func (o *Operator) hasTK(p *PNE, digest tkDigest) (bool, error) {
	tk, err := o.vault.open(columnTK, string(p.Entity), p.TK)
	if err != nil {
		return false, err
	}
	defer clear(tk)
	return digestOf(tk) == digest, nil
}

// refuseSharedTKs tells bad of the rows whose TK another PNE in the store has: two PNEs
// with one TK can be each other.
func (o *Operator) refuseSharedTKs(ctx context.Context, rows *stagedRows, bad func(*RowError)) error {
	if rows.count == 0 {
		return nil
	}
	with := make(map[int]cpns.EntityID) // by line
	err := o.eachTK(ctx, func(e cpns.EntityID, digest tkDigest) error {
		if line, there := rows.seen.lineOfTK[digest]; there && rows.seen.lineOf[idDigest(e)] != line {
			with[int(line)] = e
		}
		return nil
	})
	if err != nil || len(with) == 0 {
		return err
	}
	return rows.each(func(row *importRow) error {
		if e, shared := with[row.line]; shared {
			rows.skip(row.number)
			bad(rowErrorf(row.line, "TK: PNE %s has the same", e))
		}
		return nil
	})
}

// eachTK calls f with the digest of every PNE's TK, until f fails.
func (o *Operator) eachTK(ctx context.Context, f func(cpns.EntityID, tkDigest) error) error {
	return o.PNEs(ctx, PNEFilter{}, func(p PNE) error {
		tk, err := o.vault.open(columnTK, string(p.Entity), p.TK)
		if err != nil {
			return err
		}
		defer clear(tk)
		return f(p.Entity, digestOf(tk))
	})
}

// withTK is the PNE, other than e, that has the TK of a digest; "" for none.
func (o *Operator) withTK(ctx context.Context, digest tkDigest, e cpns.EntityID) (shared cpns.EntityID, err error) {
	found := errors.New("found")
	err = o.eachTK(ctx, func(other cpns.EntityID, has tkDigest) error {
		if has == digest && other != e {
			shared = other
			return found
		}
		return nil
	})
	if err == found {
		err = nil
	}
	return shared, err
}

// A tkDigest finds a TK that is there twice. It never leaves the import: what of it is in a
// file lies under a key of the moment.
type tkDigest [16]byte

func digestOf(tk []byte) tkDigest {
	sum := sha256.Sum256(tk)
	return tkDigest(sum[:16])
}

// CheckTK refuses keys that nobody drew: what an unwritten memory holds.
func CheckTK(tk cpns.TK) error {
	for _, b := range tk {
		if b != tk[0] {
			return nil
		}
	}
	return refused("TK: all its bytes are the same, which is no key")
}
