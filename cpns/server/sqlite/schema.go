package sqlite

import (
	"cmp"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns/server"
)

// applicationID marks the database file as a CPNS Server's: "CPNS" in ASCII.
const applicationID = 0x43504e53

// migrations make the schema, each from the one before it. The number of those
// that have run is the database's user_version. A released one never changes.
//
// Times are milliseconds since 1970 UTC. Columns named as in server.column hold
// sealed values.
var migrations = []string{`
CREATE TABLE settings (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE users (
	id            TEXT PRIMARY KEY,
	password_hash BLOB NOT NULL,
	created       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE gateways (
	id         TEXT PRIMARY KEY,
	key        BLOB NOT NULL, -- empty where it has none
	impi       TEXT NOT NULL,
	invitation TEXT NOT NULL,
	fetched    INTEGER NOT NULL,
	model      TEXT NOT NULL,
	serial     TEXT NOT NULL,
	created    INTEGER NOT NULL,
	seen       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX gateways_by_key ON gateways (key) WHERE key <> x'';
CREATE UNIQUE INDEX gateways_by_impi ON gateways (impi) WHERE impi <> '';
CREATE INDEX gateways_by_serial ON gateways (serial) WHERE serial <> '';

CREATE TABLE psk1s (
	identity TEXT PRIMARY KEY,
	gateway  TEXT NOT NULL REFERENCES gateways (id) ON DELETE CASCADE,
	source   TEXT NOT NULL,
	psk1     BLOB NOT NULL,
	tag      BLOB NOT NULL UNIQUE,
	created  INTEGER NOT NULL,
	used     INTEGER NOT NULL,
	ends     INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX psk1s_by_gateway ON psk1s (gateway, created);

CREATE TABLE enrolments (
	key        BLOB PRIMARY KEY,
	state      TEXT NOT NULL,
	gateway    TEXT NOT NULL,
	was        TEXT NOT NULL,
	invitation TEXT NOT NULL,
	model      TEXT NOT NULL,
	serial     TEXT NOT NULL,
	macs       TEXT NOT NULL,
	source     TEXT NOT NULL,
	first_at   INTEGER NOT NULL,
	last_at    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX enrolments_by_source ON enrolments (source, first_at) WHERE state = 'pending' AND was = '';

CREATE TABLE invitations (
	id      TEXT PRIMARY KEY,
	secret  BLOB NOT NULL,
	gateway TEXT NOT NULL,
	uses    INTEGER NOT NULL,
	bound   INTEGER NOT NULL,
	created INTEGER NOT NULL,
	ends    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE pnes (
	entity   TEXT PRIMARY KEY,
	tk       BLOB NOT NULL, -- empty once the PNE was removed
	owner    TEXT NOT NULL,
	epoch    INTEGER NOT NULL,
	created  INTEGER NOT NULL,
	gateway  TEXT NOT NULL,
	assigned INTEGER NOT NULL,
	state    TEXT NOT NULL -- server.PNEState; removed
) STRICT, WITHOUT ROWID;
CREATE INDEX pnes_by_owner ON pnes (owner, entity) WHERE owner <> '';
CREATE INDEX pnes_by_gateway ON pnes (gateway, entity) WHERE gateway <> '';
CREATE INDEX pnes_by_state ON pnes (state, entity);

CREATE TABLE assignments (
	entity       TEXT NOT NULL REFERENCES pnes (entity),
	epoch        INTEGER NOT NULL,
	user_id      TEXT NOT NULL,
	gateway      TEXT NOT NULL,
	rand_pngw    BLOB NOT NULL UNIQUE,
	rand_svr     BLOB NOT NULL,
	length       INTEGER NOT NULL,
	request_tag  BLOB NOT NULL,
	request_time INTEGER NOT NULL,
	created      INTEGER NOT NULL,
	PRIMARY KEY (entity, epoch)
) STRICT, WITHOUT ROWID;

CREATE TABLE claims (
	user_id TEXT NOT NULL,
	gateway TEXT NOT NULL,
	at      INTEGER NOT NULL,
	entity  TEXT NOT NULL,
	PRIMARY KEY (user_id, gateway, at, entity)
) STRICT, WITHOUT ROWID;
CREATE INDEX claims_by_time ON claims (at);

CREATE TABLE failures (
	user_id     TEXT NOT NULL,
	gateway     TEXT NOT NULL,
	request_tag BLOB NOT NULL,
	at          INTEGER NOT NULL,
	PRIMARY KEY (user_id, gateway, request_tag)
) STRICT, WITHOUT ROWID;
CREATE INDEX failures_by_time ON failures (at);

CREATE TABLE events (
	seq     INTEGER PRIMARY KEY AUTOINCREMENT,
	at      INTEGER NOT NULL,
	kind    TEXT NOT NULL,
	user_id TEXT NOT NULL,
	entity  TEXT NOT NULL,
	gateway TEXT NOT NULL,
	epoch   INTEGER NOT NULL,
	source  TEXT NOT NULL,
	detail  TEXT NOT NULL
) STRICT;
CREATE INDEX events_by_time ON events (at);

CREATE TABLE replicas (
	id   TEXT PRIMARY KEY,
	seen INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`, `
CREATE TABLE credentials (
	id      TEXT PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	kind    TEXT NOT NULL,
	role    TEXT NOT NULL,
	hash    BLOB NOT NULL,
	created INTEGER NOT NULL,
	ends    INTEGER NOT NULL,
	used    INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE answers (
	caller      TEXT NOT NULL,
	key         TEXT NOT NULL,
	request_tag BLOB NOT NULL,
	answer      BLOB NOT NULL,
	at          INTEGER NOT NULL,
	PRIMARY KEY (caller, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX answers_by_time ON answers (at);
`, `
ALTER TABLE users ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
ALTER TABLE users ADD COLUMN seen INTEGER NOT NULL DEFAULT -62135596800000; -- time.Time{}
`, `
ALTER TABLE events ADD COLUMN mac BLOB NOT NULL DEFAULT x'';

CREATE TABLE seals (
	number  INTEGER PRIMARY KEY,
	at      INTEGER NOT NULL,
	upto    INTEGER NOT NULL,
	total   INTEGER NOT NULL,
	entries BLOB NOT NULL,
	mac     BLOB NOT NULL
) STRICT, WITHOUT ROWID;
`, `
ALTER TABLE replicas ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE replicas ADD COLUMN keys TEXT NOT NULL DEFAULT '';
`}

