package postgres

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// findings are those of one inquiry, and the mark of the last turn of its user at its
// gateway, 0 for none.
type findings struct {
	server.Findings
	mark int64
}

// findSQL reads what several inquiries ask for, each in a row of the array parameters, in
// one statement and so from one snapshot of the database.
const findSQL = `SELECT
	coalesce(p.identity, ''), coalesce(p.gateway, ''), coalesce(p.source, ''), p.psk1, p.tag, coalesce(p.created, 0), coalesce(p.used, 0), coalesce(p.ends, 0),
	coalesce(g.seen, -62135596800000),
	coalesce(u.id, ''), u.password_hash, coalesce(u.created, 0), coalesce(u.disabled, false), coalesce(u.seen, 0),
	coalesce(d.entity, ''), d.tk, coalesce(d.owner, ''), coalesce(d.epoch, 0), coalesce(d.created, 0), coalesce(d.gateway, ''), coalesce(d.assigned, 0),
	coalesce(a.entity, ''), coalesce(a.epoch, 0), coalesce(a.user_id, ''), coalesce(a.gateway, ''), a.rand_pngw, a.rand_svr, coalesce(a.length, 0), a.request_tag, coalesce(a.request_time, 0), coalesce(a.created, 0),
	coalesce(t.mark, 0),
	ARRAY(SELECT f.at FROM failures f WHERE f.user_id = r.user_id COLLATE "C" AND f.gateway = r.gateway COLLATE "C" AND f.at > r.lock_since AND f.at <= r.lock_until ORDER BY f.at DESC LIMIT $13),
	(SELECT count(*) FROM (SELECT 1 FROM failures f WHERE f.user_id = r.user_id COLLATE "C" AND f.at > r.slow_since AND f.at <= r.slow_until LIMIT $14) AS few),
	EXISTS (SELECT 1 FROM failures f WHERE f.user_id = r.user_id COLLATE "C" AND f.gateway = r.gateway COLLATE "C" AND f.request_tag = r.tag),
	CASE WHEN d.owner = '' THEN (SELECT c.at FROM claims c WHERE c.user_id = r.user_id COLLATE "C" AND c.gateway = r.gateway COLLATE "C" AND c.at > r.claim_since AND c.at <= r.claim_until ORDER BY c.at DESC LIMIT 1 OFFSET $15) END
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::bytea[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bigint[], $11::bigint[], $12::bigint[])
	WITH ORDINALITY AS r(identity, gateway, user_id, entity, rand, tag, lock_since, lock_until, slow_since, slow_until, claim_since, claim_until, n)
LEFT JOIN psk1s p ON p.identity = r.identity COLLATE "C"
LEFT JOIN gateways g ON g.id = r.gateway COLLATE "C"
LEFT JOIN users u ON u.id = r.user_id COLLATE "C"
LEFT JOIN pnes d ON d.entity = r.entity COLLATE "C" AND d.tk <> ''
LEFT JOIN assignments a ON a.rand_pngw = r.rand
LEFT JOIN turns t ON t.user_id = r.user_id COLLATE "C" AND t.gateway = r.gateway COLLATE "C"
ORDER BY r.n`

// findTogether finds what the inquiries of a group ask for. They have the same limits.
func findTogether(ctx context.Context, c *pgx.Conn, group []*member) ([]findings, error) {
	n := len(group)
	identities, gateways, users, entities := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	rands, tags := make([][]byte, n), make([][]byte, n)
	var times [6][]int64
	for i := range times {
		times[i] = make([]int64, n)
	}
	for i, m := range group {
		q := m.q
		identities[i], gateways[i], users[i], entities[i] = string(q.Identity), string(q.Gateway), string(q.User), string(q.Entity)
		rands[i], tags[i] = q.RandPNGW[:], q.Tag[:]
		for j, t := range []time.Time{q.Locks.Since, q.Locks.Until, q.Slowed.Since, q.Slowed.Until, q.Claims.Since, q.Claims.Until} {
			times[j][i] = millis(t)
		}
	}
	q := group[0].q
	rows, err := c.Query(ctx, findSQL, identities, gateways, users, entities, rands, tags, times[0], times[1], times[2], times[3], times[4], times[5],
		q.Locks.Limit, q.Slowed.Limit, q.Claims.Limit-1)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	found := make([]findings, 0, n)
	for rows.Next() {
		f, err := scanFindings(rows.Scan)
		if err != nil {
			return nil, err
		}
		found = append(found, f)
	}
	if err := rows.Err(); err != nil {
		return nil, err
	}
	if len(found) != n {
		return nil, errors.New("the database has not answered all that it was asked")
	}
	return found, nil
}

