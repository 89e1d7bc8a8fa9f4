package server

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
)

// A backup is text, a JSON value a line: a header, each table's name and then its rows,
// bytes in base64, and at the end how many rows there were and the SHA-256 of all lines
// before. Secrets in it are sealed as they are in the store; the master key is not in it.
const (
	backupFormat = "cpns-server backup 1"
	backupLine   = 64 << 10 // bytes of a line, far more than a row has
	restoreRows  = 500      // in one transaction
)

type backupHeader struct {
	Format string `json:"format"`
	Made   string `json:"made"`
}

type backupTable struct {
	Table   string   `json:"table"`
	Columns []string `json:"columns"`
}

type backupEnd struct {
	Rows   int    `json:"rows"`
	SHA256 string `json:"sha256"`
}

// Backup writes the whole contents of the store, as they are at one moment, even while
// servers use it. It returns the number of rows.
func (o *Operator) Backup(ctx context.Context, w io.Writer) (rows int, err error) {
	hash := sha256.New()
	out := bufio.NewWriter(w)
	line := func(v any) error {
		text, err := json.Marshal(v)
		if err != nil {
			return err
		}
		text = append(text, '\n')
		hash.Write(text)
		_, err = out.Write(text)
		return err
	}
	made := o.now().UTC().Format("2006-01-02T15:04:05Z")
	err = o.store.View(ctx, func(tx Tx) error {
		if rows > 0 {
			return errors.New("the database's connection was lost: give the command again")
		}
		if err := line(backupHeader{backupFormat, made}); err != nil {
			return err
		}
		for _, t := range Tables {
			if err := line(backupTable{t.Name, t.Columns}); err != nil {
				return err
			}
			for key := Row(nil); ; {
				page, err := tx.RowsAfter(t, key, pageRows)
				if err != nil {
					return err
				}
				for _, r := range page {
					if err := line(r); err != nil {
						return err
					}
					rows++
				}
				if len(page) < pageRows {
					break
				}
				key = page[len(page)-1][:t.Key]
			}
		}
		return nil
	})
	if err != nil {
		return rows, err
	}
	sum := hex.EncodeToString(hash.Sum(nil))
	if err := line(backupEnd{rows, sum}); err != nil {
		return rows, err
	}
	return rows, out.Flush()
}

// ErrDamaged says that a backup is damaged or incomplete.
var ErrDamaged = errors.New("the backup is damaged")

// A BackupInfo is what a backup says of itself.
type BackupInfo struct {
	Rows  int
	Needs []KeyID // master keys; two where one was being changed, none where an older program made it
}

// CheckBackup reads a backup to its end. It fails with ErrDamaged if the backup is not as
// it was written.
func CheckBackup(r io.Reader) (info BackupInfo, err error) {
	var check Sealed
	var change *rekeying
	info.Rows, err = readBackup(r, func(t *Table, row Row) (err error) {
		if t.Name != "settings" {
			return nil
		}
		switch t.text(row, "name") {
		case keyCheckSetting:
			check = t.column(row, "value").([]byte)
		case rekeySetting:
			change, err = parseRekeying(t.column(row, "value").([]byte))
		}
		return err
	})
	info.Needs = needs(check, change)
	return info, err
}

