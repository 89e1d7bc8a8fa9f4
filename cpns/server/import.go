package server

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"

	"cpns.example.net/pngw/cpns"
)

// importRows bounds the rows of one file: they are held in memory, sealed, to be
// written at once.
const importRows = 250_000

// ImportOptions say what to do with an import.
type ImportOptions struct {
	Partial bool // import the good rows although others are bad
	DryRun  bool // check everything, import nothing
	// Bad is told of every bad row, in the order of the lines per check; nil
	// where nobody listens.
	Bad func(*RowError)
}

// A RowError is why one row of an import is bad. It never shows a TK.
type RowError struct {
	Line   int // from 1, the header
	Reason string
}

func (e *RowError) Error() string { return fmt.Sprintf("line %d: %s", e.Line, e.Reason) }

// ImportResult counts the rows of an import.
type ImportResult struct {
	Good, Bad int
	Imported  int // all good rows, or none
}

// ImportPNEs reads PNEs and their Temporary Keys as CSV (see csvReader), with an
// owner where the file has that column. Where a row is bad nothing is imported,
// unless Partial is set. Its own errors are those that make the whole import fail;
// a header that is none is a *RowError.
func (o *Operator) ImportPNEs(ctx context.Context, r io.Reader, opts ImportOptions) (ImportResult, error) {
	if opts.Bad == nil {
		opts.Bad = func(*RowError) {}
	}
	var result ImportResult
	bad := func(e *RowError) {
		result.Bad++
		opts.Bad(e)
	}
	// All is read before the transaction begins: the input may be slow, and a
	// running server waits for the store as long as the transaction lasts.
	rows, err := o.readPNEs(r, bad)
	if err != nil {
		return result, err
	}
	if rows, err = o.refuseSharedTKs(ctx, rows, bad); err != nil {
		return result, err
	}
	add := o.addPNEs
	if opts.DryRun {
		add = o.checkPNEs
	}
	refused, err := add(ctx, rows, func(refused int) bool { return result.Bad+refused > 0 && !opts.Partial })
	if err != nil && !errors.Is(err, errNotWanted) {
		return result, err
	}
	for _, e := range refused {
		bad(e)
	}
	result.Good = len(rows) - len(refused)
	if err == nil {
		result.Imported = result.Good
	}
	return result, nil
}

// errNotWanted rolls an import back that failed its check, or was only one.
var errNotWanted = errors.New("import not wanted")

// addPNEs adds the rows whose PNE the store does not know yet and whose owner it
// does, and returns the others as errors. Where unwanted says so of their number,
// it adds none and fails with errNotWanted.
func (o *Operator) addPNEs(ctx context.Context, rows []importRow, unwanted func(refused int) bool) (refused []*RowError, err error) {
	err = o.store.Update(ctx, func(tx Tx) error {
		refused = nil
		for _, row := range rows {
			reason, err := addPNE(tx, row)
			if err != nil {
				return err
			}
			if reason != "" {
				refused = append(refused, &RowError{row.line, reason})
			}
		}
		added := len(rows) - len(refused)
		if unwanted(len(refused)) || added == 0 {
			return errNotWanted
		}
		return tx.AddEvent(o.event(Event{Kind: EventPNEsImported, Detail: fmt.Sprintf("imported: %d", added)}))
	})
	return refused, err
}

// checkPNEs says which rows addPNEs would refuse. It only reads: gateways do not
// wait for a check.
func (o *Operator) checkPNEs(ctx context.Context, rows []importRow, _ func(int) bool) (refused []*RowError, err error) {
	err = o.store.View(ctx, func(tx Tx) error {
		refused = nil
		for _, row := range rows {
			reason, err := refusal(tx, row)
			if err != nil {
				return err
			}
			if reason != "" {
				refused = append(refused, &RowError{row.line, reason})
			}
		}
		return errNotWanted
	})
	return refused, err
}

// addPNE adds one row, or says why the store does not take it.
func addPNE(tx Tx, row importRow) (refused string, err error) {
	if refused, err := refusal(tx, row); refused != "" || err != nil {
		return refused, err
	}
	return "", tx.AddPNE(row.pne)
}

