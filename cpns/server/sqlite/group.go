package sqlite

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// Updates that arrive at the same time share one SQLite transaction, and so one sync of
// the disk, which takes longer than everything else. Each runs within a savepoint: if it
// fails, only its own changes are undone. All callers return when the group is durable.
//
// The first caller is the leader: it begins the transaction, runs its own function, lets
// those that have arrived meanwhile run theirs, each in its caller's goroutine, and
// commits. Later callers are in the next group.
//
// Assignments are faster still: the leader itself answers those of other callers, without
// switching goroutines and without a savepoint, because an assignment writes nothing
// before everything is decided. If writing nevertheless fails, the group is rolled back,
// and each of its members runs again in a group of its own.
const (
	groupMost = 256                   // updates of one group
	groupTime = 25 * time.Millisecond // after which a group takes nobody in any more
	rerunMost = 5                     // times that an update is run again because of another's
)

// A queue is the updates that wait.
type queue struct {
	mu      sync.Mutex
	led     bool // somebody leads
	waiting []*member
}

// A member is an update that waits for its turn, and then for its group's commit.
type member struct {
	ctx   context.Context
	f     func(server.Tx) error
	alone bool        // it must be in a group of its own
	turn  chan *group // receives the group to run in, or nil to lead one
	done  chan error  // receives the group's result

	// Of an assignment, which has no f.
	inquiry  *server.Inquiry
	decide   func(*server.Findings) (*server.Outcome, error)
	err      error // its own error, set by the leader; if nil, the group's result is its result
	panicked any   // the value with which decide panicked
}

// A group is a transaction under way.
type group struct {
	conn  *conn
	wrote bool // at least one member's function has succeeded
	lost  bool // an assignment was written only in part, so that the group has to be rolled back
	back  chan bool
}

func (g *group) alive() bool { return !g.lost && !g.conn.GetAutocommit() }

// errRerun says that a group was rolled back because of another member, so that this one has to
// run again.
var errRerun = errors.New("the transaction was lost through another one's fault")

// Update runs f in a transaction. To f it looks as if no other transaction wrote while it
// runs.
func (s *Store) Update(ctx context.Context, f func(server.Tx) error) error {
	return s.rerun(func(bool) error {
		return s.join(&member{ctx: ctx, f: f, turn: make(chan *group, 1), done: make(chan error, 1)})
	})
}

// Assign finds, decides and writes in such a transaction.
func (s *Store) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	return s.rerun(func(again bool) error {
		m := &member{ctx: ctx, inquiry: q, decide: decide, alone: again, turn: make(chan *group, 1), done: make(chan error, 1)}
		err := s.join(m)
		if m.panicked != nil {
			panic(m.panicked)
		}
		return err
	})
}

func (s *Store) rerun(join func(again bool) error) error {
	for n := 0; ; n++ {
		err := join(n > 0)
		if n == rerunMost || !errors.Is(err, errRerun) {
			return err
		}
	}
}

func (s *Store) join(m *member) error {
	if err := m.ctx.Err(); err != nil {
		return err
	}
	if !s.queue.enter(m) {
		return s.lead(m)
	}
	select {
	case g := <-m.turn:
		if g == nil {
			return s.lead(m)
		}
		return s.follow(m, g)
	case end := <-m.done: // the leader has answered it
		return s.diagnose(m.ctx, m.ended(end))
	case <-m.ctx.Done():
	}
	if s.queue.leave(m) {
		return m.ctx.Err()
	}
	// It is its turn already: others wait for it, or it is being answered.
	select {
	case g := <-m.turn:
		if g == nil {
			s.queue.passOn()
		} else {
			g.back <- true
		}
		return m.ctx.Err()
	case end := <-m.done:
		return s.diagnose(m.ctx, m.ended(end))
	}
}

// ended is the result of an assignment whose group has ended with err.
func (m *member) ended(group error) error {
	if m.err != nil {
		return m.err
	}
	return group
}

// enter puts m into the queue, or reports that m is the leader.
func (q *queue) enter(m *member) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.led {
		q.led = true
		return false
	}
	q.waiting = append(q.waiting, m)
	return true
}

// leave takes m out of the queue, unless it is its turn.
func (q *queue) leave(m *member) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	n := slices.Index(q.waiting, m)
	if n >= 0 {
		q.waiting = slices.Delete(q.waiting, n, n+1)
	}
	return n >= 0
}

// next removes from the queue the first member that may join a group; nil if there is none.
func (q *queue) next() *member {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) > 0 && q.waiting[0].alone {
		return nil
	}
	return q.nextLocked()
}

func (q *queue) nextLocked() *member {
	if len(q.waiting) == 0 {
		return nil
	}
	m := q.waiting[0]
	q.waiting[0] = nil
	q.waiting = q.waiting[1:]
	return m
}

