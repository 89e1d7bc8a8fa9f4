package sqlite

import (
	"errors"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// findAll reads what nearly every request needs in one statement: a PSK1, its gateway, a
// user and a PNE, if all of them exist, and whether there is any failure of the user or
// an assignment with the RAND_PNGW, which is rare.
const findAll = `SELECT p.gateway, p.source, p.psk1, p.tag, p.created, p.used, p.ends, g.seen,
	u.password_hash, u.created, u.disabled, u.seen,
	d.tk, d.owner, d.epoch, d.created, d.gateway, d.assigned,
	EXISTS (SELECT 1 FROM failures WHERE user_id = u.id), EXISTS (SELECT 1 FROM assignments WHERE rand_pngw = ?5)
	FROM psk1s p CROSS JOIN gateways g CROSS JOIN users u CROSS JOIN pnes d
	WHERE p.identity = ?1 AND g.id = ?2 AND u.id = ?3 AND d.entity = ?4 AND d.tk <> x''`

// find reads what an inquiry asks for, with the same result as Inquiry.Find.
func (t *tx) find(q *server.Inquiry) (*server.Findings, error) {
	var failures, earlier bool
	f, err := get(t, func(r *row) *server.Findings {
		f := new(server.Findings)
		f.PSK1 = server.PSK1{
			Identity: q.Identity,
			Gateway:  cpns.GatewayID(r.text()),
			Source:   server.Source(r.text()),
			Key:      r.blob(),
			Tag:      r.bytes32(),
			Created:  r.time(),
			Used:     r.time(),
			Ends:     r.time(),
		}
		f.Seen = r.time()
		f.User = server.User{ID: q.User, PasswordHash: r.blob(), Created: r.time(), Disabled: r.int() != 0, Seen: r.time()}
		f.PNE = server.PNE{
			Entity:   q.Entity,
			TK:       r.blob(),
			Owner:    cpns.UserID(r.text()),
			Epoch:    cpns.Epoch(r.int()),
			Created:  r.time(),
			Gateway:  cpns.GatewayID(r.text()),
			Assigned: r.time(),
		}
		failures, earlier = r.int() != 0, r.int() != 0
		return f
	}, findAll, string(q.Identity), string(q.Gateway), string(q.User), string(q.Entity), q.RandPNGW[:])
	if errors.Is(err, server.ErrNotFound) || err == nil && (failures || earlier || f.PNE.Owner == "") {
		return q.Find(t) // one by one
	}
	return f, err
}

// write writes what follows from findings.
func (t *tx) write(q *server.Inquiry, f *server.Findings, o *server.Outcome) error {
	if p := o.PNE; p != nil && p.Owner == f.PNE.Owner && p.Gateway == f.PNE.Gateway && p.State() == f.PNE.State() {
		// Set only what has changed: SQLite rewrites the index entries of every column that
		// is set, even to the same value.
		if err := t.change("UPDATE pnes SET epoch = ?, assigned = ? WHERE entity = ? AND tk <> x''", int64(p.Epoch), p.Assigned, string(p.Entity)); err != nil {
			return err
		}
		rest := *o
		rest.PNE = nil
		o = &rest
	}
	return o.Write(t, q)
}
