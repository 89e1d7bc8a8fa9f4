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

// Assignments that arrive at the same time are handled as a group: one query reads all
// that they depend on, one transaction writes all results, so that the whole group takes
// two round trips to the database and one sync of its disk. Requests that have
// a gateway, a PNE or a RAND_PNGW in common are never in the same group, nor in two groups
// that this server processes at the same time. If another server, or an operator, has
// changed something that was read, the transaction notices, writes nothing, and the group
// is read and decided again.
//
// Normally one group is processed at a time, so that the next one collects more requests.
// Another one is started beside it only if it takes long, because of somebody's lock or a
// lost connection.
const (
	groupMost    = 128
	groupsAtOnce = 4
	groupLong    = 50 * time.Millisecond
	groupTime    = 10 * time.Second
	groupReruns  = 3 // how often a group is repeated before each member is processed alone
)

// A member is an assignment that waits for its group's end.
type member struct {
	ctx    context.Context
	q      *server.Inquiry
	decide func(*server.Findings) (*server.Outcome, error)
	done   chan struct{} // closed when err says how it ended

	mu       sync.Mutex // held while decide runs
	gone     bool       // the caller has given up: decide must not be called any more
	out      *server.Outcome
	err      error
	panicked any
}

// groups holds the waiting assignments, and the gateways, PNEs and RAND_PNGWs of those that
// are being processed.
type groups struct {
	mu      sync.Mutex
	waiting []*member
	running int
	busy    map[string]bool
}

// about returns the gateway, PNE and RAND_PNGW that a request must not share with another one
// that is processed at the same time.
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

// givenUp is the result of an assignment whose caller has given up. It may be written
// nevertheless.
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

// enter adds m to the waiting assignments, and starts a group if one may be started.
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

// runGroups processes groups until no assignment waits.
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

// next returns waiting assignments that can be processed together, nil if there are none.
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

// end tells the members of a group that it has ended.
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

// answer processes a group: all members together, or each one alone if that fails because
// of one member, or fails repeatedly.
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

// decideOn calls decide, unless the caller has given up.
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
