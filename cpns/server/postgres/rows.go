package postgres

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Settings.

func (t *tx) Setting(name string) ([]byte, error) {
	return get(t, scanOne[[]byte], "SELECT value FROM settings WHERE name = $1", name)
}

func (t *tx) AddSetting(name string, value []byte) error {
	return t.insert("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT DO NOTHING", name, bytea(value))
}

func (t *tx) SetSetting(name string, value []byte) error {
	_, err := t.exec("INSERT INTO settings (name, value) VALUES ($1, $2) ON CONFLICT (name) DO UPDATE SET value = excluded.value", name, bytea(value))
	return err
}

func (t *tx) RemoveSetting(name string) error {
	return t.change("DELETE FROM settings WHERE name = $1", name)
}

// Users.

const userColumns = "SELECT id, password_hash, created, disabled, seen FROM users "

func scanUser(scan func(...any) error) (u server.User, err error) {
	var created, seen int64
	err = scan(&u.ID, (*[]byte)(&u.PasswordHash), &created, &u.Disabled, &seen)
	u.Created, u.Seen = timeOf(created), timeOf(seen)
	return u, err
}

func (t *tx) User(id cpns.UserID) (server.User, error) {
	return get(t, scanUser, userColumns+"WHERE id = $1", string(id))
}

