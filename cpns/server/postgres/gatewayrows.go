package postgres

import (
	"errors"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Gateways.

const gatewayColumns = "SELECT id, key, impi, invitation, fetched, model, serial, created, seen FROM gateways "

func scanGateway(scan func(...any) error) (g server.Gateway, err error) {
	var key []byte
	var created, seen int64
	err = scan(&g.ID, &key, &g.IMPI, &g.Invitation, &g.Fetched, &g.Model, &g.Serial, &created, &seen)
	g.Key, g.Created, g.Seen = bytes32(key), timeOf(created), timeOf(seen)
	return g, err
}

// keyBytes is a key's hash, or nothing for none.
func keyBytes(key cpns.SPKIHash) []byte {
	if key == (cpns.SPKIHash{}) {
		return []byte{}
	}
	return key[:]
}

func (t *tx) Gateway(id cpns.GatewayID) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE id = $1", string(id))
}

func (t *tx) GatewayByKey(key cpns.SPKIHash) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE key = $1 AND key <> ''", keyBytes(key))
}

func (t *tx) GatewayByKeys(first, last cpns.SPKIHash) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE key BETWEEN $1 AND $2 AND key <> '' LIMIT 1", keyBytes(first), keyBytes(last))
}

func (t *tx) GatewayByIMPI(impi string) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE impi = $1 AND impi <> ''", text(impi))
}

func (t *tx) GatewaysBySerial(serial string, limit int) ([]server.Gateway, error) {
	return list(t, scanGateway, gatewayColumns+"WHERE serial = $1 AND serial <> '' ORDER BY id LIMIT $2", text(serial), limit)
}

func (t *tx) AddGateway(g server.Gateway) error {
	return t.insert("INSERT INTO gateways (id, key, impi, invitation, fetched, model, serial, created, seen) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9) ON CONFLICT DO NOTHING",
		string(g.ID), keyBytes(g.Key), text(g.IMPI), g.Invitation, g.Fetched, text(g.Model), text(g.Serial), millis(g.Created), millis(g.Seen))
}

func (t *tx) SetGateway(g server.Gateway) error {
	if other, err := t.GatewayByKey(g.Key); err == nil && other.ID != g.ID {
		return server.ErrExists
	} else if err != nil && !errors.Is(err, server.ErrNotFound) {
		return err
	}
	return t.change("UPDATE gateways SET key = $1, impi = $2, invitation = $3, fetched = $4, model = $5, serial = $6, seen = $7 WHERE id = $8",
		keyBytes(g.Key), text(g.IMPI), g.Invitation, g.Fetched, text(g.Model), text(g.Serial), millis(g.Seen), string(g.ID))
}

func (t *tx) SetSeen(id cpns.GatewayID, seen time.Time) error {
	return t.change("UPDATE gateways SET seen = $1 WHERE id = $2", millis(seen), string(id))
}

func (t *tx) RemoveGateway(id cpns.GatewayID) error {
	return t.change("DELETE FROM gateways WHERE id = $1", string(id))
}

func (t *tx) GatewaysAfter(id cpns.GatewayID, limit int) ([]server.Gateway, error) {
	return list(t, scanGateway, gatewayColumns+"WHERE id > $1 ORDER BY id LIMIT $2", string(id), limit)
}

// PSK1s.

const psk1Columns = "SELECT identity, gateway, source, psk1, tag, created, used, ends FROM psk1s "

func scanPSK1(scan func(...any) error) (p server.PSK1, err error) {
	var tag []byte
	var created, used, ends int64
	err = scan(&p.Identity, &p.Gateway, &p.Source, (*[]byte)(&p.Key), &tag, &created, &used, &ends)
	p.Tag, p.Created, p.Used, p.Ends = bytes32(tag), timeOf(created), timeOf(used), timeOf(ends)
	return p, err
}

func (t *tx) PSK1(id cpns.PSKIdentity) (server.PSK1, error) {
	return get(t, scanPSK1, psk1Columns+"WHERE identity = $1", string(id))
}

func (t *tx) PSK1ByTag(tag server.Tag) (server.PSK1, error) {
	return get(t, scanPSK1, psk1Columns+"WHERE tag = $1", tag[:])
}

func (t *tx) PSK1sOf(g cpns.GatewayID) ([]server.PSK1, error) {
	return list(t, scanPSK1, psk1Columns+"WHERE gateway = $1 ORDER BY created DESC, identity", string(g))
}

func (t *tx) AddPSK1(p server.PSK1) error {
	if _, err := t.Gateway(p.Gateway); err != nil {
		return err
	}
	return t.insert("INSERT INTO psk1s (identity, gateway, source, psk1, tag, created, used, ends) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING",
		string(p.Identity), string(p.Gateway), string(p.Source), bytea(p.Key), p.Tag[:], millis(p.Created), millis(p.Used), millis(p.Ends))
}

func (t *tx) SetPSK1Times(id cpns.PSKIdentity, used, ends time.Time) error {
	return t.change("UPDATE psk1s SET used = $1, ends = $2 WHERE identity = $3", millis(used), millis(ends), string(id))
}

func (t *tx) RemovePSK1(id cpns.PSKIdentity) error {
	return t.change("DELETE FROM psk1s WHERE identity = $1", string(id))
}

