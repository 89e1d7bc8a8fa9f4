package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// inquiry asks for what there is about a PNE, of alice through gw.
func inquiry(e cpns.EntityID, most int) *server.Inquiry {
	q := &server.Inquiry{Identity: "id-gw", Gateway: "gw", User: "alice", Entity: e, Tag: server.Tag{9}}
	copy(q.RandPNGW[:], fmt.Sprintf("of %s", e))
	hour := server.Window{Since: start.Add(-time.Hour), Until: start, Limit: most}
	q.Locks, q.Slowed, q.Claims = hour, hour, hour
	return q
}

// assigned is the outcome that a PNE has another assignment, of the next epoch.
func assigned(q *server.Inquiry, f *server.Findings) *server.Outcome {
	p := f.PNE
	p.Owner, p.Epoch, p.Gateway, p.Assigned = q.User, p.Epoch+1, q.Gateway, start
	a := assignment(q.Entity, p.Epoch, start)
	a.User, a.Gateway, a.RandPNGW, a.RequestTag = q.User, q.Gateway, q.RandPNGW, q.Tag
	return &server.Outcome{Assignment: &a, PNE: &p}
}

// assigningSite fills a store with what the tests of Assign ask for.
func assigningSite(t *testing.T, s server.Store, pnes ...cpns.EntityID) {
	t.Helper()
	update(t, s, func(tx server.Tx) error {
		err := errors.Join(addUsers(tx, "alice", "bob"),
			tx.AddGateway(server.Gateway{ID: "gw", Created: start, Seen: start.Add(-time.Hour)}), tx.AddGateway(server.Gateway{ID: "gw-2", Created: start}),
			tx.AddPSK1(server.PSK1{Identity: "id-gw", Gateway: "gw", Source: server.SourceFile, Key: server.Sealed{4, 4}, Tag: server.Tag{4}, Created: start, Used: start, Ends: start.Add(time.Hour)}))
		for _, e := range pnes {
			err = errors.Join(err, addPNE(tx, e))
		}
		return err
	})
}

