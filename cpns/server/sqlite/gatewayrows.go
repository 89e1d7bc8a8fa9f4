package sqlite

import (
	"errors"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// Gateways.

const gatewayColumns = "SELECT id, key, impi, invitation, fetched, model, serial, created, seen FROM gateways "

func scanGateway(r *row) server.Gateway {
	return server.Gateway{
		ID:         cpns.GatewayID(r.text()),
		Key:        r.bytes32(),
		IMPI:       r.text(),
		Invitation: r.text(),
		Fetched:    r.int() != 0,
		Model:      r.text(),
		Serial:     r.text(),
		Created:    r.time(),
		Seen:       r.time(),
	}
}

// keyBlob is a key's hash, or nothing for none.
func keyBlob(key cpns.SPKIHash) []byte {
	if key == (cpns.SPKIHash{}) {
		return nil
	}
	return key[:]
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

func (t *tx) Gateway(id cpns.GatewayID) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE id = ?", string(id))
}

func (t *tx) GatewayByKey(key cpns.SPKIHash) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE key = ? AND key <> x''", keyBlob(key))
}

func (t *tx) GatewayByKeys(first, last cpns.SPKIHash) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE key BETWEEN ? AND ? AND key <> x'' LIMIT 1", keyBlob(first), keyBlob(last))
}

func (t *tx) GatewayByIMPI(impi string) (server.Gateway, error) {
	return get(t, scanGateway, gatewayColumns+"WHERE impi = ? AND impi <> ''", impi)
}

func (t *tx) GatewaysBySerial(serial string, limit int) ([]server.Gateway, error) {
	return list(t, scanGateway, gatewayColumns+"WHERE serial = ? AND serial <> '' ORDER BY id LIMIT ?", serial, int64(limit))
}