func (t *tx) AddUser(u server.User) error {
	return t.insert("INSERT INTO users (id, password_hash, created, disabled, seen) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		string(u.ID), bytea(u.PasswordHash), millis(u.Created), u.Disabled, millis(u.Seen))
}

func (t *tx) SetPasswordHash(id cpns.UserID, hash server.Sealed) error {
	return t.change("UPDATE users SET password_hash = $1 WHERE id = $2", bytea(hash), string(id))
}

func (t *tx) SetUserDisabled(id cpns.UserID, disabled bool) error {
	return t.change("UPDATE users SET disabled = $1 WHERE id = $2", disabled, string(id))
}

func (t *tx) SetUserSeen(id cpns.UserID, seen time.Time) error {
	return t.change("UPDATE users SET seen = $1 WHERE id = $2", millis(seen), string(id))
}

func (t *tx) RemoveUser(id cpns.UserID) error {
	return t.change("DELETE FROM users WHERE id = $1", string(id))
}

func (t *tx) UsersAfter(id cpns.UserID, limit int) ([]server.User, error) {
	return list(t, scanUser, userColumns+"WHERE id > $1 ORDER BY id LIMIT $2", string(id), limit)
}

// PNEs.

const pneColumns = "SELECT entity, tk, owner, epoch, created, gateway, assigned FROM pnes "

func scanPNE(scan func(...any) error) (p server.PNE, err error) {
	var created, assigned int64
	err = scan(&p.Entity, (*[]byte)(&p.TK), &p.Owner, &p.Epoch, &created, &p.Gateway, &assigned)
	p.Created, p.Assigned = timeOf(created), timeOf(assigned)
	return p, err
}

func (t *tx) PNE(e cpns.EntityID) (server.PNE, error) {
	return get(t, scanPNE, pneColumns+"WHERE entity = $1 AND tk <> ''", string(e))
}

func (t *tx) AddPNE(p server.PNE) error {
	return t.insert(`INSERT INTO pnes (entity, tk, owner, epoch, created, gateway, assigned, state) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (entity) DO UPDATE SET tk = excluded.tk, owner = excluded.owner, created = excluded.created,
			gateway = excluded.gateway, assigned = excluded.assigned, state = excluded.state WHERE pnes.tk = ''`,
		string(p.Entity), bytea(p.TK), string(p.Owner), int64(p.Epoch), millis(p.Created), string(p.Gateway), millis(p.Assigned), string(p.State()))
}

func (t *tx) PNEsAmong(entities []cpns.EntityID) ([]server.PNE, error) {
	ids := make([]string, len(entities))
	for n, e := range entities {
		ids[n] = string(e)
	}
	return list(t, scanPNE, pneColumns+"WHERE entity = ANY ($1::text[]) AND tk <> ''", ids)
}

func (t *tx) AddPNEs(pnes []server.PNE) ([]cpns.EntityID, error) {
	if len(pnes) == 0 {
		return nil, nil
	}
	var rows columns
	left := make(map[cpns.EntityID]bool, len(pnes))
	for _, p := range pnes {
		rows.row(string(p.Entity), []byte(p.TK), string(p.Owner), int64(p.Epoch), millis(p.Created), string(p.Gateway), millis(p.Assigned), string(p.State()))
		left[p.Entity] = true
	}
	added, err := list(t, scanOne[cpns.EntityID], `INSERT INTO pnes (entity, tk, owner, epoch, created, gateway, assigned, state)
		SELECT * FROM unnest($1::text[], $2::bytea[], $3::text[], $4::bigint[], $5::bigint[], $6::text[], $7::bigint[], $8::text[])
		ON CONFLICT (entity) DO UPDATE SET tk = excluded.tk, owner = excluded.owner, created = excluded.created,
			gateway = excluded.gateway, assigned = excluded.assigned, state = excluded.state WHERE pnes.tk = '' RETURNING entity`, rows.args()...)
	if err != nil {
		return nil, err
	}
	for _, e := range added {
		delete(left, e)
	}
	return slices.Collect(maps.Keys(left)), nil
}

func (t *tx) SetTK(e cpns.EntityID, tk server.Sealed) error {
	return t.change("UPDATE pnes SET tk = $1 WHERE entity = $2 AND tk <> ''", bytea(tk), string(e))
}

func (t *tx) RemovePNE(e cpns.EntityID) error {
	if err := t.change("UPDATE pnes SET tk = '', owner = '', gateway = '', state = 'removed' WHERE entity = $1 AND tk <> ''", string(e)); err != nil {
		return err
	}
	return t.EraseKeys(e)
}

func (t *tx) SetOwner(p server.PNE) error {
	return t.change("UPDATE pnes SET owner = $1, epoch = $2, gateway = $3, assigned = $4, state = $5 WHERE entity = $6 AND tk <> ''",
		string(p.Owner), int64(p.Epoch), string(p.Gateway), millis(p.Assigned), string(p.State()), string(p.Entity))
}

func (t *tx) PNEsAfter(f server.PNEFilter, e cpns.EntityID, limit int) ([]server.PNE, error) {
	where, args := "WHERE entity > $1 AND tk <> ''", []any{string(e)}
	also := func(condition string, value any) {
		args = append(args, value)
		where += " AND " + strings.ReplaceAll(condition, "?", "$"+strconv.Itoa(len(args)))
	}
	if f.Owner != "" {
		also("owner = ? AND owner <> ''", string(f.Owner))
	}
	if f.Gateway != "" {
		also("gateway = ? AND gateway <> ''", string(f.Gateway))
	}
	if f.State != "" {
		also("state = ?", string(f.State))
	}
	if f.Prefix != "" { // nothing in an ID is above ~
		also("entity >= ?", f.Prefix)
		also("entity <= ?", f.Prefix+strings.Repeat("~", 64))
	}
	also("true ORDER BY entity LIMIT ?", limit)
	return list(t, scanPNE, pneColumns+where, args...)
}

func (t *tx) CountPNEsOf(u cpns.UserID) (int, error) {
	return get(t, scanOne[int], "SELECT count(*) FROM pnes WHERE owner = $1 AND owner <> ''", string(u))
}

// Assignments.

func scanAssignment(scan func(...any) error) (a server.Assignment, err error) {
	var randPNGW, tag []byte
	var requested, created int64
	err = scan(&a.Entity, &a.Epoch, &a.User, &a.Gateway, &randPNGW, (*[]byte)(&a.RandSVR), &a.Length, &tag, &requested, &created)
	a.RandPNGW, a.RequestTag = bytes32(randPNGW), bytes32(tag)
	a.RequestTime, a.Created = timeOf(requested), timeOf(created)
	return a, err
}

const assignmentColumns = "SELECT entity, epoch, user_id, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created FROM assignments "

func (t *tx) AssignmentByRandom(randPNGW *[cpns.RandSize]byte) (server.Assignment, error) {
	return get(t, scanAssignment, assignmentColumns+"WHERE rand_pngw = $1", randPNGW[:])
}

func (t *tx) AddAssignment(a server.Assignment) error {
	return t.insert(`INSERT INTO assignments (entity, epoch, user_id, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING`,
		string(a.Entity), int64(a.Epoch), string(a.User), string(a.Gateway), a.RandPNGW[:], bytea(a.RandSVR),
		a.Length, a.RequestTag[:], millis(a.RequestTime), millis(a.Created))
}

func (t *tx) EraseKeys(e cpns.EntityID) error {
	_, err := t.exec("UPDATE assignments SET rand_svr = '' WHERE entity = $1", string(e))
	return err
}

func (t *tx) PruneAssignments(e cpns.EntityID, before time.Time) error {
	// The oldest few only, as in package sqlite.
	_, err := t.exec(`DELETE FROM assignments WHERE entity = $1 AND request_time < $2 AND epoch IN
		(SELECT epoch FROM assignments WHERE entity = $1 AND epoch < (SELECT epoch FROM pnes WHERE entity = $1) ORDER BY epoch LIMIT 8)`,
		string(e), millis(before))
	return err
}

// Claims.

func scanTime(scan func(...any) error) (time.Time, error) {
	var ms int64
	err := scan(&ms)
	return timeOf(ms), err
}

func (t *tx) ClaimsAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	return list(t, scanTime, "SELECT at FROM claims WHERE user_id = $1 AND gateway = $2 AND at > $3 AND at <= $4 ORDER BY at DESC LIMIT $5",
		string(u), string(g), millis(since), millis(until), limit)
}