// check refuses a database that is not a CPNS Server's, or a newer one's. A new
// database has no tables and no mark yet.
func check(c *conn) error {
	id, err := number(c, "PRAGMA application_id")
	if err != nil {
		return err
	}
	tables, err := number(c, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return err
	}
	if id != applicationID && (id != 0 || tables != 0) {
		return errors.New("not the database of a CPNS Server")
	}
	version, err := number(c, "PRAGMA user_version")
	if err != nil {
		return err
	}
	if version > len(migrations) {
		return &server.SchemaError{Database: version, Program: len(migrations)}
	}
	return nil
}

// migrate brings the schema of a database that check found good to the newest
// version, in one transaction. Where it is that already, nothing is locked: whoever
// opens a database to read does not wait for one who writes.
func migrate(c *conn) (err error) {
	if version, err := number(c, "PRAGMA user_version"); err != nil || version == len(migrations) {
		return err
	}
	transaction, err := c.BeginImmediate()
	if err != nil {
		return err
	}
	defer transaction.End(&err)
	version, err := number(c, "PRAGMA user_version")
	if err != nil {
		return err
	}
	for n := version; n < len(migrations); n++ {
		if err := c.Exec(migrations[n]); err != nil {
			return fmt.Errorf("migrating to schema version %d: %w", n+1, err)
		}
	}
	if version == len(migrations) {
		return nil
	}
	return c.Exec(fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations)))
}

// number is the one result of a query.
func number(c *conn, sql string) (int, error) {
	stmt, _, err := c.Prepare(sql)
	if err != nil {
		return 0, err
	}
	defer stmt.Close()
	if !stmt.Step() {
		return 0, cmp.Or(stmt.Err(), errors.New(sql+": no result"))
	}
	return stmt.ColumnInt(0), nil
}