func scanFindings(scan func(...any) error) (f findings, err error) {
	var (
		p, u, d, a                              = &f.PSK1, &f.User, &f.PNE, &f.Earlier
		tag, aRand, aTag                        []byte
		pCreated, pUsed, pEnds, seen            int64
		uCreated, uSeen                         int64
		dCreated, dAssigned, aRequest, aCreated int64
		failures                                []int64
		claimed                                 *int64
	)
	err = scan(
		&p.Identity, &p.Gateway, &p.Source, (*[]byte)(&p.Key), &tag, &pCreated, &pUsed, &pEnds,
		&seen,
		&u.ID, (*[]byte)(&u.PasswordHash), &uCreated, &u.Disabled, &uSeen,
		&d.Entity, (*[]byte)(&d.TK), &d.Owner, &d.Epoch, &dCreated, &d.Gateway, &dAssigned,
		&a.Entity, &a.Epoch, &a.User, &a.Gateway, &aRand, (*[]byte)(&a.RandSVR), &a.Length, &aTag, &aRequest, &aCreated,
		&f.mark, &failures, &f.Slowed, &f.Failed, &claimed)
	if err != nil {
		return f, err
	}
	if p.Identity != "" {
		p.Tag, p.Created, p.Used, p.Ends = bytes32(tag), timeOf(pCreated), timeOf(pUsed), timeOf(pEnds)
	}
	f.Seen = timeOf(seen)
	if u.ID != "" {
		u.Created, u.Seen = timeOf(uCreated), timeOf(uSeen)
	}
	if d.Entity != "" {
		d.Created, d.Assigned = timeOf(dCreated), timeOf(dAssigned)
	}
	if a.Entity != "" {
		a.RandPNGW, a.RequestTag, a.RequestTime, a.Created = bytes32(aRand), bytes32(aTag), timeOf(aRequest), timeOf(aCreated)
	}
	for _, at := range failures {
		f.Failures = append(f.Failures, timeOf(at))
	}
	if claimed != nil {
		f.Claimed = timeOf(*claimed)
	}
	return f, nil
}

// newMark returns a mark that no other turn has.
func newMark() int64 { return rand.Int64N(1<<62) + 1 }

// A writing is what a group's decisions change in the database.
type writing struct {
	members []written
}

type written struct {
	q *server.Inquiry
	f *findings
	o *server.Outcome
}

func (w *writing) add(q *server.Inquiry, f *findings, o *server.Outcome) {
	w.members = append(w.members, written{q, f, o})
}

// all extends a statement on array parameters so that it fails with division_by_zero
// unless it changes as many rows as it is given. If it does not, something that was read
// has changed meanwhile; the failure also prevents everything else that was sent with the
// statement, including the commit.
func all(sql string) string {
	return "WITH done AS (" + sql + " RETURNING 1) SELECT 1 / CASE WHEN (SELECT count(*) FROM done) = $1 THEN 1 ELSE 0 END"
}

const conflictCode = "22012" // division_by_zero

