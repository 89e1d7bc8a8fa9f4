package server_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/sqlite"
)

// newKey is another master key.
func newKey(t testing.TB) *server.MasterKey {
	return (*server.MasterKey)(random(t, server.MasterKeySize))
}

// operatorOf opens the store as another process would.
func operatorOf(t testing.TB, s server.Store, key *server.MasterKey, more ...*server.MasterKey) *server.Operator {
	t.Helper()
	op, err := server.NewOperator(t.Context(), s, key, "tester", more...)
	must(t, err)
	return op
}

func (r *rig) secretsOpen(key *server.MasterKey) int {
	r.t.Helper()
	n, err := operatorOf(r.t, r.store, key).CheckStore(r.t.Context(), func(text string) { r.t.Error(text) })
	must(r.t, err)
	return n
}

// fleet adds devices, more than a batch, and assigns some.
func (r *rig) fleet() {
	r.t.Helper()
	var ids []cpns.EntityID
	for n := range 200 {
		ids = append(ids, cpns.EntityID(fmt.Sprintf("dev-%03d", n)))
	}
	r.addPNEs(ids...)
	for _, id := range ids[:5] {
		r.wantStatus("gw-1", r.request("alice", id), cpns.Success)
	}
}

func TestRekey(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.fleet()
	_, _, err := r.op.Invite(ctx, "", 1, time.Hour)
	must(t, err)
	before := r.request("alice", "pne-1")
	set := r.wantStatus("gw-1", before, cpns.Success)
	values := r.secretsOpen(r.key)

	next := newKey(t)
	r.serve(func(c *server.Config) { c.NextKey = func() (*server.MasterKey, error) { return next, nil } })
	got, err := operatorOf(t, r.store, r.key).Rekey(ctx, next, func(server.RekeyProgress) {})
	must(t, err)
	if got.From != r.key.ID() || got.To != next.ID() || got.Values != values+1 || got.Already { // and the key of the tags
		t.Errorf("got %+v, want %d values", got, values+1)
	}
	if _, err := server.NewOperator(ctx, r.store, r.key, "tester"); !errors.Is(err, server.ErrWrongMasterKey) {
		t.Errorf("the old key: %v", err)
	}
	if n := r.secretsOpen(next); n != values+1 {
		t.Errorf("%d values open, want %d", n, values+1)
	}
	events := r.rekeyEvents(next)
	if want := fmt.Sprintf("rekey_begun from %s to %[2]s, rekeyed from %[1]s to %[2]s", r.key.ID(), next.ID()); events != want {
		t.Errorf("audit: %s", events)
	}

	// A server that knows the new key alone goes on where the one before was: the same
	// request gets the same set, wrong ones are refused, new ones are answered.
	r.serve(func(c *server.Config) { c.MasterKey = next })
	again := r.wantStatus("gw-1", before, cpns.Success)
	if again.Epoch != set.Epoch || again.EUKeys[0] != set.EUKeys[0] || !bytes.Equal(again.TK, r.pnes["pne-1"]) {
		t.Error("another set for the same request")
	}
	reused := r.request("alice", "pne-2")
	reused.RandPNGW = before.RandPNGW
	reused.UserAuthenticationData = cpns.UserAuthenticationData(r.users["alice"], &reused.RandPNGW, reused.Time)
	r.wantStatus("gw-1", reused, cpns.RandomReused)
	r.wantStatus("gw-1", r.wrong("alice", "pne-1"), cpns.UserAuthenticationFailed)
	r.wantStatus("gw-1", r.request("nobody", "pne-1"), cpns.UserAuthenticationFailed)
	r.wantStatus("gw-2", r.request("bob", "pne-2"), cpns.Success)

	// A PSK1 that is there is found again under its new tag.
	op := operatorOf(t, r.store, next)
	same, isSame := errors.AsType[*server.SamePSK1Error](op.AddGateway(ctx, "gw-9", "gw-9", r.gateways["gw-1"]))
	if !isSame || same.Gateway != "gw-1" {
		t.Errorf("the PSK1 of gw-1: %v", same)
	}
	// And so is what was done by the same again.
	got, err = op.Rekey(ctx, next, func(server.RekeyProgress) {})
	if err != nil || !got.Already {
		t.Errorf("again: %+v, %v", got, err)
	}
	// Once more, to a third.
	third := newKey(t)
	_, err = op.Rekey(ctx, third, func(server.RekeyProgress) {})
	must(t, err)
	r.secretsOpen(third)
}