// What Assign finds is what the single methods find, whatever there is.
func testFindings(t *testing.T, r Rig) {
	assigningSite(t, r.Store, "free", "owned")
	late := start.Add(time.Second)
	update(t, r.Store, func(tx server.Tx) error {
		err := errors.Join(tx.SetOwner(server.PNE{Entity: "owned", Owner: "bob", Epoch: 7, Gateway: "gw-2", Assigned: start}),
			tx.AddFailure(server.Failure{User: "alice", Gateway: "gw-2", RequestTag: server.Tag{9}, Time: start}),
			tx.AddFailure(server.Failure{User: "alice", Gateway: "gw", RequestTag: server.Tag{10}, Time: late}))
		for n := range 5 {
			at := start.Add(-time.Duration(n) * time.Minute)
			err = errors.Join(err,
				tx.AddFailure(server.Failure{User: "alice", Gateway: "gw", RequestTag: server.Tag{9, byte(n)}, Time: at}),
				tx.AddClaim(server.Claim{User: "alice", Gateway: "gw", Entity: cpns.EntityID(fmt.Sprint(n)), Time: at}))
		}
		a := assignment("owned", 7, start)
		a.RandPNGW = inquiry("owned", 1).RandPNGW
		return errors.Join(err, tx.AddAssignment(a))
	})
	for _, change := range []func(*server.Inquiry){
		func(*server.Inquiry) {},
		func(q *server.Inquiry) { q.Identity = "unknown" },
		func(q *server.Inquiry) { q.Gateway = "gw-2" },
		func(q *server.Inquiry) { q.Gateway = "unknown" },
		func(q *server.Inquiry) { q.User = "unknown" },
		func(q *server.Inquiry) { q.Entity = "unknown" },
		func(q *server.Inquiry) { q.Entity = "owned" },
		func(q *server.Inquiry) { q.User, q.Entity = "bob", "owned" },
		func(q *server.Inquiry) { q.User = "bob" },
		func(q *server.Inquiry) { q.RandPNGW = inquiry("owned", 1).RandPNGW },
		func(q *server.Inquiry) { q.Tag = server.Tag{1} },
		func(q *server.Inquiry) { q.Tag = server.Tag{10} },
		func(q *server.Inquiry) { q.Locks.Until, q.Slowed.Since = late, start.Add(-90*time.Second) },
		func(q *server.Inquiry) { q.Claims.Since = start.Add(-150 * time.Second) },
	} {
		for _, most := range []int{1, 3, 5, 6} {
			q := inquiry("free", most)
			change(q)
			var wanted *server.Findings
			view(t, r.Store, func(tx server.Tx) (err error) {
				wanted, err = q.Find(tx)
				return err
			})
			var got *server.Findings
			err := r.Store.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) {
				got = f
				return &server.Outcome{}, nil
			})
			want(t, fmt.Sprintf("%+v", q), got, err, wanted)
		}
	}
	// That the two are not wrong together.
	err := r.Store.Assign(t.Context(), inquiry("free", 5), func(f *server.Findings) (*server.Outcome, error) {
		if f.PSK1.Identity != "id-gw" || f.User.ID != "alice" || f.PNE.Entity != "free" || len(f.Failures) != 5 || !f.Failures[0].Equal(start) ||
			!f.Failed || f.Slowed != 5 || !f.Claimed.Equal(start.Add(-4*time.Minute)) || !f.Seen.Equal(start.Add(-time.Hour)) || f.Earlier.Entity != "" {
			t.Errorf("found %+v", f)
		}
		return &server.Outcome{}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// What Assign writes is all there afterwards, or nothing of it.
func testOutcomes(t *testing.T, r Rig) {
	assigningSite(t, r.Store, "pne")
	q := inquiry("pne", 1)
	all := func(f *server.Findings) *server.Outcome {
		o := assigned(q, f)
		o.Seen, o.UserSeen = start, start
		o.Failure = &server.Failure{User: "alice", Gateway: "gw", RequestTag: q.Tag, Time: start}
		o.Claim = &server.Claim{User: "alice", Gateway: "gw", Entity: "pne", Time: start}
		o.Event = &server.Event{Time: start, Kind: "assigned", User: "alice", Entity: "pne", Gateway: "gw", Epoch: o.PNE.Epoch, Source: "s", Detail: "d"}
		return o
	}
	check := func(what string, there bool) {
		t.Helper()
		view(t, r.Store, func(tx server.Tx) error {
			f, err := q.Find(tx)
			if err != nil {
				return err
			}
			n := len(eventsSince(t, tx, time.Time{}))
			claims, err := tx.ClaimsAt("alice", "gw", q.Claims.Since, q.Claims.Until, 5)
			if got := []bool{f.Failed, f.PNE.Epoch == 1, f.PNE.Owner == "alice", f.Earlier.Entity != "", n == 1, len(claims) == 1, f.Seen.Equal(start), f.User.Seen.Equal(start)}; err != nil {
				return err
			} else {
				for i := range got {
					if got[i] != there {
						t.Errorf("%s: what is there is %v", what, got)
						break
					}
				}
			}
			return nil
		})
	}
	err := r.Store.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) { return all(f), errStop })
	wantErr(t, "a decision that fails", err, errStop)
	check("a decision that fails", false)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		r.Store.Assign(t.Context(), q, func(*server.Findings) (*server.Outcome, error) { panic("stop") })
	}()
	check("a decision that panics", false)
	ctx, cancel := context.WithCancel(t.Context())
	err = r.Store.Assign(ctx, q, func(f *server.Findings) (*server.Outcome, error) { cancel(); return all(f), nil })
	if err == nil {
		check("given up while it was decided, and written", true)
		t.Skip("a store that is quicker than the end of the context")
	}
	check("given up while it was decided", false)
	wantErr(t, "given up before", r.Store.Assign(ctx, q, func(*server.Findings) (*server.Outcome, error) {
		t.Error("decided on after the context had ended")
		return &server.Outcome{}, nil
	}), context.Canceled)
	if err := r.Store.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) { return all(f), nil }); err != nil {
		t.Fatal(err)
	}
	check("assigned", true)
	view(t, r.Store, func(tx server.Tx) error {
		f, err := q.Find(tx)
		if err != nil {
			return err
		}
		wanted := assigned(q, &server.Findings{PNE: server.PNE{Entity: "pne"}})
		want(t, "the assignment", f.Earlier, nil, *wanted.Assignment)
		want(t, "the PNE's gateway and time", f.PNE.State(), nil, server.PNEAssigned)
		return nil
	})
	// Past assignments go, the newest stays.
	for n := range 3 {
		again := inquiry("pne", 1)
		again.RandPNGW[31] = byte(n + 1)
		if err := r.Store.Assign(t.Context(), again, func(f *server.Findings) (*server.Outcome, error) {
			o := assigned(again, f)
			o.Prune = start.Add(time.Hour)
			return o, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	view(t, r.Store, func(tx server.Tx) error {
		n, err := tx.CountRows(server.Tables[7])
		want(t, "assignments that are left in "+server.Tables[7].Name, n, err, 1)
		return nil
	})
}

// What Assign promises of those that come at the same time, to two stores of one kind on
// the same data.
func testAssign(t *testing.T, r Rig) {
	a, b := r.Store, r.Reopen()
	assigningSite(t, a, "pne", "other")
	// at runs decide once for each of several at the same time.
	at := func(workers int, ask func(n int) *server.Inquiry, decide func(n int, q *server.Inquiry, f *server.Findings) *server.Outcome) {
		t.Helper()
		var wg sync.WaitGroup
		for n := range workers {
			wg.Go(func() {
				q := ask(n)
				err := []server.Store{a, b}[n%2].Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) { return decide(n, q, f), nil })
				if err != nil {
					t.Errorf("worker %d: %v", n, err)
				}
			})
		}
		wg.Wait()
	}
	random := func(e cpns.EntityID, most int) func(n int) *server.Inquiry {
		return func(n int) *server.Inquiry {
			q := inquiry(e, most)
			q.RandPNGW[31] = byte(n + 1)
			return q
		}
	}
	at(16, random("pne", 1), func(_ int, q *server.Inquiry, f *server.Findings) *server.Outcome { return assigned(q, f) })
	view(t, a, func(tx server.Tx) error {
		p, err := tx.PNE("pne")
		want(t, "epoch", p.Epoch, err, 16)
		return nil
	})
	// No more failures, nor claims, than the limit that each looks at; also where the
	// gateway is another for each: then they are apart.
	const most = 3
	at(12, random("pne", most), func(n int, q *server.Inquiry, f *server.Findings) *server.Outcome {
		if len(f.Failures) == most {
			return &server.Outcome{}
		}
		return &server.Outcome{Failure: &server.Failure{User: "alice", Gateway: "gw", RequestTag: server.Tag{byte(n)}, Time: start}}
	})
	at(12, random("other", most), func(n int, q *server.Inquiry, f *server.Findings) *server.Outcome {
		if !f.Claimed.IsZero() {
			return &server.Outcome{}
		}
		return &server.Outcome{Claim: &server.Claim{Entity: cpns.EntityID(fmt.Sprint(n)), User: "alice", Gateway: "gw", Time: start}}
	})
	view(t, a, func(tx server.Tx) error {
		n, err := tx.CountFailures("alice", start.Add(-time.Hour), start, 100)
		want(t, "failures", n, err, most)
		claims, err := tx.ClaimsAt("alice", "gw", start.Add(-time.Hour), start, 100)
		want(t, "claims", len(claims), err, most)
		return nil
	})
	// One assignment under a RAND_PNGW, and everybody gets that.
	var mu sync.Mutex
	given := map[int]cpns.Epoch{}
	at(8, func(int) *server.Inquiry { return inquiry("other", 1) }, func(n int, q *server.Inquiry, f *server.Findings) *server.Outcome {
		mu.Lock()
		defer mu.Unlock()
		if f.Earlier.Entity != "" {
			given[n] = f.Earlier.Epoch
			return &server.Outcome{}
		}
		o := assigned(q, f)
		o.PNE.Epoch += cpns.Epoch(n)
		o.Assignment.Epoch = o.PNE.Epoch
		given[n] = o.PNE.Epoch
		return o
	})
	for n, epoch := range given {
		if epoch != given[0] {
			t.Errorf("epoch %d was given to worker %d, %d to another", epoch, n, given[0])
		}
	}
	// The same RAND_PNGW for two PNEs.
	update(t, a, func(tx server.Tx) error { return errors.Join(addPNE(tx, "p0"), addPNE(tx, "p1")) })
	first := 0
	at(2, func(n int) *server.Inquiry {
		q := inquiry(cpns.EntityID(fmt.Sprint("p", n)), 1)
		q.RandPNGW = [cpns.RandSize]byte{77}
		return q
	}, func(_ int, q *server.Inquiry, f *server.Findings) *server.Outcome {
		if f.Earlier.Entity != "" {
			return &server.Outcome{}
		}
		return assigned(q, f)
	})
	view(t, a, func(tx server.Tx) error {
		for _, e := range []cpns.EntityID{"p0", "p1"} {
			if p, err := tx.PNE(e); err != nil {
				return err
			} else if p.Owner != "" {
				first++
			}
		}
		want(t, "PNEs under one RAND_PNGW", first, nil, 1)
		return nil
	})
	testRemovedOwner(t, a, b)
	testManyAtOnce(t, a, b)
}