var (
	turnsSQL = all(`INSERT INTO turns (user_id, gateway, at, mark, was)
		SELECT * FROM unnest($2::text[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])
		ON CONFLICT (user_id, gateway) DO UPDATE SET at = excluded.at, mark = excluded.mark, was = excluded.was WHERE turns.mark = excluded.was`)
	pnesSQL = all(`UPDATE pnes SET owner = w.owner, epoch = w.epoch, gateway = w.gateway, assigned = w.assigned, state = w.state
		FROM unnest($2::text[], $3::text[], $4::bigint[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bigint[], $10::bytea[])
			AS w(entity, owner, epoch, gateway, assigned, state, was_owner, was_epoch, was_tk)
		WHERE pnes.entity = w.entity COLLATE "C" AND pnes.owner = w.was_owner COLLATE "C" AND pnes.epoch = w.was_epoch AND pnes.tk = w.was_tk`)
	assignmentsSQL = all(`INSERT INTO assignments (entity, epoch, user_id, gateway, rand_pngw, rand_svr, length, request_tag, request_time, created)
		SELECT * FROM unnest($2::text[], $3::bigint[], $4::text[], $5::text[], $6::bytea[], $7::bytea[], $8::bigint[], $9::bytea[], $10::bigint[], $11::bigint[])
		ON CONFLICT DO NOTHING`)
	failuresSQL = all(`INSERT INTO failures (user_id, gateway, request_tag, at)
		SELECT * FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bigint[]) ON CONFLICT DO NOTHING`)
)

const (
	claimsSQL = `INSERT INTO claims (user_id, gateway, at, entity)
		SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[], $4::text[]) ON CONFLICT DO NOTHING`
	// The oldest few only, as in package sqlite.
	pruneSQL = `DELETE FROM assignments USING unnest($1::text[], $2::bigint[]) AS w(entity, before)
		WHERE assignments.entity = w.entity COLLATE "C" AND assignments.request_time < w.before AND assignments.epoch IN
			(SELECT o.epoch FROM assignments o WHERE o.entity = w.entity COLLATE "C" AND o.epoch < (SELECT d.epoch FROM pnes d WHERE d.entity = w.entity COLLATE "C") ORDER BY o.epoch LIMIT 8)`
	gatewaysSeenSQL = `UPDATE gateways SET seen = w.seen FROM unnest($1::text[], $2::bigint[]) AS w(id, seen) WHERE gateways.id = w.id COLLATE "C"`
	usersSeenSQL    = `UPDATE users SET seen = w.seen FROM unnest($1::text[], $2::bigint[]) AS w(id, seen) WHERE users.id = w.id COLLATE "C"`
	eventsSQL       = `INSERT INTO events (at, kind, user_id, entity, gateway, epoch, source, detail, mac)
		SELECT * FROM unnest($1::bigint[], $2::text[], $3::text[], $4::text[], $5::text[], $6::bigint[], $7::text[], $8::text[], $9::bytea[])`
)

// columns collects the values of rows by column.
type columns struct {
	n     int
	order []any // *[]string, *[]int64 or *[][]byte, in the order of the columns
}

// row adds a row; all rows have the same types.
func (c *columns) row(values ...any) {
	if c.n == 0 {
		for _, v := range values {
			switch v.(type) {
			case string:
				c.order = append(c.order, new([]string))
			case int64:
				c.order = append(c.order, new([]int64))
			case []byte:
				c.order = append(c.order, new([][]byte))
			}
		}
	}
	c.n++
	for i, v := range values {
		switch to := c.order[i].(type) {
		case *[]string:
			*to = append(*to, v.(string))
		case *[]int64:
			*to = append(*to, v.(int64))
		case *[][]byte:
			*to = append(*to, bytea(v.([]byte)))
		}
	}
}

// args are the columns.
func (c *columns) args() (args []any) {
	for _, column := range c.order {
		switch column := column.(type) {
		case *[]string:
			args = append(args, *column)
		case *[]int64:
			args = append(args, *column)
		case *[][]byte:
			args = append(args, *column)
		}
	}
	return args
}

// queue puts a statement on these rows into a batch, if there are any.
func (c *columns) queue(b *pgx.Batch, sql string, counted bool) {
	switch {
	case c.n == 0:
	case counted:
		b.Queue(sql, append([]any{int64(c.n)}, c.args()...)...)
	default:
		b.Queue(sql, c.args()...)
	}
}