// rekeyEvents is what the audit log has of changes of the master key.
func (r *rig) rekeyEvents(key *server.MasterKey) string {
	r.t.Helper()
	r.op = operatorOf(r.t, r.store, key)
	var all []string
	for _, e := range r.events() {
		if e.Kind == server.EventRekeyBegun || e.Kind == server.EventRekeyed {
			all = append(all, string(e.Kind)+" "+e.Detail)
		}
	}
	return strings.Join(all, ", ")
}

// breaking is a store that goes away after some updates.
type breaking struct {
	server.Store
	left *int
}

var errCut = errors.New("cut")

func (b breaking) Update(ctx context.Context, f func(server.Tx) error) error {
	if *b.left--; *b.left < 0 {
		return errCut
	}
	return b.Store.Update(ctx, f)
}

// Broken off after any of its steps, everything works for whoever has both keys, nobody
// with one of them does harm, and the same command goes on.
func TestRekeyBrokenOff(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	r.fleet()
	before := r.request("alice", "pne-1")
	set := r.wantStatus("gw-1", before, cpns.Success)
	from := r.key
	for left := 1; ; left++ {
		to := newKey(t)
		steps := left
		_, err := operatorOf(t, breaking{r.store, &steps}, from).Rekey(ctx, to, func(server.RekeyProgress) {})
		if err == nil {
			if left < 10 {
				t.Errorf("a change of the master key took %d updates: were there no batches?", left)
			}
			break
		}
		if !errors.Is(err, errCut) {
			t.Fatalf("cut after %d: %v", left, err)
		}
		if _, err := server.NewOperator(ctx, r.store, from, "tester"); !errors.Is(err, server.ErrUnavailable) || !strings.Contains(err.Error(), to.ID().String()) {
			t.Fatalf("cut after %d, with the old key alone: %v", left, err)
		}
		if _, err := server.NewOperator(ctx, r.store, to, "tester"); !errors.Is(err, server.ErrUnavailable) || !strings.Contains(err.Error(), from.ID().String()) {
			t.Fatalf("cut after %d, with the new key alone: %v", left, err)
		}
		if _, err := server.NewOperator(ctx, r.store, newKey(t), "tester", newKey(t)); !errors.Is(err, server.ErrWrongMasterKey) {
			t.Fatalf("cut after %d, with others: %v", left, err)
		}
		r.serve(func(c *server.Config) {
			c.MasterKey, c.NextKey = from, func() (*server.MasterKey, error) { return to, nil }
		})
		if again := r.wantStatus("gw-1", before, cpns.Success); again.Epoch != set.Epoch || again.EUKeys[0] != set.EUKeys[0] {
			t.Fatalf("cut after %d: another set", left)
		}
		op := operatorOf(t, r.store, from, to)
		if _, err := op.Rekey(ctx, newKey(t), func(server.RekeyProgress) {}); err == nil || !strings.Contains(err.Error(), "is being changed to "+to.ID().String()) {
			t.Errorf("a third key: %v", err)
		}
		if same, is := errors.AsType[*server.SamePSK1Error](op.AddGateway(ctx, "gw-9", "gw-9", r.gateways["gw-1"])); !is {
			t.Errorf("cut after %d: the PSK1 of gw-1 a second time: %v", left, same)
		}
		id := cpns.UserID(fmt.Sprintf("user-%d", left))
		r.users[id] = (*cpns.PasswordHash)(random(t, 32))
		must(t, op.AddUser(ctx, id, bothForms(r.users[id])))

		r.restored(op, from, to)

		got, err := op.Rekey(ctx, to, func(server.RekeyProgress) {})
		if err != nil || got.From != from.ID() {
			t.Fatalf("going on: %+v, %v", got, err)
		}
		r.secretsOpen(to)
		from = to
		r.serve(func(c *server.Config) { c.MasterKey = to })
		r.wantStatus("gw-1", r.request(id, "pne-2"), map[bool]cpns.AssignmentStatus{true: cpns.Success, false: cpns.PNEOwnedByAnotherUser}[left == 1])
		// That of two changes ago is not recognised any more.
		before = r.request("alice", "pne-1")
		set = r.wantStatus("gw-1", before, cpns.Success)
	}
}

