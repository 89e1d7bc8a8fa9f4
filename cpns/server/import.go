package server

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"time"

	"cpns.example.net/pngw/cpns"
)

// importRows bounds the rows of one file: they are held in memory, sealed, so that all
// is checked before anything is written. A million take about 700 MB.
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
	// Progress is told how many of the good rows have been written, after each batch;
	// nil where nobody listens.
	Progress func(written, of int)
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
	var result ImportResult
	bad := func(e *RowError) {
		result.Bad++
		opts.Bad(e)
	}
	// All is read before the transaction begins: the input may be slow, and a
	// running server waits for the store as long as the transaction lasts.
	rows, err := o.readPNEs(in, bad)
	if err != nil {
		return result, err
	}
	if rows, err = o.refuseSharedTKs(ctx, rows, bad); err != nil {
		return result, err
	}
	good, refused, there, err := o.checkPNEs(ctx, rows, opts.Resume)
	if err != nil {
		return result, err
	}
	for _, e := range refused {
		bad(e)
	}
	result.Good, result.There = len(good), there
	if opts.DryRun || len(good) == 0 || result.Bad > 0 && !opts.Partial {
		return result, nil
	}
	return result, o.addPNEs(ctx, good, opts, &result, bad)
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
func (o *Operator) addPNEs(ctx context.Context, rows []importRow, opts ImportOptions, result *ImportResult, bad func(*RowError)) error {
	size := batchFirst
	for at := 0; at < len(rows); {
		batch := rows[at:min(at+size, len(rows))]
		var refused []*RowError
		there := 0
		begin := time.Now()
		err := o.store.Update(ctx, func(tx Tx) error {
			refused, there = nil, 0
			under, err := o.vault.currentIn(tx)
			if err != nil {
				return err
			}
			for _, row := range batch {
				if id, _ := row.pne.TK.idOf(); id != under {
					return ErrRekeyed
				}
			}
			taken, not, same, err := o.verdicts(tx, batch, opts.Resume)
			if err != nil {
				return err
			}
			refused, there = not, same
			pnes := make([]PNE, len(taken))
			for n, row := range taken {
				pnes[n] = row.pne
			}
			if known, err := tx.AddPNEs(pnes); err != nil {
				return err
			} else if len(known) > 0 {
				return fmt.Errorf("adding PNE %s: %w", known[0], ErrExists)
			}
			added := len(batch) - len(refused) - there
			if added == 0 {
				return nil
			}
			return tx.AddEvent(o.event(Event{Kind: EventPNEsImported, Detail: fmt.Sprintf("imported: %d", added)}))
		})
		if err != nil {
			return err
		}
		for _, e := range refused {
			bad(e)
		}
		result.Good -= len(refused) + there
		result.There += there
		result.Imported += len(batch) - len(refused) - there
		at += len(batch)
		if opts.Progress != nil {
			opts.Progress(at, len(rows))
		}
		took := max(time.Since(begin), time.Millisecond)
		size = int(min(max(int64(size)*int64(batchTime)/int64(took), int64(size)/4, 20), int64(size)*4, batchMost))
	}
	return nil
}

// checkPNEs parts the rows that the store would take now from the others. It only
// reads: gateways do not wait for a check.
func (o *Operator) checkPNEs(ctx context.Context, rows []importRow, resume bool) (good []importRow, refused []*RowError, there int, err error) {
	good = rows[:0] // what was read comes before what is written there
	for at := 0; at < len(rows); at += pageRows {
		var taken []importRow
		var not []*RowError
		same := 0
		err := o.store.View(ctx, func(tx Tx) (err error) {
			taken, not, same, err = o.verdicts(tx, rows[at:min(at+pageRows, len(rows))], resume)
			return err
		})
		if err != nil {
			return nil, nil, 0, err
		}
		good, refused, there = append(good, taken...), append(refused, not...), there+same
	}
	return good, refused, there, nil
}

// verdicts parts rows by what the store has: those that it takes, those that it does
// not, and how many, where an import is resumed, are there already as the row has them.
func (o *Operator) verdicts(tx Tx, rows []importRow, resume bool) (taken []importRow, refused []*RowError, there int, err error) {
	entities := make([]cpns.EntityID, len(rows))
	for n, row := range rows {
		entities[n] = row.pne.Entity
	}
	found, err := tx.PNEsAmong(entities)
	if err != nil {
		return nil, nil, 0, err
	}
	known := make(map[cpns.EntityID]PNE, len(found))
	for _, p := range found {
		known[p.Entity] = p
	}
	users := map[cpns.UserID]bool{"": true}
	for _, row := range rows {
		owner := row.pne.Owner
		if _, asked := users[owner]; !asked {
			_, err := tx.User(owner)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return nil, nil, 0, err
			}
			users[owner] = err == nil
		}
		p, isKnown := known[row.pne.Entity]
		same := false
		if isKnown && resume && (owner == "" || owner == p.Owner) {
			if same, err = o.hasTK(&p, row.digest); err != nil {
				return nil, nil, 0, err
			}
		}
		switch {
		case !users[owner]:
			refused = append(refused, &RowError{row.line, fmt.Sprintf("owner: there is no user %s", owner)})
		case same:
			there++
		case isKnown:
			refused = append(refused, &RowError{row.line, fmt.Sprintf("PNE %s is known already", row.pne.Entity)})
		default:
			taken = append(taken, row)
		}
	}
	return taken, refused, there, nil
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

// readPNEs reads and seals the rows that are good in themselves and tells bad of
// the others.
func (o *Operator) readPNEs(in rowReader, bad func(*RowError)) ([]importRow, error) {
	var rows []importRow
	var twice doubles
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
		if e := twice.find(row); e != nil {
			bad(e)
			continue
		}
		if most := cmp.Or(o.importMost, importRows); len(rows) == most {
			return nil, refused("line %d: more than %d rows: split the file", row.line, most)
		}
		sealed, err := o.vault.seal(columnTK, string(row.entity), row.tk)
		clear(row.tk)
		if err != nil {
			return nil, err
		}
		rows = append(rows, importRow{line: row.line, digest: digest,
			pne: PNE{Entity: row.entity, TK: sealed, Owner: row.owner, Created: created}})
	}
}
