package sqlite

import (
	"fmt"
	"strings"

	"cpns.example.net/pngw/cpns/server"
)

// placeholders are n of them, separated by commas.
func placeholders(n int) string { return strings.TrimSuffix(strings.Repeat("?, ", n), ", ") }

func (t *tx) RowsAfter(tab *server.Table, key server.Row, limit int) ([]server.Row, error) {
	keys := strings.Join(tab.Columns[:tab.Key], ", ")
	where, args := "", []any{}
	if key != nil {
		where = fmt.Sprintf(" WHERE (%s) > (%s)", keys, placeholders(tab.Key))
		args = append(args, key...)
	}
	sql := fmt.Sprintf("SELECT %s FROM %s%s ORDER BY %s LIMIT ?", strings.Join(tab.Columns, ", "), tab.Name, where, keys)
	return list(t, func(r *row) server.Row { return r.values(tab.Kinds) }, sql, append(args, int64(limit))...)
}

// values reads a whole row.
func (r *row) values(kinds string) server.Row {
	values := make(server.Row, len(kinds))
	for n := range values {
		switch server.Kind(kinds[n]) {
		case server.Text:
			values[n] = r.text()
		case server.Bytes:
			values[n] = r.blob()
		case server.Int:
			values[n] = r.int()
		case server.Flag:
			values[n] = r.int() != 0
		}
	}
	return values
}

func (t *tx) AddRows(tab *server.Table, rows []server.Row) error {
	sql := fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", tab.Name, strings.Join(tab.Columns, ", "), placeholders(len(tab.Columns)))
	for _, r := range rows {
		args := make([]any, len(r))
		for n, v := range r {
			if b, ok := v.(bool); ok {
				v = flag(b)
			}
			args[n] = v
		}
		if _, err := t.exec(sql, args...); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) CountRows(tab *server.Table) (int64, error) {
	return get(t, (*row).int, "SELECT count(*) FROM "+tab.Name)
}

func (t *tx) SwapBytes(tab *server.Table, column string, keys []server.Row, old, new [][]byte) error {
	sql := fmt.Sprintf("UPDATE %s SET %s = ? WHERE (%s) = (%s) AND %[2]s = ?", tab.Name, column, strings.Join(tab.Columns[:tab.Key], ", "), placeholders(tab.Key))
	for n, key := range keys {
		args := append(append([]any{new[n]}, key...), old[n])
		if _, err := t.exec(sql, args...); err != nil {
			return err
		}
	}
	return nil
}
