package sqlite

import (
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Settings.

func (t *tx) Setting(name string) ([]byte, error) {
	return get(t, (*row).blob, "SELECT value FROM settings WHERE name = ?", name)
}

func (t *tx) AddSetting(name string, value []byte) error {
	return t.insert("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO NOTHING", name, value)
}

func (t *tx) SetSetting(name string, value []byte) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value", name, value)
	return err
}

// Users.

const userColumns = "SELECT id, password_hash, created FROM users "

func scanUser(r *row) server.User {
	return server.User{ID: cpns.UserID(r.text()), PasswordHash: r.blob(), Created: r.time()}
}

func (t *tx) User(id cpns.UserID) (server.User, error) {
	return get(t, scanUser, userColumns+"WHERE id = ?", string(id))
}

func (t *tx) AddUser(u server.User) error {
	return t.insert("INSERT INTO users (id, password_hash, created) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
		string(u.ID), []byte(u.PasswordHash), u.Created)
}

func (t *tx) SetPasswordHash(id cpns.UserID, hash server.Sealed) error {
	return t.change("UPDATE users SET password_hash = ? WHERE id = ?", []byte(hash), string(id))
}

func (t *tx) RemoveUser(id cpns.UserID) error {
	return t.change("DELETE FROM users WHERE id = ?", string(id))
}

func (t *tx) UsersAfter(id cpns.UserID, limit int) ([]server.User, error) {
	return list(t, scanUser, userColumns+"WHERE id > ? ORDER BY id LIMIT ?", string(id), int64(limit))
}

// PNEs.

const pneColumns = "SELECT entity, tk, owner, epoch, created FROM pnes "

func scanPNE(r *row) server.PNE {
	return server.PNE{
		Entity:  cpns.EntityID(r.text()),
		TK:      r.blob(),
		Owner:   cpns.UserID(r.text()),
		Epoch:   cpns.Epoch(r.int()),
		Created: r.time(),
	}
}

func (t *tx) PNE(e cpns.EntityID) (server.PNE, error) {
	return get(t, scanPNE, pneColumns+"WHERE entity = ? AND tk <> x''", string(e))
}

func (t *tx) AddPNE(p server.PNE) error {
	return t.insert(`INSERT INTO pnes (entity, tk, owner, epoch, created) VALUES (?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET tk = excluded.tk, owner = excluded.owner, created = excluded.created WHERE tk = x''`,
		string(p.Entity), []byte(p.TK), string(p.Owner), int64(p.Epoch), p.Created)
}

func (t *tx) SetTK(e cpns.EntityID, tk server.Sealed) error {
	return t.change("UPDATE pnes SET tk = ? WHERE entity = ? AND tk <> x''", []byte(tk), string(e))
}

func (t *tx) RemovePNE(e cpns.EntityID) error {
	if err := t.change("UPDATE pnes SET tk = x'', owner = '' WHERE entity = ? AND tk <> x''", string(e)); err != nil {
		return err
	}
	return t.EraseKeys(e)
}

func (t *tx) SetOwner(e cpns.EntityID, owner cpns.UserID, epoch cpns.Epoch) error {
	return t.change("UPDATE pnes SET owner = ?, epoch = ? WHERE entity = ? AND tk <> x''", string(owner), int64(epoch), string(e))
}

func (t *tx) PNEsAfter(e cpns.EntityID, limit int) ([]server.PNE, error) {
	return list(t, scanPNE, pneColumns+"WHERE entity > ? AND tk <> x'' ORDER BY entity LIMIT ?", string(e), int64(limit))
}

func (t *tx) CountPNEsOf(u cpns.UserID) (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM pnes WHERE owner = ? AND owner <> ''", string(u))
	return int(n), err
}

// Assignments.

func scanAssignment(r *row) server.Assignment {
	return server.Assignment{
		Entity:      cpns.EntityID(r.text()),
		Epoch:       cpns.Epoch(r.int()),
		User:        cpns.UserID(r.text()),
		Gateway:     cpns.GatewayID(r.text()),
		RandPNGW:    r.bytes32(),
		RandSVR:     r.blob(),
		Length:      int(r.int()),
		RequestTag:  r.bytes32(),
		RequestTime: r.time(),
		Created:     r.time(),
	}
}

func (t *tx) AssignmentByRandom(randPNGW *[cpns.RandSize]byte) (server.Assignment, error) {
	return get(t, scanAssignment, `SELECT entity, epoch, user, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created
		FROM assignments WHERE rand_pngw = ?`, randPNGW[:])
}