// write writes everything in one transaction and one round trip. It fails with errConflict if
// something that was read has changed.
func (w *writing) write(ctx context.Context, c *pgx.Conn) error {
	// All groups lock rows in the same order.
	slices.SortFunc(w.members, func(a, b written) int { return strings.Compare(string(a.q.Entity), string(b.q.Entity)) })
	var pnes, assignments, prunes, events columns
	for _, m := range w.members {
		o := m.o
		if p := o.PNE; p != nil {
			pnes.row(string(m.q.Entity), string(p.Owner), int64(p.Epoch), string(p.Gateway), millis(p.Assigned), string(p.State()),
				string(m.f.PNE.Owner), int64(m.f.PNE.Epoch), []byte(m.f.PNE.TK))
		}
		if a := o.Assignment; a != nil {
			assignments.row(string(a.Entity), int64(a.Epoch), string(a.User), string(a.Gateway), a.RandPNGW[:], []byte(a.RandSVR), int64(a.Length), a.RequestTag[:], millis(a.RequestTime), millis(a.Created))
		}
		if !o.Prune.IsZero() {
			prunes.row(string(m.q.Entity), millis(o.Prune))
		}
		if e := o.Event; e != nil {
			events.row(millis(e.Time), string(e.Kind), string(e.User), string(e.Entity), string(e.Gateway), int64(e.Epoch), text(e.Source), text(e.Detail), e.MAC.Bytes())
		}
	}
	slices.SortFunc(w.members, func(a, b written) int {
		if by := strings.Compare(string(a.q.User), string(b.q.User)); by != 0 {
			return by
		}
		return strings.Compare(string(a.q.Gateway), string(b.q.Gateway))
	})
	var turns, failures, claims, gateways, users columns
	seen := make(map[cpns.UserID]bool)
	for _, m := range w.members {
		q, o := m.q, m.o
		if f := o.Failure; f != nil {
			failures.row(string(f.User), string(f.Gateway), f.RequestTag[:], millis(f.Time))
			turns.row(string(q.User), string(q.Gateway), millis(f.Time), newMark(), m.f.mark)
		}
		if cl := o.Claim; cl != nil {
			claims.row(string(cl.User), string(cl.Gateway), millis(cl.Time), string(cl.Entity))
			if o.Failure == nil {
				turns.row(string(q.User), string(q.Gateway), millis(cl.Time), newMark(), m.f.mark)
			}
		}
		if !o.Seen.IsZero() {
			gateways.row(string(q.Gateway), millis(o.Seen))
		}
		if !o.UserSeen.IsZero() && !seen[q.User] {
			seen[q.User] = true
			users.row(string(q.User), millis(o.UserSeen))
		}
	}
	b := new(pgx.Batch)
	b.Queue(beginTidy)
	turns.queue(b, turnsSQL, true)
	failures.queue(b, failuresSQL, true)
	claims.queue(b, claimsSQL, false)
	pnes.queue(b, pnesSQL, true)
	assignments.queue(b, assignmentsSQL, true)
	prunes.queue(b, pruneSQL, false)
	gateways.queue(b, gatewaysSeenSQL, false)
	users.queue(b, usersSeenSQL, false)
	events.queue(b, eventsSQL, false)
	if b.Len() == 1 {
		return nil
	}
	b.Queue("COMMIT")
	return send(ctx, c, b)
}

// send runs a batch that begins and commits a transaction.
func send(ctx context.Context, c *pgx.Conn, b *pgx.Batch) error {
	results := c.SendBatch(ctx, b)
	var err error
	for range b.Len() {
		if _, err = results.Exec(); err != nil {
			break
		}
	}
	err = firstOf(err, results.Close())
	switch code := codeOf(err); {
	case err == nil:
		return nil
	case code == "": // the commit may have got through
		return &commitError{err}
	case code == conflictCode:
		err = errConflict
	}
	(&tx{ctx: ctx, conn: c}).rollback()
	return err
}
