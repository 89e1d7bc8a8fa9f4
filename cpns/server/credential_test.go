package server_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// keeper is the rig's gatekeeper, by the rig's clock, and the hashes that it has made.
func (r *rig) keeper() (*server.Gatekeeper, *server.Operator, func() int) {
	op := r.server.Operator().As("tester")
	g := op.Gatekeeper()
	var mu sync.Mutex
	n := 0
	g.OnHash(func() { mu.Lock(); n++; mu.Unlock() })
	return g, op, func() int { mu.Lock(); defer mu.Unlock(); return n }
}

func TestToken(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	g, op, hashes := r.keeper()
	token, made, err := op.AddToken(ctx, "backup job", server.RoleAuditor, time.Hour)
	must(t, err)
	if _, _, err := op.AddToken(ctx, "backup job", server.RoleAdmin, time.Hour); !errors.Is(err, server.ErrExists) {
		t.Errorf("the same name twice: %v", err)
	}
	other, _, err := op.AddToken(ctx, "other", server.RoleAdmin, time.Hour)
	must(t, err)
	for range 3 {
		got, err := g.Token(ctx, token)
		must(t, err)
		if got.ID != made.ID || got.Name != "backup job" || got.Role != server.RoleAuditor {
			t.Errorf("got %+v", got)
		}
	}
	if n := hashes(); n != 1 {
		t.Errorf("%d hashes for three requests of one token, want 1", n)
	}
	last := "A"
	if strings.HasSuffix(token, "A") {
		last = "Q"
	}
	for _, wrong := range []string{
		"", "cpns_", token[:len(token)-1], token + "A", "x" + token, token[:len(token)-2] + last + token[len(token)-1:],
		token[:22] + other[22:], // another's secret
		strings.ToUpper(token[:22]) + token[22:], strings.Repeat("A", 1<<20),
	} {
		if _, err := g.Token(ctx, wrong); !errors.Is(err, server.ErrNotFound) {
			t.Errorf("a wrong token of %d bytes: %v", len(wrong), err)
		}
		if g.IsKnown(wrong) {
			t.Errorf("a wrong token of %d bytes is known", len(wrong))
		}
	}
	if !g.IsKnown(token) {
		t.Error("the right one is not known")
	}

	// It is hashed again after a while, and holds until its end.
	r.clock.advance(11 * time.Minute)
	before := hashes()
	_, err = g.Token(ctx, token)
	must(t, err)
	if hashes() != before+1 {
		t.Error("a token is known for ever")
	}
	must(t, op.Credentials(ctx, func(c server.Credential) error {
		if want := r.clock.Now().Truncate(time.Minute); c.ID == made.ID && !c.Used.Equal(want) {
			t.Errorf("last used %v, want %v", c.Used, want)
		}
		return nil
	}))
	r.clock.advance(49 * time.Minute)
	if _, err := g.Token(ctx, token); !errors.Is(err, server.ErrNotFound) {
		t.Errorf("a token that has ended: %v", err)
	}

	// A certificate's name is no token, and a token's name no certificate.
	_, err = op.AddCertificate(ctx, "Alice Smith", server.RoleOperator, time.Hour)
	must(t, err)
	got, err := g.Certificate(ctx, "Alice Smith")
	must(t, err)
	if got.Role != server.RoleOperator {
		t.Errorf("role %s", got.Role)
	}
	for _, name := range []string{"", "backup job", "other", "Bob", "Alice Smith\n"} {
		if _, err := g.Certificate(ctx, name); !errors.Is(err, server.ErrNotFound) {
			t.Errorf("certificate of %q: %v", name, err)
		}
	}

	// Removed is removed at once, although it was right a moment ago.
	last2, _, err := op.AddToken(ctx, "third", server.RoleAdmin, time.Hour)
	must(t, err)
	_, err = g.Token(ctx, last2)
	must(t, err)
	must(t, op.RemoveCredential(ctx, "third"))
	if _, err := g.Token(ctx, last2); !errors.Is(err, server.ErrNotFound) {
		t.Errorf("a removed token: %v", err)
	}
	if err := op.RemoveCredential(ctx, "third"); !errors.Is(err, server.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

func TestTokenRefused(t *testing.T) {
	r := newRig(t)
	_, op, _ := r.keeper()
	for _, tt := range []struct {
		name  string
		role  server.Role
		valid time.Duration
	}{
		{"", server.RoleAdmin, time.Hour}, {"a\n", server.RoleAdmin, time.Hour}, {" a", server.RoleAdmin, time.Hour}, {"é", server.RoleAdmin, time.Hour},
		{strings.Repeat("a", 65), server.RoleAdmin, time.Hour}, {"a", "root", time.Hour}, {"a", "", time.Hour}, {"a", server.RoleAdmin, time.Second}, {"a", server.RoleAdmin, 11 * 365 * 24 * time.Hour},
	} {
		_, _, err := op.AddToken(t.Context(), tt.name, tt.role, tt.valid)
		if _, isRefusal := errors.AsType[*server.RefusalError](err); !isRefusal {
			t.Errorf("%+v: %v", tt, err)
		}
	}
}

// Who writes to the database without the master key makes no credential of it, and
// gives none another role.
func TestForgedCredential(t *testing.T) {
	r := newRig(t)
	g, op, _ := r.keeper()
	token, made, err := op.AddToken(t.Context(), "auditor", server.RoleAuditor, time.Hour)
	must(t, err)
	forge := func(change func(*server.Credential)) {
		t.Helper()
		must(t, r.store.Update(t.Context(), func(tx server.Tx) error {
			c := made
			change(&c)
			return errors.Join(tx.RemoveCredential(made.ID), tx.AddCredential(c))
		}))
		if c, err := g.Token(t.Context(), token); err == nil || errors.Is(err, server.ErrNotFound) {
			t.Errorf("a forged credential: %+v, %v", c, err)
		}
	}
	forge(func(c *server.Credential) { c.Role = server.RoleAdmin })
	forge(func(c *server.Credential) { c.Ends = c.Ends.Add(time.Hour) })
	forge(func(c *server.Credential) { c.Name = "other" })
	forge(func(c *server.Credential) { c.Hash = append(server.Sealed{1}, c.Hash[1:len(c.Hash)-1]...) })
}

func TestRoles(t *testing.T) {
	all := []server.Role{server.RoleAuditor, server.RoleOperator, server.RoleAdmin}
	for n, a := range all {
		for m, b := range all {
			if a.Includes(b) != (m <= n) {
				t.Errorf("%s includes %s: %v", a, b, a.Includes(b))
			}
		}
		if a.Includes("") || server.Role("").Includes(a) || server.Role("root").Includes(a) {
			t.Errorf("%s and a role that is none", a)
		}
	}
}

func TestOnce(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	op := r.server.Operator().As("tester")
	done := 0
	unlock := func(op *server.Operator) ([]byte, error) {
		done++
		return []byte("answer"), op.SetPassword(ctx, "alice", new(server.PasswordHashes))
	}
	events := func() (n int) {
		must(t, op.Audit(ctx, time.Time{}, func(e server.Event) error {
			if e.Kind == server.EventPasswordSet {
				n++
			}
			return nil
		}))
		return n
	}
	for n := range 3 {
		answer, again, err := op.Once(ctx, "caller", "key", []byte("unlock alice"), unlock)
		if string(answer) != "answer" || again != (n > 0) || err != nil {
			t.Errorf("%d: %q, %v, %v", n, answer, again, err)
		}
	}
	if done != 1 || events() != 1 {
		t.Errorf("done %d times, %d events", done, events())
	}
	if _, _, err := op.Once(ctx, "caller", "key", []byte("unlock bob"), unlock); !errors.Is(err, server.ErrKeyReused) {
		t.Errorf("another request: %v", err)
	}
	if _, again, err := op.Once(ctx, "another", "key", []byte("unlock alice"), unlock); again || err != nil {
		t.Errorf("another caller: %v, %v", again, err)
	}

	// What fails leaves nothing behind, neither change nor answer.
	failed := errors.New("failed")
	before := events()
	_, _, err := op.Once(ctx, "caller", "key 2", nil, func(op *server.Operator) ([]byte, error) {
		return nil, errors.Join(op.SetPassword(ctx, "alice", new(server.PasswordHashes)), failed)
	})
	if !errors.Is(err, failed) || events() != before {
		t.Errorf("%v, %d events, want %d", err, events(), before)
	}
	if _, again, err := op.Once(ctx, "caller", "key 2", nil, unlock); again || err != nil {
		t.Errorf("after a failure: %v, %v", again, err)
	}

	// Of many at once one does it.
	done = 0
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if answer, _, err := op.Once(ctx, "caller", "key 3", nil, unlock); string(answer) != "answer" || err != nil {
				t.Errorf("%q, %v", answer, err)
			}
		})
	}
	wg.Wait()
	if done != 1 {
		t.Errorf("done %d times", done)
	}

	// A day later it is forgotten.
	r.steady()
	r.clock.advance(server.AnswerKept)
	must(t, r.server.Prune(ctx))
	if _, again, err := op.Once(ctx, "caller", "key", []byte("unlock bob"), unlock); again || err != nil {
		t.Errorf("a day later: %v, %v", again, err)
	}
}

func TestGatekeeperBusy(t *testing.T) {
	r := newRig(t)
	g, op, _ := r.keeper()
	token, _, err := op.AddToken(t.Context(), "a", server.RoleAdmin, time.Hour)
	must(t, err)
	release, inside := make(chan struct{}), make(chan struct{}, 8)
	g.OnHash(func() { inside <- struct{}{}; <-release })
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { g.Token(t.Context(), token) })
	}
	<-inside
	<-inside
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := g.Token(ctx, token); !errors.Is(err, server.ErrBusy) {
		t.Errorf("a third: %v", err)
	}
	close(release)
	wg.Wait()
	if _, err := g.Token(t.Context(), token); err != nil {
		t.Error(err)
	}
}
