package server

import (
	"cmp"
	"encoding/binary"
	"errors"
	"io"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/internal/spool"
)

// The rows of an import that are good in themselves wait in a spool, their TKs sealed,
// until all have been read and checked. In memory are only two digests of each, by which
// the ones that are there twice are found, and a bit for whether it is imported.

// An importRow is a row that is good in itself, its TK sealed.
type importRow struct {
	number int // of all that are staged, from 0
	line   int
	pne    PNE
	digest tkDigest
}

// stagedRows are the rows of an import.
type stagedRows struct {
	spool   *spool.Spool
	created time.Time
	count   int
	seen    doubles
	skipped []uint64 // bits
	batch   int      // rows of the next batch to be written
}

// readEvery is after how many rows it is told how many have been read.
const readEvery = 10_000

// stage reads and seals the rows that are good in themselves and tells bad of the others.
func (o *Operator) stage(in rowReader, read func(int), bad func(*RowError)) (_ *stagedRows, err error) {
	s := &stagedRows{created: o.now(), batch: batchFirst}
	if s.spool, err = spool.New(); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	var record []byte
	for n := 1; ; n++ {
		row, err := in.next()
		if err == io.EOF {
			s.skipped = make([]uint64, s.count/64+1)
			return s, nil
		}
		if n%readEvery == 0 {
			read(n)
		}
		if e, isRow := errors.AsType[*RowError](err); isRow {
			bad(e)
			continue
		}
		if err != nil {
			return nil, err
		}
		if e := s.seen.find(row); e != nil {
			bad(e)
			continue
		}
		if most := cmp.Or(o.importMost, importRows); s.count == most {
			return nil, refused("line %d: more than %d rows: split the file", row.line, most)
		}
		digest := digestOf(row.tk)
		sealed, err := o.vault.seal(columnTK, string(row.entity), row.tk)
		clear(row.tk)
		if err != nil {
			return nil, err
		}
		record = binary.AppendUvarint(record[:0], uint64(row.line))
		for _, field := range []string{string(row.entity), string(row.owner), string(sealed), string(digest[:])} {
			record = append(binary.AppendUvarint(record, uint64(len(field))), field...)
		}
		if err := s.spool.Add(record); err != nil {
			return nil, err
		}
		s.count++
	}
}

func (s *stagedRows) close() { s.spool.Close() }

// skip leaves a row out of all that follows.
func (s *stagedRows) skip(number int) { s.skipped[number/64] |= 1 << (number % 64) }

// each calls f with every row that is not skipped, in the order of the lines.
func (s *stagedRows) each(f func(*importRow) error) error {
	number := -1
	return s.spool.Each(func(record []byte) error {
		number++
		if s.skipped[number/64]&(1<<(number%64)) != 0 {
			return nil
		}
		line, n := binary.Uvarint(record)
		record = record[n:]
		next := func() []byte {
			size, n := binary.Uvarint(record)
			field := record[n : n+int(size)]
			record = record[n+int(size):]
			return field
		}
		row := importRow{number: number, line: int(line), pne: PNE{Created: s.created}}
		row.pne.Entity, row.pne.Owner = cpns.EntityID(next()), cpns.UserID(next())
		row.pne.TK = append(Sealed(nil), next()...)
		row.digest = tkDigest(next())
		return f(&row)
	})
}

// inBatches calls f with the rows that are not skipped, as many at a time as size says
// then. The slice is f's only until it returns.
func (s *stagedRows) inBatches(size func() int, f func([]importRow) error) error {
	var batch []importRow
	err := s.each(func(row *importRow) error {
		if batch = append(batch, *row); len(batch) < size() {
			return nil
		}
		err := f(batch)
		batch = batch[:0]
		return err
	})
	if err == nil && len(batch) > 0 {
		err = f(batch)
	}
	return err
}