func (t *tx) AddAssignment(a server.Assignment) error {
	return t.insert(`INSERT INTO assignments (entity, epoch, user, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		string(a.Entity), int64(a.Epoch), string(a.User), string(a.Gateway), a.RandPNGW[:], []byte(a.RandSVR),
		int64(a.Length), a.RequestTag[:], a.RequestTime, a.Created)
}

func (t *tx) EraseKeys(e cpns.EntityID) error {
	_, err := t.exec("UPDATE assignments SET rand_svr = x'' WHERE entity = ?", string(e))
	return err
}

func (t *tx) PruneAssignments(e cpns.EntityID, before time.Time) error {
	// The oldest few only: whoever makes many assignments in a row must not
	// make each of them take longer than the one before.
	_, err := t.exec(`DELETE FROM assignments WHERE entity = ?1 AND request_time < ?2 AND epoch IN
		(SELECT epoch FROM assignments WHERE entity = ?1 AND epoch < (SELECT epoch FROM pnes WHERE entity = ?1) ORDER BY epoch LIMIT 8)`,
		string(e), before)
	return err
}

// Claims.

func (t *tx) ClaimsAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	return list(t, (*row).time, `SELECT time FROM claims WHERE user = ? AND gateway = ? AND time > ? AND time <= ?
		ORDER BY time DESC LIMIT ?`, string(u), string(g), since, until, int64(limit))
}

func (t *tx) AddClaim(c server.Claim) error {
	_, err := t.exec("INSERT INTO claims (user, gateway, time, entity) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(c.User), string(c.Gateway), c.Time, string(c.Entity))
	return err
}

func (t *tx) PruneClaims(before time.Time) error {
	_, err := t.exec("DELETE FROM claims WHERE time < ?", before)
	return err
}

// Failures.

func (t *tx) FailuresAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	return list(t, (*row).time, `SELECT time FROM failures WHERE user = ? AND gateway = ? AND time > ? AND time <= ?
		ORDER BY time DESC LIMIT ?`, string(u), string(g), since, until, int64(limit))
}

func (t *tx) CountFailures(u cpns.UserID, since, until time.Time, limit int) (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM (SELECT 1 FROM failures WHERE user = ? AND time > ? AND time <= ? LIMIT ?)",
		string(u), since, until, int64(limit))
	return int(n), err
}

func (t *tx) AddFailure(f server.Failure) error {
	return t.insert("INSERT INTO failures (user, gateway, request_tag, time) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(f.User), string(f.Gateway), f.RequestTag[:], f.Time)
}

func (t *tx) RemoveFailures(u cpns.UserID) error {
	_, err := t.exec("DELETE FROM failures WHERE user = ?", string(u))
	return err
}

func (t *tx) PruneFailures(before time.Time) error {
	_, err := t.exec("DELETE FROM failures WHERE time < ?", before)
	return err
}

// Events.

func scanEvent(r *row) server.Event {
	return server.Event{
		Seq:     r.int(),
		Time:    r.time(),
		Kind:    server.EventKind(r.text()),
		User:    cpns.UserID(r.text()),
		Entity:  cpns.EntityID(r.text()),
		Gateway: cpns.GatewayID(r.text()),
		Epoch:   cpns.Epoch(r.int()),
		Source:  r.text(),
		Detail:  r.text(),
	}
}

func (t *tx) AddEvent(e server.Event) error {
	_, err := t.exec("INSERT INTO events (time, kind, user, entity, gateway, epoch, source, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
		e.Time, string(e.Kind), string(e.User), string(e.Entity), string(e.Gateway), int64(e.Epoch), e.Source, e.Detail)
	return err
}

func (t *tx) EventsAfter(seq int64, since time.Time, limit int) ([]server.Event, error) {
	return list(t, scanEvent, `SELECT seq, time, kind, user, entity, gateway, epoch, source, detail FROM events
		WHERE seq > ? AND time >= ? ORDER BY seq LIMIT ?`, seq, since, int64(limit))
}

func (t *tx) PruneEvents(before time.Time, keep, most int) (int, error) {
	// The numbers have no gaps but what was removed, so that those of keep rows
	// are enough.
	many, err := t.exec("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE seq <= (SELECT max(seq) FROM events) - ? ORDER BY seq LIMIT ?)",
		int64(keep), int64(most))
	if err != nil || int(many) == most {
		return int(many), err
	}
	old, err := t.exec("DELETE FROM events WHERE seq IN (SELECT seq FROM events WHERE time < ? ORDER BY time LIMIT ?)",
		before, int64(most)-many)
	return int(many + old), err
}