// passOn makes the first member in the queue the next leader.
func (q *queue) passOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if m := q.nextLocked(); m != nil {
		m.turn <- nil
	} else {
		q.led = false
	}
}

// lead runs a group that begins with m.
func (s *Store) lead(m *member) error {
	defer s.queue.passOn()
	return s.withConn(m.ctx, s.writer, func(c *conn) error {
		if err := c.run("BEGIN IMMEDIATE"); err != nil {
			return explain(err)
		}
		c.SetInterrupt(context.Background()) // but for m's own function
		g := &group{conn: c, back: make(chan bool)}
		var others []*member
		ended := false
		defer func() {
			if ended {
				return
			}
			c.rollback() // m's function has panicked
			for _, o := range others {
				o.done <- errRerun
			}
		}()
		var err error
		if m.decide != nil {
			g.answer(m)
			err = m.err
		} else {
			err = g.attempt(m)
		}
		alive := g.alive()
		if err != nil && alive && !g.wrote {
			// No member has written anything yet.
			c.rollback()
			ended = true
			return err
		}
		for begun := time.Now(); alive && !m.alone && len(others) < groupMost && time.Since(begun) < s.groupTime; {
			next := s.queue.next()
			if next == nil {
				break
			}
			others = append(others, next)
			if next.decide != nil {
				g.answer(next)
				alive = g.alive()
				continue
			}
			next.turn <- g
			alive = <-g.back
		}
		ended = true
		end := g.commit(alive)
		for _, o := range others {
			o.done <- end
		}
		if err == nil {
			err = end
		}
		return err
	})
}

// follow runs m's function in a group that another member leads.
func (s *Store) follow(m *member, g *group) (err error) {
	returned := false
	defer func() {
		if !returned { // it has panicked: the group goes on without
			g.back <- g.takeBack()
		}
	}()
	err = g.attempt(m)
	returned = true
	g.back <- g.alive()
	end := <-m.done
	if err == nil {
		err = end
	}
	return s.diagnose(m.ctx, err)
}

// attempt runs a function within the group, and undoes its changes if it fails.
func (g *group) attempt(m *member) error {
	c := g.conn
	if err := m.ctx.Err(); err != nil {
		return err
	}
	if err := c.run("SAVEPOINT own"); err != nil {
		return explain(err)
	}
	err := func() error {
		defer c.SetInterrupt(c.SetInterrupt(m.ctx))
		return m.f(&tx{c})
	}()
	if err == nil {
		err = m.ctx.Err()
	}
	if c.GetAutocommit() { // SQLite has ended the transaction: a full disk, or an interrupt
		if err == nil {
			err = errRerun
		}
		return err
	}
	if err != nil {
		g.takeBack()
		return err
	}
	if err := c.run("RELEASE own"); err != nil {
		return explain(err)
	}
	g.wrote = true
	return nil
}

// answer answers an assignment in the leader's goroutine.
func (g *group) answer(m *member) {
	defer func() {
		if m.panicked = recover(); m.panicked != nil {
			m.err = errRerun
		}
	}()
	if m.err = m.ctx.Err(); m.err != nil {
		return
	}
	t := &tx{g.conn}
	found, err := t.find(m.inquiry)
	if err == nil {
		var o *server.Outcome
		if o, err = m.decide(found); err == nil {
			if err = m.ctx.Err(); err == nil {
				err = t.write(m.inquiry, found, o)
				g.wrote = true
				g.lost = err != nil
			}
		}
	}
	m.err = err
}

// takeBack undoes what the last function wrote, and reports whether the group's transaction
// still exists.
func (g *group) takeBack() bool {
	c := g.conn
	if c.GetAutocommit() {
		return false
	}
	defer c.SetInterrupt(c.SetInterrupt(context.Background()))
	if err := errors.Join(c.run("ROLLBACK TO own"), c.run("RELEASE own")); err != nil {
		c.rollback()
		return false
	}
	return true
}

// commit makes the group durable. No member's context can cancel it, because it is the
// commit of all members.
func (g *group) commit(alive bool) error {
	c := g.conn
	if !alive {
		c.rollback()
		return errRerun
	}
	if !g.wrote {
		c.rollback()
		return nil
	}
	defer c.SetInterrupt(c.SetInterrupt(context.Background()))
	if err := c.run("COMMIT"); err != nil {
		c.rollback()
		return explain(err)
	}
	c.commits.Add(1)
	return nil
}

// run runs a statement without parameters.
func (c *conn) run(sql string) error {
	stmt, err := c.statement(sql)
	if err != nil {
		return err
	}
	return stmt.Exec()
}