// restored takes a backup in the middle of a change of the master key, and finishes that
// where it was restored.
func (r *rig) restored(op *server.Operator, from, to *server.MasterKey) {
	t, ctx := r.t, r.t.Context()
	t.Helper()
	var backup bytes.Buffer
	_, err := op.Backup(ctx, &backup)
	must(t, err)
	alone, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	must(t, err)
	defer alone.Close()
	if _, err := server.Restore(ctx, alone, to, bytes.NewReader(backup.Bytes())); !errors.Is(err, server.ErrUnavailable) {
		t.Errorf("restoring with one of two keys: %v", err)
	}
	whole, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	must(t, err)
	defer whole.Close()
	_, err = server.Restore(ctx, whole, to, &backup, from)
	must(t, err)
	moved, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
	must(t, err)
	defer moved.Close()
	must(t, server.Move(ctx, whole, moved, from, "elsewhere", func(server.Moved) {}, to))
	_, err = operatorOf(t, moved, from, to).Rekey(ctx, to, func(server.RekeyProgress) {})
	must(t, err)
	_, err = operatorOf(t, moved, to).CheckStore(ctx, func(text string) { t.Error(text) })
	must(t, err)
}

// What was sealed before the change began is not written after it.
func TestRekeyedMeanwhile(t *testing.T) {
	r := newRig(t)
	ctx := t.Context()
	next := newKey(t)
	op := operatorOf(t, r.store, r.key, next)
	_, err := operatorOf(t, r.store, r.key).Rekey(ctx, next, func(server.RekeyProgress) {})
	must(t, err)
	// This one has looked at the store a moment ago.
	for name, do := range map[string]func() error{
		"user":       func() error { return op.AddUser(ctx, "carol", bothForms(r.users["bob"])) },
		"password":   func() error { return op.SetPassword(ctx, "bob", bothForms(r.users["bob"])) },
		"gateway":    func() error { return op.AddGateway(ctx, "gw-3", "gw-3", random(t, 32)) },
		"invitation": func() error { _, _, err := op.Invite(ctx, "", 1, time.Hour); return err },
		"import": func() error {
			_, err := op.ImportPNEs(ctx, strings.NewReader("entity_id,tk\npne-3,"+hexOf(random(t, 16))+"\n"), server.ImportOptions{})
			return err
		},
	} {
		if err := do(); !errors.Is(err, server.ErrRekeyed) && !strings.Contains(err.Error(), "another master key") {
			t.Errorf("%s: %v", name, err)
		}
	}
	r.secretsOpen(next)
}

// Servers that run have to know the new key first; then it is waited until what they have
// begun under the old one is over.
func TestRekeyWaitsForServers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		store, err := sqlite.Create(ctx, filepath.Join(t.TempDir(), "cpns.db"))
		must(t, err)
		defer store.Close()
		key, next := newKey(t), newKey(t)
		must(t, server.Initialize(ctx, store, key))
		is := server.Replica{ID: "a", Name: "host-a", Seen: time.Now(), Keys: []server.KeyID{key.ID()}}
		set := func() {
			must(t, store.Update(ctx, func(tx server.Tx) error { return tx.SetReplica(is) }))
		}
		set()
		short, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		var waited []string
		op := operatorOf(t, store, key)
		_, err = op.Rekey(short, next, func(p server.RekeyProgress) {
			for _, r := range p.Waiting {
				waited = append(waited, r.Name)
			}
		})
		if !errors.Is(err, context.DeadlineExceeded) || len(waited) < 5 || waited[0] != "host-a" {
			t.Errorf("waited for %v: %v", waited, err)
		}
		operatorOf(t, store, key) // nothing has changed

		begin := time.Now()
		var grace time.Duration
		_, err = op.Rekey(ctx, next, func(p server.RekeyProgress) {
			if p.Waiting != nil && time.Since(begin) > 3*time.Second {
				is.Keys, is.Seen = append(is.Keys, next.ID()), time.Now()
				set()
			}
			grace = max(grace, p.Grace)
		})
		must(t, err)
		if took := time.Since(begin); grace != server.RekeyGrace || took < grace+3*time.Second {
			t.Errorf("it took %v, of them %v until the servers have it", took, grace)
		}
		// One that has not said a word for long is not waited for.
		time.Sleep(time.Minute)
		begin = time.Now()
		_, err = op.Rekey(ctx, newKey(t), func(server.RekeyProgress) {})
		must(t, err)
		if took := time.Since(begin); took != 0 {
			t.Errorf("waited %v for a server that is gone", took)
		}
	})
}