// takeTurn makes two conflict that add something of a user at a gateway at once.
func (t *tx) takeTurn(u cpns.UserID, g cpns.GatewayID, at time.Time) error {
	_, err := t.exec("INSERT INTO turns (user_id, gateway, at, mark) VALUES ($1, $2, $3, $4) ON CONFLICT (user_id, gateway) DO UPDATE SET at = excluded.at, mark = excluded.mark",
		string(u), string(g), millis(at), newMark())
	return err
}

func (t *tx) AddClaim(c server.Claim) error {
	if err := t.takeTurn(c.User, c.Gateway, c.Time); err != nil {
		return err
	}
	_, err := t.exec("INSERT INTO claims (user_id, gateway, at, entity) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		string(c.User), string(c.Gateway), millis(c.Time), string(c.Entity))
	return err
}

func (t *tx) PruneClaims(before time.Time) error {
	_, err := t.exec("DELETE FROM claims WHERE at < $1", millis(before))
	if err == nil {
		_, err = t.exec("DELETE FROM turns WHERE at < $1", millis(before))
	}
	return err
}

// Failures.

func (t *tx) FailuresAt(u cpns.UserID, g cpns.GatewayID, since, until time.Time, limit int) ([]time.Time, error) {
	return list(t, scanTime, "SELECT at FROM failures WHERE user_id = $1 AND gateway = $2 AND at > $3 AND at <= $4 ORDER BY at DESC LIMIT $5",
		string(u), string(g), millis(since), millis(until), limit)
}

func (t *tx) CountFailures(u cpns.UserID, since, until time.Time, limit int) (int, error) {
	return get(t, scanOne[int], "SELECT count(*) FROM (SELECT 1 FROM failures WHERE user_id = $1 AND at > $2 AND at <= $3 LIMIT $4) AS f",
		string(u), millis(since), millis(until), limit)
}

func (t *tx) FailedAt(first, last cpns.UserID, since, until time.Time, limit int) ([]server.FailedAt, error) {
	scan := func(scan func(...any) error) (f server.FailedAt, err error) { return f, scan(&f.User, &f.Gateway) }
	return list(t, scan, `SELECT DISTINCT user_id, gateway FROM failures WHERE user_id >= $1 AND user_id <= $2 AND at > $3 AND at <= $4
		ORDER BY user_id, gateway LIMIT $5`, string(first), string(last), millis(since), millis(until), limit)
}

func (t *tx) AddFailure(f server.Failure) error {
	if err := t.takeTurn(f.User, f.Gateway, f.Time); err != nil {
		return err
	}
	return t.insert("INSERT INTO failures (user_id, gateway, request_tag, at) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING",
		string(f.User), string(f.Gateway), f.RequestTag[:], millis(f.Time))
}

func (t *tx) HasFailed(u cpns.UserID, g cpns.GatewayID, request server.Tag) (bool, error) {
	return get(t, scanOne[bool], "SELECT EXISTS (SELECT FROM failures WHERE user_id = $1 AND gateway = $2 AND request_tag = $3)", string(u), string(g), request[:])
}

func (t *tx) RemoveFailures(u cpns.UserID) error {
	_, err := t.exec("DELETE FROM failures WHERE user_id = $1", string(u))
	return err
}

func (t *tx) PruneFailures(before time.Time) error {
	_, err := t.exec("DELETE FROM failures WHERE at < $1", millis(before))
	return err
}

// Events.

const eventColumns = "SELECT seq, at, kind, user_id, entity, gateway, epoch, source, detail, mac FROM events "

func scanEvent(scan func(...any) error) (e server.Event, err error) {
	var at int64
	var mac []byte
	err = scan(&e.Seq, &at, &e.Kind, &e.User, &e.Entity, &e.Gateway, &e.Epoch, &e.Source, &e.Detail, &mac)
	e.Time, e.MAC = timeOf(at), bytes32(mac)
	return e, err
}

func (t *tx) AddEvent(e server.Event) error {
	_, err := t.exec("INSERT INTO events (at, kind, user_id, entity, gateway, epoch, source, detail, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)",
		millis(e.Time), string(e.Kind), string(e.User), string(e.Entity), string(e.Gateway), int64(e.Epoch), text(e.Source), text(e.Detail), e.MAC.Bytes())
	return err
}

func (t *tx) EventsAfter(seq int64, since time.Time, limit int) ([]server.Event, error) {
	return list(t, scanEvent, eventColumns+"WHERE seq > $1 AND at >= $2 ORDER BY seq LIMIT $3", seq, millis(since), limit)
}

func (t *tx) EventsAt(seqs []int64) ([]server.Event, error) {
	return list(t, scanEvent, eventColumns+"WHERE seq = ANY($1) ORDER BY seq", seqs)
}

func (t *tx) RemoveEvents(seqs []int64) error {
	_, err := t.exec("DELETE FROM events WHERE seq = ANY($1)", seqs)
	return err
}

// Seals.

const sealColumns = "SELECT number, at, upto, total, entries, mac FROM seals "

func scanSeal(scan func(...any) error) (s server.Seal, err error) {
	var at int64
	err = scan(&s.Number, &at, &s.Upto, &s.Total, &s.Entries, &s.MAC)
	s.Time = timeOf(at)
	return s, err
}

func (t *tx) LastSeal() (server.Seal, error) {
	return get(t, scanSeal, sealColumns+"ORDER BY number DESC LIMIT 1")
}

func (t *tx) SealsAfter(number int64, limit int) ([]server.Seal, error) {
	return list(t, scanSeal, sealColumns+"WHERE number > $1 ORDER BY number LIMIT $2", number, limit)
}

func (t *tx) AddSeal(s server.Seal) error {
	return t.insert("INSERT INTO seals (number, at, upto, total, entries, mac) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
		s.Number, millis(s.Time), s.Upto, s.Total, bytea(s.Entries), bytea(s.MAC))
}

func (t *tx) RemoveSeal(number int64) error {
	return t.change("DELETE FROM seals WHERE number = $1", number)
}

// Replicas.

func (t *tx) SetReplica(r server.Replica) error {
	_, err := t.exec(`INSERT INTO replicas (id, name, seen, keys) VALUES ($1, $2, $3, $4)
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, seen = excluded.seen, keys = excluded.keys`,
		r.ID, text(r.Name), millis(r.Seen), server.KeyIDsText(r.Keys))
	return err
}

func (t *tx) RemoveReplica(id string) error {
	return t.change("DELETE FROM replicas WHERE id = $1", id)
}

func (t *tx) ReplicasSince(since time.Time) ([]server.Replica, error) {
	scan := func(scan func(...any) error) (r server.Replica, err error) {
		var seen int64
		var keys string
		err = scan(&r.ID, &r.Name, &seen, &keys)
		r.Seen, r.Keys = timeOf(seen), server.ParseKeyIDs(keys)
		return r, err
	}
	return list(t, scan, "SELECT id, name, seen, keys FROM replicas WHERE seen >= $1 ORDER BY id", millis(since))
}

func (t *tx) CountReplicas(since time.Time) (int, error) {
	return get(t, scanOne[int], "SELECT count(*) FROM replicas WHERE seen >= $1", millis(since))
}

func (t *tx) PruneReplicas(before time.Time) error {
	_, err := t.exec("DELETE FROM replicas WHERE seen < $1", millis(before))
	return err
}
