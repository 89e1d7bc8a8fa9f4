package server

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
)

const (
	moveRows = 1000 // copied in one transaction

	settingMoving = "moving" // how far the copy into this store has come
	settingMoved  = "moved"  // where what was in this store has gone
)

// A MovedError says that a store's contents have been moved to another one.
type MovedError struct{ To string }

func (e *MovedError) Error() string {
	return "what was in this database has been moved to " + e.To + ", which counts from then on"
}

// ErrHalfMoved says that a store is only partly filled from another.
var ErrHalfMoved = errors.New("moving into this database has not been finished: give the command cpns-server migrate again")

// progress is how far a copy has come: all tables before table, and that one up to a key.
type progress struct {
	Table string          `json:"table"`
	Key   json.RawMessage `json:"key"`
}

// A Moved tells how a table was copied.
type Moved struct {
	Table string
	Rows  int64 // copied so far, those of an attempt before included
	Of    int64
}

// Move copies the whole contents of one store, whose master key is key, into another one,
// which has to be empty, or partly filled by a Move that was interrupted. Meanwhile nobody
// can write to the first. It then compares the numbers of rows, opens every sealed value
// in the second, and marks the first as moved, so that no server uses it any more. tell is
// called after each batch.
//
// It fails with ErrExists if the second store contains something else.
//
// more are other master keys that may be needed, because the master key is being changed.
func Move(ctx context.Context, from, to Store, key *MasterKey, place string, tell func(Moved), more ...*MasterKey) error {
	v, err := newVault(key, rand.Reader, more...)
	if err != nil {
		return err
	}
	// Update and not View: who writes to the store waits, or fails.
	return from.Update(ctx, func(source Tx) error {
		if err := v.bind(source); err != nil {
			return err
		}
		if err := copyAll(ctx, source, to, tell); err != nil {
			return err
		}
		if err := finishMove(ctx, v, source, to); err != nil {
			return err
		}
		return source.SetSetting(settingMoved, []byte(place))
	})
}