// Nobody owns a PNE who was removed.
func testRemovedOwner(t *testing.T, a, b server.Store) {
	for n := range 6 {
		var ended sync.WaitGroup
		if n > 0 {
			update(t, a, func(tx server.Tx) error {
				err := tx.SetOwner(server.PNE{Entity: "pne", Epoch: 16})
				if err2 := addUsers(tx, "bob"); !errors.Is(err2, server.ErrExists) {
					err = errors.Join(err, err2)
				}
				return err
			})
		}
		ended.Go(func() {
			q := inquiry("pne", 1)
			q.User, q.RandPNGW[30] = "bob", byte(n+1)
			b.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) {
				if f.User.ID == "" {
					return &server.Outcome{}, nil
				}
				time.Sleep(time.Millisecond)
				return assigned(q, f), nil
			})
		})
		ended.Go(func() {
			a.Update(t.Context(), func(tx server.Tx) error {
				if owned, err := tx.CountPNEsOf("bob"); err != nil || owned > 0 {
					return errors.Join(err, errStop)
				}
				time.Sleep(time.Millisecond)
				return tx.RemoveUser("bob")
			})
		})
		ended.Wait()
		view(t, a, func(tx server.Tx) error {
			_, err := tx.User("bob")
			if owned, _ := tx.CountPNEsOf("bob"); owned > 0 && err != nil {
				t.Errorf("bob was removed and owns %d", owned)
			}
			return nil
		})
	}
}

