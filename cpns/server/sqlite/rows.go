package sqlite

import (
	"errors"
	"fmt"
	"strings"
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

func (t *tx) RemoveSetting(name string) error {
	return t.change("DELETE FROM settings WHERE name = ?", name)
}

// Users.

const userColumns = "SELECT id, password_hash, created, disabled, seen FROM users "

func scanUser(r *row) server.User {
	return server.User{ID: cpns.UserID(r.text()), PasswordHash: r.blob(), Created: r.time(), Disabled: r.int() != 0, Seen: r.time()}
}

func (t *tx) User(id cpns.UserID) (server.User, error) {
	return get(t, scanUser, userColumns+"WHERE id = ?", string(id))
}

func (t *tx) AddUser(u server.User) error {
	return t.insert("INSERT INTO users (id, password_hash, created, disabled, seen) VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(u.ID), []byte(u.PasswordHash), u.Created, flag(u.Disabled), u.Seen)
}

func (t *tx) SetPasswordHash(id cpns.UserID, hash server.Sealed) error {
	return t.change("UPDATE users SET password_hash = ? WHERE id = ?", []byte(hash), string(id))
}

func (t *tx) SetUserDisabled(id cpns.UserID, disabled bool) error {
	return t.change("UPDATE users SET disabled = ? WHERE id = ?", flag(disabled), string(id))
}

func (t *tx) SetUserSeen(id cpns.UserID, seen time.Time) error {
	return t.change("UPDATE users SET seen = ? WHERE id = ?", seen, string(id))
}

func (t *tx) RemoveUser(id cpns.UserID) error {
	return t.change("DELETE FROM users WHERE id = ?", string(id))
}

func (t *tx) UsersAfter(id cpns.UserID, limit int) ([]server.User, error) {
	return list(t, scanUser, userColumns+"WHERE id > ? ORDER BY id LIMIT ?", string(id), int64(limit))
}

// PNEs.

const pneColumns = "SELECT entity, tk, owner, epoch, created, gateway, assigned FROM pnes "

func scanPNE(r *row) server.PNE {
	return server.PNE{
		Entity:   cpns.EntityID(r.text()),
		TK:       r.blob(),
		Owner:    cpns.UserID(r.text()),
		Epoch:    cpns.Epoch(r.int()),
		Created:  r.time(),
		Gateway:  cpns.GatewayID(r.text()),
		Assigned: r.time(),
	}
}

func (t *tx) PNE(e cpns.EntityID) (server.PNE, error) {
	return get(t, scanPNE, pneColumns+"WHERE entity = ? AND tk <> x''", string(e))
}

func (t *tx) AddPNE(p server.PNE) error {
	return t.insert(`INSERT INTO pnes (entity, tk, owner, epoch, created, gateway, assigned, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET tk = excluded.tk, owner = excluded.owner, created = excluded.created,
			gateway = excluded.gateway, assigned = excluded.assigned, state = excluded.state WHERE tk = x''`,
		string(p.Entity), []byte(p.TK), string(p.Owner), int64(p.Epoch), p.Created, string(p.Gateway), p.Assigned, string(p.State()))
}

func (t *tx) PNEsAmong(entities []cpns.EntityID) ([]server.PNE, error) {
	var all []server.PNE
	for _, e := range entities {
		p, err := t.PNE(e)
		if errors.Is(err, server.ErrNotFound) {
			continue
		}
		if err != nil {
			return nil, err
		}
		all = append(all, p)
	}
	return all, nil
}

func (t *tx) AddPNEs(pnes []server.PNE) (known []cpns.EntityID, err error) {
	for _, p := range pnes {
		if err := t.AddPNE(p); errors.Is(err, server.ErrExists) {
			known = append(known, p.Entity)
		} else if err != nil {
			return nil, err
		}
	}
	return known, nil
}

func (t *tx) SetTK(e cpns.EntityID, tk server.Sealed) error {
	return t.change("UPDATE pnes SET tk = ? WHERE entity = ? AND tk <> x''", []byte(tk), string(e))
}

func (t *tx) RemovePNE(e cpns.EntityID) error {
	if err := t.change("UPDATE pnes SET tk = x'', owner = '', gateway = '', state = 'removed' WHERE entity = ? AND tk <> x''", string(e)); err != nil {
		return err
	}
	return t.EraseKeys(e)
}

func (t *tx) SetOwner(p server.PNE) error {
	return t.change("UPDATE pnes SET owner = ?, epoch = ?, gateway = ?, assigned = ?, state = ? WHERE entity = ? AND tk <> x''",
		string(p.Owner), int64(p.Epoch), string(p.Gateway), p.Assigned, string(p.State()), string(p.Entity))
}

func (t *tx) PNEsAfter(f server.PNEFilter, e cpns.EntityID, limit int) ([]server.PNE, error) {
	where, args := "WHERE entity > ? AND tk <> x''", []any{string(e)}
	for _, c := range []struct{ condition, value string }{
		{"owner = ? AND owner <> ''", string(f.Owner)},
		{"gateway = ? AND gateway <> ''", string(f.Gateway)},
		{"state = ?", string(f.State)},
		{"entity >= ?", f.Prefix},
	} {
		if c.value != "" {
			where += " AND " + c.condition
			args = append(args, c.value)
		}
	}
	if f.Prefix != "" { // nothing in an ID is above ~
		where += " AND entity <= ?"
		args = append(args, f.Prefix+strings.Repeat("~", 64))
	}
	return list(t, scanPNE, pneColumns+where+" ORDER BY entity LIMIT ?", append(args, int64(limit))...)
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
	return get(t, scanAssignment, `SELECT entity, epoch, user_id, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created
		FROM assignments WHERE rand_pngw = ?`, randPNGW[:])
}

func (t *tx) AddAssignment(a server.Assignment) error {
	return t.insert(`INSERT INTO assignments (entity, epoch, user_id, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created)
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
	return list(t, (*row).time, `SELECT at FROM claims WHERE user_id = ? AND gateway = ? AND at > ? AND at <= ?
		ORDER BY at DESC LIMIT ?`, string(u), string(g), since, until, int64(limit))
}

func (t *tx) AddClaim(c server.Claim) error {
	_, err := t.exec("INSERT INTO claims (user_id, gateway, at, entity) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(c.User), string(c.Gateway), c.Time, string(c.Entity))
	return err
}

func (t *tx) PruneClaims(before time.Time) error {
	_, err := t.exec("DELETE FROM claims WHERE at < ?", before)
	return err
}

// Failures.

func (t *tx) FailuresAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	return list(t, (*row).time, `SELECT at FROM failures WHERE user_id = ? AND gateway = ? AND at > ? AND at <= ?
		ORDER BY at DESC LIMIT ?`, string(u), string(g), since, until, int64(limit))
}

func (t *tx) CountFailures(u cpns.UserID, since, until time.Time, limit int) (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM (SELECT 1 FROM failures WHERE user_id = ? AND at > ? AND at <= ? LIMIT ?)",
		string(u), since, until, int64(limit))
	return int(n), err
}

func (t *tx) FailedAt(first, last cpns.UserID, since, until time.Time, limit int) ([]server.FailedAt, error) {
	scan := func(r *row) server.FailedAt {
		return server.FailedAt{User: cpns.UserID(r.text()), Gateway: cpns.GatewayID(r.text())}
	}
	return list(t, scan, `SELECT DISTINCT user_id, gateway FROM failures WHERE user_id >= ? AND user_id <= ? AND at > ? AND at <= ?
		ORDER BY user_id, gateway LIMIT ?`, string(first), string(last), since, until, int64(limit))
}

func (t *tx) AddFailure(f server.Failure) error {
	return t.insert("INSERT INTO failures (user_id, gateway, request_tag, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(f.User), string(f.Gateway), f.RequestTag[:], f.Time)
}

func (t *tx) HasFailed(u cpns.UserID, g cpns.GatewayID, request server.Tag) (bool, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM failures WHERE user_id = ? AND gateway = ? AND request_tag = ?", string(u), string(g), request[:])
	return n > 0, err
}

func (t *tx) RemoveFailures(u cpns.UserID) error {
	_, err := t.exec("DELETE FROM failures WHERE user_id = ?", string(u))
	return err
}

func (t *tx) PruneFailures(before time.Time) error {
	_, err := t.exec("DELETE FROM failures WHERE at < ?", before)
	return err
}

// Events.

const eventColumns = "SELECT seq, at, kind, user_id, entity, gateway, epoch, source, detail, mac FROM events "

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
		MAC:     r.bytes32(),
	}
}

func (t *tx) AddEvent(e server.Event) error {
	_, err := t.exec("INSERT INTO events (at, kind, user_id, entity, gateway, epoch, source, detail, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.Time, string(e.Kind), string(e.User), string(e.Entity), string(e.Gateway), int64(e.Epoch), e.Source, e.Detail, e.MAC.Bytes())
	return err
}

func (t *tx) EventsAfter(seq int64, since time.Time, limit int) ([]server.Event, error) {
	return list(t, scanEvent, eventColumns+"WHERE seq > ? AND at >= ? ORDER BY seq LIMIT ?", seq, since, int64(limit))
}

// array is a list of numbers as one parameter.
func array(numbers []int64) string { return strings.ReplaceAll(fmt.Sprint(numbers), " ", ",") }

func (t *tx) EventsAt(seqs []int64) ([]server.Event, error) {
	return list(t, scanEvent, eventColumns+"WHERE seq IN (SELECT value FROM json_each(?)) ORDER BY seq", array(seqs))
}

func (t *tx) RemoveEvents(seqs []int64) error {
	_, err := t.exec("DELETE FROM events WHERE seq IN (SELECT value FROM json_each(?))", array(seqs))
	return err
}

// Seals.

const sealColumns = "SELECT number, at, upto, total, entries, mac FROM seals "

func scanSeal(r *row) server.Seal {
	return server.Seal{Number: r.int(), Time: r.time(), Upto: r.int(), Total: r.int(), Entries: r.blob(), MAC: r.blob()}
}

func (t *tx) LastSeal() (server.Seal, error) {
	return get(t, scanSeal, sealColumns+"ORDER BY number DESC LIMIT 1")
}

func (t *tx) SealsAfter(number int64, limit int) ([]server.Seal, error) {
	return list(t, scanSeal, sealColumns+"WHERE number > ? ORDER BY number LIMIT ?", number, int64(limit))
}

func (t *tx) AddSeal(s server.Seal) error {
	return t.insert("INSERT INTO seals (number, at, upto, total, entries, mac) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		s.Number, s.Time, s.Upto, s.Total, s.Entries, s.MAC)
}

func (t *tx) RemoveSeal(number int64) error {
	return t.change("DELETE FROM seals WHERE number = ?", number)
}

// Replicas.

func (t *tx) SetReplica(r server.Replica) error {
	_, err := t.exec("INSERT OR REPLACE INTO replicas (id, name, seen, keys) VALUES (?, ?, ?, ?)", r.ID, r.Name, r.Seen, server.KeyIDsText(r.Keys))
	return err
}

func (t *tx) RemoveReplica(id string) error { return t.change("DELETE FROM replicas WHERE id = ?", id) }

func (t *tx) ReplicasSince(since time.Time) ([]server.Replica, error) {
	scan := func(r *row) server.Replica {
		return server.Replica{ID: r.text(), Name: r.text(), Seen: r.time(), Keys: server.ParseKeyIDs(r.text())}
	}
	return list(t, scan, "SELECT id, name, seen, keys FROM replicas WHERE seen >= ? ORDER BY id", since)
}

func (t *tx) CountReplicas(since time.Time) (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM replicas WHERE seen >= ?", since)
	return int(n), err
}

func (t *tx) PruneReplicas(before time.Time) error {
	_, err := t.exec("DELETE FROM replicas WHERE seen < ?", before)
	return err
}