func copyAll(ctx context.Context, source Tx, to Store, tell func(Moved)) error {
	var at progress
	err := to.View(ctx, func(tx Tx) (err error) {
		at, err = progressOf(tx)
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range Tables {
		if at.Table != "" && at.Table != t.Name {
			continue // copied by an attempt before
		}
		after, err := t.parseKey(at.Key)
		if err != nil {
			return err
		}
		at = progress{}
		if err := copyTable(ctx, t, after, source, to, tell); err != nil {
			return fmt.Errorf("moving %s: %w", t.Name, err)
		}
	}
	return nil
}

// progressOf is how far a copy into the store has come.
func progressOf(tx Tx) (p progress, err error) {
	raw, err := tx.Setting(settingMoving)
	if err == nil {
		return p, json.Unmarshal(raw, &p)
	}
	if !errors.Is(err, ErrNotFound) {
		return p, err
	}
	for _, t := range Tables {
		n, err := tx.CountRows(t)
		if err != nil {
			return p, err
		}
		if n > 0 {
			return p, fmt.Errorf("the database is not empty (%s: %d): %w", t.Name, n, ErrExists)
		}
	}
	return p, nil
}

func copyTable(ctx context.Context, t *Table, after Row, source Tx, to Store, tell func(Moved)) error {
	all, err := source.CountRows(t)
	if err != nil {
		return err
	}
	for {
		rows, err := source.RowsAfter(t, after, moveRows)
		if err != nil {
			return err
		}
		full := len(rows) == moveRows
		if len(rows) > 0 {
			after = rows[len(rows)-1][:t.Key]
		}
		var done int64
		err = to.Update(ctx, func(tx Tx) (err error) {
			added := rows
			if t.Name == "settings" {
				added = t.without(rows, keyCheckSetting, settingMoving, settingMoved)
			}
			if err := tx.AddRows(t, added); err != nil {
				return err
			}
			if done, err = tx.CountRows(t); err != nil {
				return err
			}
			next, err := t.progressAfter(after, full)
			if err != nil {
				return err
			}
			return tx.SetSetting(settingMoving, next)
		})
		if err != nil {
			return err
		}
		tell(Moved{t.Name, done, all})
		if !full {
			return nil
		}
	}
}

// without leaves out the settings that are a store's own.
func (t *Table) without(rows []Row, names ...string) (kept []Row) {
next:
	for _, r := range rows {
		for _, name := range names {
			if t.text(r, "name") == name {
				continue next
			}
		}
		kept = append(kept, r)
	}
	return kept
}

// progressAfter is what is recorded after a batch: the key to go on from, or the next
// table.
func (t *Table) progressAfter(key Row, more bool) ([]byte, error) {
	if more {
		text, err := json.Marshal(key)
		if err != nil {
			return nil, err
		}
		return json.Marshal(progress{t.Name, text})
	}
	for n, other := range Tables {
		if other == t && n+1 < len(Tables) {
			return json.Marshal(progress{Table: Tables[n+1].Name})
		}
	}
	return json.Marshal(progress{Table: allCopied})
}

const allCopied = "-" // in place of a table's name

// parseKey reads what progressAfter has written.
func (t *Table) parseKey(text json.RawMessage) (Row, error) {
	if len(text) == 0 || string(text) == "null" {
		return nil, nil
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(text, &parts); err != nil {
		return nil, err
	}
	if len(parts) > len(t.Kinds) {
		return nil, errors.New("too many columns")
	}
	key := make(Row, len(parts))
	for n, part := range parts {
		var err error
		switch Kind(t.Kinds[n]) {
		case Text:
			key[n], err = parseAs[string](part)
		case Bytes:
			key[n], err = parseAs[[]byte](part)
		case Int:
			key[n], err = parseAs[int64](part)
		case Flag:
			key[n], err = parseAs[bool](part)
		}
		if err != nil {
			return nil, err
		}
	}
	return key, nil
}

func parseAs[T any](text []byte) (v T, err error) { return v, json.Unmarshal(text, &v) }

// finishMove compares, opens and binds: from then on the store is one to be used.
func finishMove(ctx context.Context, v *vault, source Tx, to Store) error {
	err := to.View(ctx, func(tx Tx) error {
		for _, t := range Tables {
			if t.Name == "settings" {
				continue // each store has its own beside
			}
			a, err := source.CountRows(t)
			if err != nil {
				return err
			}
			b, err := tx.CountRows(t)
			if err != nil {
				return err
			}
			if a != b {
				return fmt.Errorf("%s: %d rows where there were %d: empty the database, and begin anew", t.Name, b, a)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := openAll(ctx, to, v, func(string) {}); err != nil {
		return err
	}
	return to.Update(ctx, func(tx Tx) error {
		if err := tx.RemoveSetting(settingMoving); err != nil {
			return err
		}
		return v.addKeyCheck(tx)
	})
}

// openAll opens every sealed value of a store and says how many there are. It goes on
// after those that do not open, and tells bad of each; then it fails.
func openAll(ctx context.Context, s Store, v *vault, bad func(string)) (opened int, err error) {
	failed := 0
	var first error
	opened, err = eachSealed(ctx, s, v, func(_ Sealed, err error) error {
		if err == nil {
			return nil
		}
		failed++
		if first == nil {
			first = err
		}
		bad(err.Error())
		return nil
	})
	if err == nil && failed > 0 {
		err = fmt.Errorf("sealed values that do not open: %d, the first: %w", failed, first)
	}
	return opened, err
}

// eachSealed opens every sealed value of a store and says how many do open. f is told of
// each, and with what error it did not; where f fails that is the end.
func eachSealed(ctx context.Context, s Store, v *vault, f func(Sealed, error) error) (opened int, err error) {
	for _, t := range Tables {
		after := func(tx Tx, key Row, limit int) ([]Row, error) { return tx.RowsAfter(t, key, limit) }
		keyOf := func(r Row) Row { return r[:t.Key] }
		err := each(ctx, s, after, keyOf, func(r Row) error {
			c, row, sealed := t.secretOf(r)
			if len(sealed) == 0 {
				return nil
			}
			plain, err := v.open(c, row, sealed)
			if err == nil {
				clear(plain)
				opened++
			}
			return f(sealed, err)
		})
		if err != nil {
			return opened, err
		}
	}
	return opened, nil
}