// Many requests at once, of several gateways for a few PNEs, beside an operator who
// changes the same PNEs, and others that fail: each assignment that was told is there,
// and no other.
func testManyAtOnce(t *testing.T, a, b server.Store) {
	const workers, each, pnes = 16, 8, 5
	update(t, a, func(tx server.Tx) (err error) {
		for n := range pnes {
			err = errors.Join(err, addPNE(tx, cpns.EntityID(fmt.Sprint("many-", n))))
		}
		return err
	})
	var mu sync.Mutex
	told := map[[cpns.RandSize]byte]cpns.Epoch{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				q := inquiry(cpns.EntityID(fmt.Sprint("many-", (w+n)%pnes)), 1)
				q.Gateway = cpns.GatewayID(fmt.Sprint("gw-", w%3))
				q.RandPNGW = [cpns.RandSize]byte{200, byte(w), byte(n)}
				epoch := cpns.Epoch(0)
				err := []server.Store{a, b}[w%2].Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) {
					if n == each-1 {
						return nil, errStop
					}
					o := assigned(q, f)
					epoch = o.PNE.Epoch
					o.Event = &server.Event{Time: start, Kind: "many", Entity: q.Entity, Epoch: epoch}
					return o, nil
				})
				if n == each-1 {
					wantErr(t, "one that fails", err, errStop)
				} else if err != nil {
					t.Errorf("assigning: %v", err)
				} else {
					mu.Lock()
					told[q.RandPNGW] = epoch
					mu.Unlock()
				}
			}
		})
	}
	for range 8 {
		update(t, b, func(tx server.Tx) error {
			p, err := tx.PNE("many-0")
			p.Owner = ""
			return errors.Join(err, tx.SetOwner(p))
		})
	}
	wg.Wait()
	view(t, a, func(tx server.Tx) error {
		for random, epoch := range told {
			got, err := tx.AssignmentByRandom(&random)
			if err != nil || got.Epoch != epoch {
				t.Errorf("epoch %d was told, there is %d, %v", epoch, got.Epoch, err)
			}
		}
		events := 0
		for _, e := range eventsSince(t, tx, time.Time{}) {
			if e.Kind == "many" {
				events++
			}
		}
		sum := 0
		for n := range pnes {
			p, err := tx.PNE(cpns.EntityID(fmt.Sprint("many-", n)))
			if err != nil {
				return err
			}
			sum += int(p.Epoch)
		}
		if n := workers * (each - 1); len(told) != n || events != n || sum != n {
			t.Errorf("%d were told, %d events, %d epochs, want %d of each", len(told), events, sum, n)
		}
		return nil
	})
}