func (t *tx) AddGateway(g server.Gateway) error {
	return t.insert("INSERT INTO gateways (id, key, impi, invitation, fetched, model, serial, created, seen) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(g.ID), keyBlob(g.Key), g.IMPI, g.Invitation, flag(g.Fetched), g.Model, g.Serial, g.Created, g.Seen)
}

func (t *tx) SetGateway(g server.Gateway) error {
	if other, err := t.GatewayByKey(g.Key); err == nil && other.ID != g.ID {
		return server.ErrExists
	} else if err != nil && !errors.Is(err, server.ErrNotFound) {
		return err
	}
	return t.change("UPDATE gateways SET key = ?, impi = ?, invitation = ?, fetched = ?, model = ?, serial = ?, seen = ? WHERE id = ?",
		keyBlob(g.Key), g.IMPI, g.Invitation, flag(g.Fetched), g.Model, g.Serial, g.Seen, string(g.ID))
}

func (t *tx) SetSeen(id cpns.GatewayID, seen time.Time) error {
	return t.change("UPDATE gateways SET seen = ? WHERE id = ?", seen, string(id))
}

func (t *tx) RemoveGateway(id cpns.GatewayID) error {
	return t.change("DELETE FROM gateways WHERE id = ?", string(id))
}

func (t *tx) GatewaysAfter(id cpns.GatewayID, limit int) ([]server.Gateway, error) {
	return list(t, scanGateway, gatewayColumns+"WHERE id > ? ORDER BY id LIMIT ?", string(id), int64(limit))
}

// PSK1s.

const psk1Columns = "SELECT identity, gateway, source, psk1, tag, created, used, ends FROM psk1s "

func scanPSK1(r *row) server.PSK1 {
	return server.PSK1{
		Identity: cpns.PSKIdentity(r.text()),
		Gateway:  cpns.GatewayID(r.text()),
		Source:   server.Source(r.text()),
		Key:      r.blob(),
		Tag:      r.bytes32(),
		Created:  r.time(),
		Used:     r.time(),
		Ends:     r.time(),
	}
}

func (t *tx) PSK1(id cpns.PSKIdentity) (server.PSK1, error) {
	return get(t, scanPSK1, psk1Columns+"WHERE identity = ?", string(id))
}

func (t *tx) PSK1ByTag(tag server.Tag) (server.PSK1, error) {
	return get(t, scanPSK1, psk1Columns+"WHERE tag = ?", tag[:])
}

func (t *tx) PSK1sOf(g cpns.GatewayID) ([]server.PSK1, error) {
	return list(t, scanPSK1, psk1Columns+"WHERE gateway = ? ORDER BY created DESC, identity", string(g))
}

func (t *tx) AddPSK1(p server.PSK1) error {
	if _, err := t.Gateway(p.Gateway); err != nil {
		return err
	}
	return t.insert("INSERT INTO psk1s (identity, gateway, source, psk1, tag, created, used, ends) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		string(p.Identity), string(p.Gateway), string(p.Source), []byte(p.Key), p.Tag[:], p.Created, p.Used, p.Ends)
}

func (t *tx) SetPSK1Times(id cpns.PSKIdentity, used, ends time.Time) error {
	return t.change("UPDATE psk1s SET used = ?, ends = ? WHERE identity = ?", used, ends, string(id))
}

func (t *tx) RemovePSK1(id cpns.PSKIdentity) error {
	return t.change("DELETE FROM psk1s WHERE identity = ?", string(id))
}

func (t *tx) PrunePSK1s(endedBefore time.Time) error {
	_, err := t.exec("DELETE FROM psk1s WHERE ends > ? AND ends < ?", time.Time{}, endedBefore)
	return err
}

// Enrolments.

const enrolmentColumns = "SELECT key, state, gateway, was, invitation, model, serial, macs, source, first_at, last_at FROM enrolments "

func scanEnrolment(r *row) server.Enrolment {
	return server.Enrolment{
		Key:        r.bytes32(),
		State:      server.EnrolmentState(r.text()),
		Gateway:    cpns.GatewayID(r.text()),
		Was:        cpns.GatewayID(r.text()),
		Invitation: r.text(),
		Model:      r.text(),
		Serial:     r.text(),
		MACs:       strings.Fields(r.text()),
		Source:     r.text(),
		First:      r.time(),
		Last:       r.time(),
	}
}

func (t *tx) Enrolment(key cpns.SPKIHash) (server.Enrolment, error) {
	return get(t, scanEnrolment, enrolmentColumns+"WHERE key = ?", key[:])
}

func (t *tx) SetEnrolment(e server.Enrolment) error {
	_, err := t.exec("INSERT OR REPLACE INTO enrolments (key, state, gateway, was, invitation, model, serial, macs, source, first_at, last_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
		e.Key[:], string(e.State), string(e.Gateway), string(e.Was), e.Invitation, e.Model, e.Serial, strings.Join(e.MACs, " "), e.Source, e.First, e.Last)
	return err
}

func (t *tx) RemoveEnrolment(key cpns.SPKIHash) error {
	return t.change("DELETE FROM enrolments WHERE key = ?", key[:])
}

func (t *tx) EnrolmentsAfter(key cpns.SPKIHash, limit int) ([]server.Enrolment, error) {
	return list(t, scanEnrolment, enrolmentColumns+"WHERE key > ? ORDER BY key LIMIT ?", keyBlob(key), int64(limit))
}

// displaceable are the pending enrolments that may be removed for others.
const displaceable = "FROM enrolments WHERE state = 'pending' AND was = ''"

func (t *tx) DisplacePending(source string, perSource, total int) error {
	const oldest = "DELETE FROM enrolments WHERE key = (SELECT key " + displaceable + " AND source = ? ORDER BY first_at LIMIT 1)"
	own, err := get(t, (*row).int, "SELECT count(*) "+displaceable+" AND source = ?", source)
	if err != nil {
		return err
	}
	if own >= int64(perSource) {
		_, err := t.exec(oldest, source)
		return err
	}
	all, err := get(t, (*row).int, "SELECT count(*) "+displaceable)
	if err != nil || all < int64(total) {
		return err
	}
	crowd, err := get(t, (*row).text, "SELECT source "+displaceable+" GROUP BY source ORDER BY count(*) DESC, min(first_at) LIMIT 1")
	if err != nil {
		return err
	}
	_, err = t.exec(oldest, crowd)
	return err
}

func (t *tx) PruneEnrolments(pending, others time.Time) error {
	_, err := t.exec("DELETE FROM enrolments WHERE last_at < CASE WHEN state = 'pending' AND was = '' THEN ? ELSE ? END", pending, others)
	return err
}

// Invitations.

const invitationColumns = "SELECT id, secret, gateway, uses, bound, created, ends FROM invitations "

func scanInvitation(r *row) server.Invitation {
	return server.Invitation{
		ID:      r.text(),
		Secret:  r.blob(),
		Gateway: cpns.GatewayID(r.text()),
		Uses:    int(r.int()),
		Bound:   int(r.int()),
		Created: r.time(),
		Ends:    r.time(),
	}
}

func (t *tx) Invitation(id string) (server.Invitation, error) {
	return get(t, scanInvitation, invitationColumns+"WHERE id = ?", id)
}

func (t *tx) AddInvitation(i server.Invitation) error {
	return t.insert("INSERT INTO invitations (id, secret, gateway, uses, bound, created, ends) VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING",
		i.ID, []byte(i.Secret), string(i.Gateway), int64(i.Uses), int64(i.Bound), i.Created, i.Ends)
}

func (t *tx) SetInvitation(id string, bound int, ends time.Time) error {
	return t.change("UPDATE invitations SET bound = ?, ends = ? WHERE id = ?", int64(bound), ends, id)
}

func (t *tx) InvitationsAfter(id string, limit int) ([]server.Invitation, error) {
	return list(t, scanInvitation, invitationColumns+"WHERE id > ? ORDER BY id LIMIT ?", id, int64(limit))
}

func (t *tx) CountInvitations() (int, error) {
	n, err := get(t, (*row).int, "SELECT count(*) FROM invitations")
	return int(n), err
}

func (t *tx) PruneInvitations(endedBefore time.Time) error {
	_, err := t.exec("DELETE FROM invitations WHERE ends < ?", endedBefore)
	return err
}
