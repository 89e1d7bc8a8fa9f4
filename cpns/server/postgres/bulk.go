package postgres

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"cpns.example.net/pngw/cpns/server"
)

// placeholders are $from and the next ones, n in all.
func placeholders(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, ", $%d", from+i)
	}
	return b.String()[2:]
}

func (t *tx) RowsAfter(tab *server.Table, key server.Row, limit int) ([]server.Row, error) {
	keys := strings.Join(tab.Columns[:tab.Key], ", ")
	where, args := "", []any{limit}
	if key != nil {
		where = fmt.Sprintf(" WHERE (%s) > (%s)", keys, placeholders(2, tab.Key))
		args = append(args, key...)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT $1", strings.Join(tab.Columns, ", "), tab.Name, where, keys)
	return list(t, func(scan func(...any) error) (server.Row, error) { return scanRow(tab.Kinds, scan) }, sql, args...)
}

// scanRow reads a whole row.
func scanRow(kinds string, scan func(...any) error) (server.Row, error) {
	values, into := make(server.Row, len(kinds)), make([]any, len(kinds))
	for n := range kinds {
		switch server.Kind(kinds[n]) {
		case server.Text:
			into[n] = new(string)
		case server.Bytes:
			into[n] = new([]byte)
		case server.Int:
			into[n] = new(int64)
		case server.Flag:
			into[n] = new(bool)
		}
	}
	if err := scan(into...); err != nil {
		return nil, err
	}
	for n, v := range into {
		switch v := v.(type) {
		case *string:
			values[n] = *v
		case *[]byte:
			values[n] = *v
		case *int64:
			values[n] = *v
		case *bool:
			values[n] = *v
		}
	}
	return values, nil
}

// AddRows adds rows by COPY.
func (t *tx) AddRows(tab *server.Table, rows []server.Row) error {
	if len(rows) == 0 {
		return nil
	}
	if t.begin != "" { // COPY cannot be sent together with what begins the transaction
		begin := t.begin
		t.begin = ""
		if _, err := t.exec(begin); err != nil {
			return err
		}
	}
	if t.failed != nil {
		return t.failed
	}
	_, err := t.conn.CopyFrom(t.ctx, pgx.Identifier{tab.Name}, tab.Columns, pgx.CopyFromSlice(len(rows), func(n int) ([]any, error) {
		values := make([]any, len(rows[n]))
		for i, v := range rows[n] {
			switch typed := v.(type) {
			case string:
				v = text(typed)
			case []byte:
				v = bytea(typed)
			}
			values[i] = v
		}
		return values, nil
	}))
	if err := t.fail(err); err != nil {
		return err
	}
	if tab.Name == "events" { // those to come are numbered after them
		_, err := t.exec("SELECT setval(pg_get_serial_sequence('events', 'seq'), (SELECT max(seq) FROM events))")
		return err
	}
	return nil
}

func (t *tx) CountRows(tab *server.Table) (int64, error) {
	return get(t, scanOne[int64], "SELECT count(*) FROM "+tab.Name)
}

// SwapBytes changes all rows by one statement.
func (t *tx) SwapBytes(tab *server.Table, column string, keys []server.Row, old, new [][]byte) error {
	names := append(slices.Clone(tab.Columns[:tab.Key]), "before", "after")
	args, arrays := make([]any, 0, len(names)), make([]string, 0, len(names))
	where := make([]string, tab.Key)
	array := func(kind string, values any) {
		args = append(args, values)
		arrays = append(arrays, fmt.Sprintf("$%d::%s[]", len(args), kind))
	}
	for n := range tab.Key {
		where[n] = fmt.Sprintf("r.%s = v.%[1]s", names[n])
		switch server.Kind(tab.Kinds[n]) {
		case server.Text:
			array("text", keyColumn[string](keys, n))
		case server.Bytes:
			array("bytea", keyColumn[[]byte](keys, n))
		case server.Int:
			array("bigint", keyColumn[int64](keys, n))
		}
	}
	array("bytea", old)
	array("bytea", new)
	_, err := t.exec(fmt.Sprintf("UPDATE %s AS r SET %s = v.after FROM unnest(%s) AS v (%s) WHERE %s AND r.%[2]s = v.before",
		tab.Name, column, strings.Join(arrays, ", "), strings.Join(names, ", "), strings.Join(where, " AND ")), args...)
	return err
}

// keyColumn is one column of keys.
func keyColumn[T any](keys []server.Row, n int) []T {
	values := make([]T, len(keys))
	for i, key := range keys {
		values[i] = key[n].(T)
	}
	return values
}