// A server that runs takes up the next key, and notices the change within stateKept.
func TestServerLearnsKey(t *testing.T) {
	r := newRig(t)
	var next *server.MasterKey
	r.serve(func(c *server.Config) {
		c.NextKey = func() (*server.MasterKey, error) { return next, nil }
		c.Name = "host-a"
	})
	known := func() int {
		must(t, r.server.CountReplicas(t.Context()))
		n := 0
		must(t, r.store.View(t.Context(), func(tx server.Tx) error {
			all, err := tx.ReplicasSince(r.clock.Now())
			for _, one := range all {
				if one.Name == "host-a" {
					n = len(one.Keys)
				}
			}
			return err
		}))
		return n
	}
	if n := known(); n != 1 {
		t.Errorf("%d keys before", n)
	}
	next = newKey(t)
	if n := known(); n != 2 {
		t.Errorf("%d keys after", n)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	_, err := operatorOf(t, r.store, r.key).Rekey(t.Context(), next, func(server.RekeyProgress) {})
	must(t, err)
	r.server.Forget() // as stateKept later
	known()           // it looks
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	r.wantStatus("gw-1", r.request("nobody", "pne-1"), cpns.UserAuthenticationFailed)
	r.secretsOpen(next)
	must(t, r.server.Leave(t.Context()))
	must(t, r.store.View(t.Context(), func(tx server.Tx) error {
		all, err := tx.ReplicasSince(time.Time{})
		if len(all) != 0 {
			t.Errorf("after its end: %+v", all)
		}
		return err
	}))
}

// A server is among those of its store before it answers its first request.
func TestServerEnters(t *testing.T) {
	r := newRig(t)
	r.server.Serving()
	next := newKey(t)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	var keys []server.KeyID
	must(t, r.store.View(t.Context(), func(tx server.Tx) error {
		all, err := tx.ReplicasSince(time.Time{})
		for _, one := range all {
			keys = append(keys, one.Keys...)
		}
		return err
	}))
	if len(keys) != 1 || keys[0] != r.key.ID() || keys[0] == next.ID() {
		t.Errorf("the servers know %v", keys)
	}
}

// What somebody has sealed under the old key in the middle of it is found before the old
// key goes.
func TestRekeyFindsLateValues(t *testing.T) {
	r := newRig(t)
	late := r.pne("pne-1").TK
	next := newKey(t)
	done := false
	_, err := operatorOf(t, r.store, r.key).Rekey(t.Context(), next, func(p server.RekeyProgress) {
		if p.Table == "assignments" && !done { // after the PNEs
			done = true
			must(t, r.store.Update(t.Context(), func(tx server.Tx) error { return tx.SetTK("pne-1", late) }))
		}
	})
	must(t, err)
	if !done || bytes.Equal(r.pne("pne-1").TK, late) {
		t.Error("the value is under the old key still")
	}
	r.secretsOpen(next)
}

// A lingeringStore takes its time for each swap, and counts those of each transaction.
type lingeringStore struct {
	server.Store
	pause time.Duration
	swaps []int
}

type lingeringTx struct {
	server.Tx
	s *lingeringStore
}

func (s *lingeringStore) Update(ctx context.Context, f func(server.Tx) error) error {
	return s.Store.Update(ctx, func(tx server.Tx) error {
		s.swaps = append(s.swaps, 0)
		return f(lingeringTx{tx, s})
	})
}

func (t lingeringTx) SwapBytes(table *server.Table, column string, keys []server.Row, old, new [][]byte) error {
	t.s.swaps[len(t.s.swaps)-1]++
	time.Sleep(t.s.pause)
	return t.Tx.SwapBytes(table, column, keys, old, new)
}

// A batch of values that takes long ends early, and the next goes on from there.
func TestRekeyHoldsTheStoreShortly(t *testing.T) {
	r := newRig(t)
	r.fleet()
	slow := &lingeringStore{Store: r.store, pause: 50 * time.Millisecond} // more than a batch may take
	next := newKey(t)
	result, err := operatorOf(t, slow, r.key).Rekey(t.Context(), next, func(server.RekeyProgress) {})
	must(t, err)
	most, all := 0, 0
	for _, n := range slow.swaps {
		most, all = max(most, n), all+n
	}
	// A part of PSK1s is two swaps, for there are their tags.
	if most > 2 || all < 200/10 {
		t.Errorf("%d swaps in one transaction, %d in all", most, all)
	}
	if n := r.secretsOpen(next); n != result.Values {
		t.Errorf("%d values open, want %d", n, result.Values)
	}
}
