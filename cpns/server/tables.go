package server

import (
	"slices"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// What a store keeps, as tables: for what goes over all of it, moving it elsewhere
// and looking at every sealed value. All stores name tables and columns alike.

// A Kind is what the values of a column are in Go.
type Kind byte

// The kinds of columns.
const (
	Text  Kind = 't' // string
	Bytes Kind = 'b' // []byte
	Int   Kind = 'i' // int64; times are milliseconds since 1970 UTC
	Flag  Kind = 'f' // bool
)

// A Table is one of a store's.
type Table struct {
	Name    string
	Columns []string
	Kinds   string // of the columns, a Kind each
	Key     int    // so many columns at the beginning are its primary key
	sealed  string // the column with a secret, "" for none
	missing []any  // of each column what a row has that was backed up before there was the column; nil where there always was
}

// Tables are all tables of a store, each after those that it refers to.
var Tables = []*Table{
	table("settings", 1, "name:t value:b", ""),
	table("users", 1, "id:t password_hash:b created:i disabled:f? seen:i@", "password_hash"),
	table("gateways", 1, "id:t key:b impi:t invitation:t fetched:f model:t serial:t created:i seen:i", ""),
	table("psk1s", 1, "identity:t gateway:t source:t psk1:b tag:b created:i used:i ends:i", "psk1"),
	table("enrolments", 1, "key:b state:t gateway:t was:t invitation:t model:t serial:t macs:t source:t first_at:i last_at:i", ""),
	table("invitations", 1, "id:t secret:b gateway:t uses:i bound:i created:i ends:i", "secret"),
	table("pnes", 1, "entity:t tk:b owner:t epoch:i created:i gateway:t assigned:i state:t", "tk"),
	table("assignments", 2, "entity:t epoch:i user_id:t gateway:t rand_pngw:b rand_svr:b length:i request_tag:b request_time:i created:i", "rand_svr"),
	table("claims", 4, "user_id:t gateway:t at:i entity:t", ""),
	table("failures", 3, "user_id:t gateway:t request_tag:b at:i", ""),
	table("credentials", 1, "id:t name:t kind:t role:t hash:b created:i ends:i used:i", "hash"),
	table("answers", 2, "caller:t key:t request_tag:b answer:b at:i", "answer"),
	table("events", 1, "seq:i at:i kind:t user_id:t entity:t gateway:t epoch:i source:t detail:t mac:b?", ""),
	table("seals", 1, "number:i at:i upto:i total:i entries:b mac:b", ""),
}

// noTime is how a time that is none lies in a column.
var noTime = time.Time{}.UnixMilli()

// table reads columns as NAME:KIND. Behind a column that came later stands what a row
// has that was backed up before: ? for nothing, @ for no time.
func table(name string, key int, columns, sealed string) *Table {
	t := &Table{Name: name, Key: key, sealed: sealed}
	for column := range strings.FieldsSeq(columns) {
		name, kind, _ := strings.Cut(column, ":")
		var missing any
		switch kind[1:] {
		case "?":
			missing = map[Kind]any{Text: "", Bytes: []byte{}, Int: int64(0), Flag: false}[Kind(kind[0])]
		case "@":
			missing = noTime
		}
		t.Columns = append(t.Columns, name)
		t.Kinds += kind[:1]
		t.missing = append(t.missing, missing)
	}
	return t
}

// A Row has a value for each column of its table.
type Row []any

// Bulk is for whole tables.
type Bulk interface {
	// RowsAfter are rows in the order of their keys, after a key; nil is before the first.
	RowsAfter(t *Table, key Row, limit int) ([]Row, error)
	// AddRows adds rows whose keys the table does not have.
	AddRows(t *Table, rows []Row) error
	CountRows(t *Table) (int64, error)
	// SwapBytes replaces values of a column of bytes: in the row of keys[n] old[n] by
	// new[n]. A row that is gone, or has another value by now, stays as it is.
	SwapBytes(t *Table, column string, keys []Row, old, new [][]byte) error
}

// column is the value of a row in a column.
func (t *Table) column(r Row, name string) any { return r[slices.Index(t.Columns, name)] }

func (t *Table) text(r Row, name string) string { s, _ := t.column(r, name).(string); return s }

// hasSecrets reports whether secretOf finds something in the table.
func (t *Table) hasSecrets() bool { return t.sealed != "" || t.Name == "settings" }

// secretOf is what lies sealed in a row, nil for nothing, and where.
func (t *Table) secretOf(r Row) (c column, row string, sealed Sealed) {
	if t.Name == "settings" {
		switch name := t.text(r, "name"); name {
		case keyCheckSetting, oldRequestsSetting, auditKeySetting: // the column is the same
			return columnKeyCheck, name, t.column(r, "value").([]byte)
		}
		return c, "", nil
	}
	if t.sealed == "" {
		return c, "", nil
	}
	switch c = (column{t.Name, t.sealed}); c {
	case columnPasswordHash, columnInvitation:
		row = t.text(r, "id")
	case columnPSK1:
		row = psk1Row(cpns.GatewayID(t.text(r, "gateway")), cpns.PSKIdentity(t.text(r, "identity")))
	case columnCredential:
		row = credentialRow(t.text(r, "id"), t.text(r, "name"), CredentialKind(t.text(r, "kind")), Role(t.text(r, "role")), t.column(r, "ends").(int64))
	case columnAnswer:
		row = answerRow(t.text(r, "caller"), t.text(r, "key"))
	case columnTK:
		row = t.text(r, "entity")
	case columnRandSVR:
		row = assignmentRow(cpns.EntityID(t.text(r, "entity")), cpns.Epoch(t.column(r, "epoch").(int64)))
	}
	return c, row, t.column(r, t.sealed).([]byte)
}