// Restore fills an empty store with a backup that was checked, opens every sealed
// value, and then binds the store to key. It fails with ErrExists if the store is not
// empty, and with ErrWrongMasterKey if the backup was made under another key; if it fails
// in the middle it leaves the store unbound.
//
// more are other master keys that may be needed, because the backup was made during a
// change of the master key.
func Restore(ctx context.Context, s Store, key *MasterKey, r io.Reader, more ...*MasterKey) (rows int, err error) {
	v, err := newVault(key, rand.Reader, more...)
	if err != nil {
		return 0, err
	}
	// From the first batch on, the store is marked as incomplete.
	err = s.Update(ctx, func(tx Tx) error {
		if _, err := progressOf(tx); err != nil {
			return err
		}
		if err := tx.AddSetting(settingMoving, []byte(`{"table":"-"}`)); errors.Is(err, ErrExists) {
			return fmt.Errorf("another restore, or a move, into this database has not ended well: empty it first: %w", err)
		} else if err != nil {
			return err
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	var of *Table
	var batch []Row
	var check Sealed
	var change *rekeying
	bound := false // v is, to what the settings say
	bind := func() error {
		state, err := v.stateFor(check, change)
		if err == nil {
			v.state.Store(state)
			bound = true
		}
		return err
	}
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		err := s.Update(ctx, func(tx Tx) error { return tx.AddRows(of, batch) })
		batch = batch[:0]
		return err
	}
	rows, err = readBackup(r, func(t *Table, row Row) error {
		if t.Name == "settings" {
			switch t.text(row, "name") {
			case keyCheckSetting:
				check = t.column(row, "value").([]byte)
				return nil
			case rekeySetting:
				var err error
				if change, err = parseRekeying(t.column(row, "value").([]byte)); err != nil {
					return err
				}
			case settingMoving, settingMoved:
				return nil
			}
		}
		if t.Name != "settings" && !bound { // whose rows come first
			if err := bind(); err != nil {
				return err
			}
		}
		if t != of {
			if err := flush(); err != nil {
				return err
			}
			of = t
		}
		if batch = append(batch, row); len(batch) < restoreRows {
			return nil
		}
		return flush()
	})
	if err == nil {
		err = flush()
	}
	if err != nil {
		return rows, err
	}
	if check == nil {
		return rows, fmt.Errorf("%w: it has no master key check", ErrDamaged)
	}
	if !bound {
		if err := bind(); err != nil {
			return rows, err
		}
	}
	if _, err := openAll(ctx, s, v, func(string) {}); err != nil {
		return rows, err
	}
	return rows, s.Update(ctx, func(tx Tx) error {
		if err := tx.RemoveSetting(settingMoving); err != nil {
			return err
		}
		return tx.AddSetting(keyCheckSetting, check)
	})
}

// readBackup calls f with every row of a backup, in order. The rows can be trusted only if
// it returns nil, because the checksum is at the end.
func readBackup(r io.Reader, f func(*Table, Row) error) (rows int, err error) {
	damaged := func(n int, what string) error { return fmt.Errorf("line %d: %s: %w", n, what, ErrDamaged) }
	in := bufio.NewScanner(r)
	in.Buffer(make([]byte, 0, 4096), backupLine)
	hash := sha256.New()
	var t *Table
	var has []string // its columns
	for n := 1; in.Scan(); n++ {
		text := in.Bytes()
		switch {
		case n == 1:
			var h backupHeader
			if json.Unmarshal(text, &h) != nil || h.Format != backupFormat {
				return rows, damaged(n, "not a backup of cpns-server, or a newer program's")
			}
		case bytes.HasPrefix(text, []byte(`{"table"`)):
			var b backupTable
			if json.Unmarshal(text, &b) != nil {
				return rows, damaged(n, "cannot be read")
			}
			at := slices.IndexFunc(Tables, func(t *Table) bool { return t.Name == b.Table })
			if at >= 0 {
				t, has = Tables[at], b.Columns
			}
			if at < 0 || !t.knows(has) {
				return rows, damaged(n, "a table that this program does not have: use the program that made it")
			}
		case bytes.HasPrefix(text, []byte("[")) && t != nil:
			row, err := t.parseRow(text, has)
			if err != nil {
				return rows, damaged(n, "cannot be read")
			}
			rows++
			if err := f(t, row); err != nil {
				return rows, err
			}
		default:
			var e backupEnd
			if json.Unmarshal(text, &e) != nil || e.Rows != rows || e.SHA256 != hex.EncodeToString(hash.Sum(nil)) {
				return rows, damaged(n, "the checksum does not fit")
			}
			if in.Scan() {
				return rows, damaged(n+1, "something follows the end")
			}
			return rows, in.Err()
		}
		hash.Write(text)
		hash.Write([]byte("\n"))
	}
	if err := in.Err(); err != nil && !errors.Is(err, bufio.ErrTooLong) {
		return rows, err
	}
	return rows, fmt.Errorf("it ends after %d rows: %w", rows, ErrDamaged)
}

// knows reports whether rows of these columns can be put into the table: they are its own,
// in their order, but perhaps those that came later.
func (t *Table) knows(columns []string) bool {
	at := 0
	for n, name := range t.Columns {
		switch {
		case at < len(columns) && columns[at] == name:
			at++
		case t.missing[n] == nil:
			return false
		}
	}
	return at == len(columns)
}

// parseRow reads a row of columns that the table knows, and makes it whole.
func (t *Table) parseRow(text []byte, columns []string) (Row, error) {
	of := &Table{Columns: columns}
	for _, name := range columns {
		of.Kinds += t.Kinds[slices.Index(t.Columns, name):][:1]
	}
	read, err := of.parseKey(text)
	if err != nil || len(read) != len(columns) {
		return nil, errors.Join(err, errors.New("another number of columns"))
	}
	row := slices.Clone(t.missing)
	for n, name := range columns {
		row[slices.Index(t.Columns, name)] = read[n]
	}
	return row, nil
}

// CheckStore opens every sealed value of the store and returns how many there are; bad is
// called with those that cannot be opened.
func (o *Operator) CheckStore(ctx context.Context, bad func(string)) (opened int, err error) {
	return openAll(ctx, o.store, o.vault, bad)
}
