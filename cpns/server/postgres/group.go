package postgres

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"cpns.example.net/pngw/cpns/server"
)

// Assignments that come at the same time are found, decided on and written together: one
// query for all that they depend on, one transaction for all that follows, and so two
// journeys to the database and one sync of its disk for all of them. Requests that have
// a gateway, a PNE or a RAND_PNGW in common are never in one group, nor in two that are
// under way at this server. What another server, or an operator, has changed meanwhile
// shows when it is written: then nothing is, and all are found and decided on anew.
//
// One group is under way at a time, the larger for it is the next; another one only
// where it takes long: a lock of somebody's, or a connection that is gone.
const (
	groupMost    = 128
	groupsAtOnce = 4
	groupLong    = 50 * time.Millisecond
	groupTime    = 10 * time.Second
	groupReruns  = 3 // of a group, before each of it goes on alone
)

// A member is an assignment that waits for its group's end.
type member struct {
	ctx    context.Context
	q      *server.Inquiry
	decide func(*server.Findings) (*server.Outcome, error)
	done   chan struct{} // closed when err says how it ended

	mu       sync.Mutex // held while decide runs
	gone     bool       // nobody waits: decide must not run any more
	out      *server.Outcome
	err      error
	panicked any
}

// groups are the assignments that wait, and what those that are under way are about.
type groups struct {
	mu      sync.Mutex
	waiting []*member
	running int
	busy    map[string]bool
}

// about are the things of which a request must be the only one.
func (m *member) about() [3]string {
	return [3]string{"g" + string(m.q.Gateway), "e" + string(m.q.Entity), "r" + string(m.q.RandPNGW[:])}
}

// Assign answers a request together with others.
func (s *Store) Assign(ctx context.Context, q *server.Inquiry, decide func(*server.Findings) (*server.Outcome, error)) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	m := &member{ctx: ctx, q: q, decide: decide, done: make(chan struct{})}
	s.enter(m)
	select {
	case <-m.done:
	case <-ctx.Done():
		m.leave()
		return s.givenUp(m)
	}
	if m.panicked != nil {
		panic(m.panicked)
	}
	return m.err
}

func (m *member) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.gone = true
}

// givenUp is how an assignment ends that nobody waits for any more. It may be written
// all the same.
func (s *Store) givenUp(m *member) error {
	select {
	case <-m.done:
		if m.panicked == nil {
			return m.err
		}
	default:
	}
	if !errors.Is(m.ctx.Err(), context.DeadlineExceeded) {
		return m.ctx.Err()
	}
	if s.exhausted() {
		return s.errExhausted(m.ctx.Err())
	}
	return explain(m.ctx.Err())
}

// enter puts m among those who wait, and has a group run where there is room for one.
func (s *Store) enter(m *member) {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	s.groups.waiting = append(s.groups.waiting, m)
	if s.groups.running == 0 {
		s.groups.running++
		go s.runGroups()
	}
}

// another has one more group run beside those that take long.
func (s *Store) another() {
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	if len(s.groups.waiting) > 0 && s.groups.running < groupsAtOnce {
		s.groups.running++
		go s.runGroups()
	}
}

// runGroups runs groups until nobody is left for one.
func (s *Store) runGroups() {
	for {
		group := s.groups.next()
		if group == nil {
			return
		}
		ctx, cancel := context.WithTimeout(context.Background(), groupTime)
		long := time.AfterFunc(groupLong, s.another)
		s.answer(ctx, group)
		long.Stop()
		cancel()
		s.groups.end(group)
	}
}

// next takes those who can go together; nil is the end of who asks.
func (g *groups) next() (group []*member) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting = slices.DeleteFunc(g.waiting, func(m *member) bool {
		if m.ctx.Err() != nil {
			m.err = m.ctx.Err()
			close(m.done)
			return true
		}
		if len(group) == groupMost || len(group) > 0 && !sameLimits(group[0].q, m.q) {
			return false
		}
		about := m.about()
		for _, key := range about {
			if g.busy[key] {
				return false
			}
		}
		for _, key := range about {
			g.busy[key] = true
		}
		group = append(group, m)
		return true
	})
	if len(group) == 0 {
		g.running--
	}
	return group
}

func sameLimits(a, b *server.Inquiry) bool {
	return a.Locks.Limit == b.Locks.Limit && a.Slowed.Limit == b.Slowed.Limit && a.Claims.Limit == b.Claims.Limit
}

// end tells a group that it has ended.
func (g *groups) end(group []*member) {
	g.mu.Lock()
	for _, m := range group {
		for _, key := range m.about() {
			delete(g.busy, key)
		}
	}
	g.mu.Unlock()
	for _, m := range group {
		close(m.done)
	}
}

// answer answers a group, all of it together, or each alone where that fails for a reason
// that lies in one of them, or again and again.
func (s *Store) answer(ctx context.Context, group []*member) {
	runs := 0
	err := s.again(ctx, false, func() error {
		if runs++; runs > groupReruns && len(group) > 1 {
			return errApart
		}
		return s.answerTogether(ctx, group)
	})
	if len(group) > 1 && (err == errApart || codeOf(err) != "" && !errors.Is(err, server.ErrUnavailable)) {
		for _, m := range group {
			s.answer(ctx, []*member{m})
		}
		return
	}
	for _, m := range group {
		if err != nil && m.panicked == nil {
			m.err = err
		}
	}
}

var (
	errApart    = errors.New("not as a group")
	errConflict = errors.New("what was found has changed before it was written")
)

func (s *Store) answerTogether(ctx context.Context, group []*member) error {
	if err := s.Prepare(ctx); err != nil {
		return err
	}
	return s.withConn(ctx, func(ctx context.Context, c *pgx.Conn) error {
		found, err := findTogether(ctx, c, group)
		if err != nil {
			return err
		}
		w := new(writing)
		for n, m := range group {
			if m.decideOn(&found[n].Findings); m.out != nil {
				w.add(m.q, &found[n], m.out)
			}
		}
		return w.write(ctx, c)
	})
}

// decideOn runs decide, unless nobody waits any more.
func (m *member) decideOn(f *server.Findings) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.out, m.err, m.panicked = nil, nil, nil
	if m.gone {
		m.err = m.ctx.Err()
		return
	}
	defer func() {
		if m.panicked = recover(); m.panicked != nil {
			m.out = nil
		}
	}()
	m.out, m.err = m.decide(f)
	if m.err == nil {
		m.err = m.ctx.Err()
	}
	if m.err != nil {
		m.out = nil
	}
}