// refusal is why the store does not take a row, "" where it does.
func refusal(tx Tx, row importRow) (string, error) {
	if owner := row.pne.Owner; owner != "" {
		if _, err := tx.User(owner); errors.Is(err, ErrNotFound) {
			return fmt.Sprintf("owner: there is no user %s", owner), nil
		} else if err != nil {
			return "", err
		}
	}
	if _, err := tx.PNE(row.pne.Entity); err == nil {
		return fmt.Sprintf("PNE %s is known already", row.pne.Entity), nil
	} else if !errors.Is(err, ErrNotFound) {
		return "", err
	}
	return "", nil
}

// refuseSharedTKs returns the rows whose TK no other PNE in the store has, and tells
// bad of the others: two PNEs with one TK can be each other.
func (o *Operator) refuseSharedTKs(ctx context.Context, rows []importRow, bad func(*RowError)) ([]importRow, error) {
	if len(rows) == 0 {
		return nil, nil
	}
	byTK := make(map[tkDigest]*importRow, len(rows))
	for n := range rows {
		byTK[rows[n].digest] = &rows[n]
	}
	err := o.PNEs(ctx, PNEFilter{}, func(p PNE) error {
		tk, err := o.vault.open(columnTK, string(p.Entity), p.TK)
		if err != nil {
			return err
		}
		defer clear(tk)
		if row := byTK[digestOf(tk)]; row != nil && row.pne.Entity != p.Entity {
			row.sharedWith = p.Entity
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	good := rows[:0]
	for _, row := range rows {
		if row.sharedWith != "" {
			bad(&RowError{row.line, fmt.Sprintf("TK: PNE %s has the same", row.sharedWith)})
			continue
		}
		good = append(good, row)
	}
	return good, nil
}

// withTK is the PNE, other than e, that has the TK of a digest; "" for none.
func (o *Operator) withTK(ctx context.Context, digest tkDigest, e cpns.EntityID) (cpns.EntityID, error) {
	rows := []importRow{{pne: PNE{Entity: e}, digest: digest}}
	var shared cpns.EntityID
	_, err := o.refuseSharedTKs(ctx, rows, func(*RowError) { shared = rows[0].sharedWith })
	return shared, err
}

// An importRow is a row that is good in itself, its TK sealed.
type importRow struct {
	line       int
	pne        PNE
	digest     tkDigest
	sharedWith cpns.EntityID // in the store, "" where there is none
}

// A tkDigest finds a TK that is there twice. It never leaves the memory of the
// import.
type tkDigest [sha256.Size]byte

func digestOf(tk []byte) tkDigest { return sha256.Sum256(tk) }

// checkTK refuses keys that nobody drew: what an unwritten memory holds.
func checkTK(tk cpns.TK) error {
	for _, b := range tk {
		if b != tk[0] {
			return nil
		}
	}
	return errors.New("TK: all its bytes are the same, which is no key")
}

// readPNEs reads and seals the rows that are good in themselves and tells bad of
// the others.
func (o *Operator) readPNEs(r io.Reader, bad func(*RowError)) ([]importRow, error) {
	in, err := newCSVReader(r)
	if err != nil {
		return nil, err
	}
	var rows []importRow
	lineOf := make(map[cpns.EntityID]int)
	lineOfTK := make(map[tkDigest]int)
	created := o.now()
	for {
		row, err := in.next()
		if err == io.EOF {
			return rows, nil
		}
		if e, isRow := errors.AsType[*RowError](err); isRow {
			bad(e)
			continue
		}
		if err != nil {
			return nil, err
		}
		digest := digestOf(row.tk)
		if first, twice := lineOf[row.entity]; twice {
			bad(&RowError{row.line, fmt.Sprintf("PNE %s is on line %d already", row.entity, first)})
			continue
		}
		if first, twice := lineOfTK[digest]; twice {
			bad(&RowError{row.line, fmt.Sprintf("TK: line %d has the same", first)})
			continue
		}
		if len(rows) == importRows {
			return nil, fmt.Errorf("line %d: more than %d rows: split the file", row.line, importRows)
		}
		sealed, err := o.vault.seal(columnTK, string(row.entity), row.tk)
		clear(row.tk)
		if err != nil {
			return nil, err
		}
		lineOf[row.entity], lineOfTK[digest] = row.line, row.line
		rows = append(rows, importRow{line: row.line, digest: digest,
			pne: PNE{Entity: row.entity, TK: sealed, Owner: row.owner, Created: created}})
	}
}