func (t *tx) PrunePSK1s(endedBefore time.Time) error {
	_, err := t.exec("DELETE FROM psk1s WHERE ends > $1 AND ends < $2", millis(time.Time{}), millis(endedBefore))
	return err
}

// Enrolments.

const enrolmentColumns = "SELECT key, state, gateway, was, invitation, model, serial, macs, source, first_at, last_at FROM enrolments "

func scanEnrolment(scan func(...any) error) (e server.Enrolment, err error) {
	var key []byte
	var macs string
	var first, last int64
	err = scan(&key, &e.State, &e.Gateway, &e.Was, &e.Invitation, &e.Model, &e.Serial, &macs, &e.Source, &first, &last)
	e.Key, e.MACs, e.First, e.Last = bytes32(key), strings.Fields(macs), timeOf(first), timeOf(last)
	return e, err
}

func (t *tx) Enrolment(key cpns.SPKIHash) (server.Enrolment, error) {
	return get(t, scanEnrolment, enrolmentColumns+"WHERE key = $1", key[:])
}

func (t *tx) SetEnrolment(e server.Enrolment) error {
	_, err := t.exec(`INSERT INTO enrolments (key, state, gateway, was, invitation, model, serial, macs, source, first_at, last_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
		ON CONFLICT (key) DO UPDATE SET state = excluded.state, gateway = excluded.gateway, was = excluded.was, invitation = excluded.invitation,
			model = excluded.model, serial = excluded.serial, macs = excluded.macs, source = excluded.source,
			first_at = excluded.first_at, last_at = excluded.last_at`,
		e.Key[:], string(e.State), string(e.Gateway), string(e.Was), e.Invitation, text(e.Model), text(e.Serial),
		text(strings.Join(e.MACs, " ")), text(e.Source), millis(e.First), millis(e.Last))
	return err
}

func (t *tx) RemoveEnrolment(key cpns.SPKIHash) error {
	return t.change("DELETE FROM enrolments WHERE key = $1", key[:])
}

func (t *tx) EnrolmentsAfter(key cpns.SPKIHash, limit int) ([]server.Enrolment, error) {
	return list(t, scanEnrolment, enrolmentColumns+"WHERE key > $1 ORDER BY key LIMIT $2", keyBytes(key), limit)
}

// displaceable are the pending enrolments that may be removed for others.
const displaceable = "FROM enrolments WHERE state = 'pending' AND was = ''"

func (t *tx) DisplacePending(source string, perSource, total int) error {
	const oldest = "DELETE FROM enrolments WHERE key = (SELECT key " + displaceable + " AND source = $1 ORDER BY first_at LIMIT 1)"
	own, err := get(t, scanOne[int], "SELECT count(*) "+displaceable+" AND source = $1", source)
	if err != nil {
		return err
	}
	if own >= perSource {
		_, err := t.exec(oldest, source)
		return err
	}
	all, err := get(t, scanOne[int], "SELECT count(*) "+displaceable)
	if err != nil || all < total {
		return err
	}
	crowd, err := get(t, scanOne[string], "SELECT source "+displaceable+" GROUP BY source ORDER BY count(*) DESC, min(first_at) LIMIT 1")
	if err != nil {
		return err
	}
	_, err = t.exec(oldest, crowd)
	return err
}

func (t *tx) PruneEnrolments(pending, others time.Time) error {
	_, err := t.exec("DELETE FROM enrolments WHERE last_at < CASE WHEN state = 'pending' AND was = '' THEN $1::bigint ELSE $2::bigint END",
		millis(pending), millis(others))
	return err
}

// Invitations.

const invitationColumns = "SELECT id, secret, gateway, uses, bound, created, ends FROM invitations "

func scanInvitation(scan func(...any) error) (i server.Invitation, err error) {
	var created, ends int64
	err = scan(&i.ID, (*[]byte)(&i.Secret), &i.Gateway, &i.Uses, &i.Bound, &created, &ends)
	i.Created, i.Ends = timeOf(created), timeOf(ends)
	return i, err
}

func (t *tx) Invitation(id string) (server.Invitation, error) {
	return get(t, scanInvitation, invitationColumns+"WHERE id = $1", text(id))
}

func (t *tx) AddInvitation(i server.Invitation) error {
	return t.insert("INSERT INTO invitations (id, secret, gateway, uses, bound, created, ends) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING",
		i.ID, bytea(i.Secret), string(i.Gateway), i.Uses, i.Bound, millis(i.Created), millis(i.Ends))
}

func (t *tx) SetInvitation(id string, bound int, ends time.Time) error {
	return t.change("UPDATE invitations SET bound = $1, ends = $2 WHERE id = $3", bound, millis(ends), text(id))
}

func (t *tx) InvitationsAfter(id string, limit int) ([]server.Invitation, error) {
	return list(t, scanInvitation, invitationColumns+"WHERE id > $1 ORDER BY id LIMIT $2", text(id), limit)
}

func (t *tx) CountInvitations() (int, error) {
	return get(t, scanOne[int], "SELECT count(*) FROM invitations")
}

func (t *tx) PruneInvitations(endedBefore time.Time) error {
	_, err := t.exec("DELETE FROM invitations WHERE ends < $1", millis(endedBefore))
	return err
}
