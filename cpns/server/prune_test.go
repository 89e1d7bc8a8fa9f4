package server_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// kept says how much the store has of what is pruned.
func (r *rig) kept(u cpns.UserID) (failures, claims, events int) {
	r.t.Helper()
	must(r.t, r.store.View(r.t.Context(), func(tx server.Tx) error {
		far := r.clock.Now().Add(10 * 365 * 24 * time.Hour)
		f, err := tx.FailuresAt(u, "gw-1", time.Time{}, far, 1000)
		if err != nil {
			return err
		}
		c, err := tx.ClaimsAt(u, "gw-1", time.Time{}, far, 1000)
		failures, claims = len(f), len(c)
		return err
	}))
	return failures, claims, len(r.events())
}

// What has had its time goes, and nothing by a clock that jumped.
func TestPrune(t *testing.T) {
	r := newRig(t)
	begin := r.clock.Now()
	r.steady()
	r.fail("gw-1", "alice", 3)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	first := r.request("alice", "pne-2")
	r.wantStatus("gw-1", first, cpns.Success)
	_, _, all := r.kept("alice")
	must(t, r.server.Seal(t.Context()))
	wantKept := func(when string, failures, claims, events int) {
		t.Helper()
		must(t, r.server.Prune(t.Context()))
		f, c, e := r.kept("alice")
		if f != failures || c != claims || e != events {
			t.Errorf("%s: %d failures, %d claims, %d events, want %d, %d, %d", when, f, c, e, failures, claims, events)
		}
	}
	wantKept("at once", 3, 2, all)

	// A clock that jumps ten years and back, and what is asked meanwhile.
	const jump = 10 * 365 * 24 * time.Hour
	passed := r.clock.Now().Sub(begin)
	r.server.SetPassed(func() time.Duration { return passed })
	r.clock.advance(jump)
	wantKept("ten years ahead", 3, 2, all)
	r.wantStatus("gw-1", r.request("alice", "pne-2"), cpns.Success)
	must(t, r.server.Seal(t.Context()))
	wantKept("and after a request", 3, 2, all+1)
	if err := r.store.View(t.Context(), func(tx server.Tx) error {
		_, err := tx.AssignmentByRandom(&first.RandPNGW)
		return err
	}); err != nil {
		t.Errorf("the record of a past epoch: %v", err)
	}
	r.clock.advance(-jump)
	wantKept("back again", 3, 2, all+1)

	// An hour of going on evenly, and what is old goes.
	r.steady()
	wantKept("an hour later", 0, 2, all+1)
	r.clock.advance(24 * time.Hour)
	wantKept("a day later", 0, 0, all+1)
	r.clock.advance(server.AuditKept - 25*time.Hour - time.Minute)
	wantKept("while the events are not too old", 0, 0, all+1)
	r.clock.advance(2 * time.Minute)
	wantKept("when all but the last are", 0, 0, 1)
}

// The audit log has a bound, whatever the clock says; the newest events stay.
func TestAuditRows(t *testing.T) {
	const most = 20
	r := newRig(t)
	r.server.SetAuditRows(most)
	for range most {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	}
	before := r.events()
	must(t, r.server.Prune(t.Context()))
	if after := r.events(); len(after) != len(before) {
		t.Errorf("%d of %d events are left, and none of them was sealed", len(after), len(before))
	}
	r.server.SetSealing(0, 1)
	must(t, r.server.Seal(t.Context()))
	must(t, r.server.Prune(t.Context()))
	after := r.events()
	if len(after) != most || after[0] != before[len(before)-most] {
		t.Errorf("%d of %d events are left, want the last %d", len(after), len(before), most)
	}
}

// A server that runs prunes.
func TestServePrunes(t *testing.T) {
	r := newRig(t)
	r.server.SetAuditRows(1)
	r.server.SetPruneEvery(5 * time.Millisecond)
	r.server.SetSealing(5*time.Millisecond, 1)
	if len(r.events()) < 2 {
		t.Fatal("nothing to prune")
	}
	serve(t, r)
	for begin := time.Now(); len(r.events()) > 1; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > 2*time.Minute {
			t.Fatal("nothing was pruned in two minutes")
		}
	}
}

// A user who is removed and added again, perhaps another person, is not locked by
// what the first one did.
func TestRemovedUserIsForgotten(t *testing.T) {
	r := newRig(t)
	r.fail("gw-1", "bob", server.LockFailures)
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.UserLocked)
	must(t, r.op.RemoveUser(t.Context(), "bob"))
	if failures, _, _ := r.kept("bob"); failures != 0 {
		t.Errorf("%d failures are left", failures)
	}
	r.addUser("bob")
	r.serve(func(*server.Config) {})
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.Success)
}

// Who reads a listing slowly holds nothing back: the server goes on, and what it
// writes meanwhile does not pile up beside the database.
func TestSlowReader(t *testing.T) {
	r := newRig(t)
	must(t, r.store.Update(t.Context(), func(tx server.Tx) error {
		for n := range 3000 {
			if err := tx.AddEvent(server.Event{Time: r.clock.Now(), Kind: server.EventAssigned, Source: fmt.Sprint(n)}); err != nil {
				return err
			}
		}
		return nil
	}))
	want := len(r.events())
	got := 0
	must(t, r.op.Audit(t.Context(), time.Time{}, func(e server.Event) error {
		if got++; got%500 == 250 { // in the middle of a page
			for range 100 {
				must(t, r.store.Update(t.Context(), func(tx server.Tx) error { return tx.SetSetting("filler", random(t, 40_000)) }))
			}
		}
		if e.Seq != int64(got) {
			t.Fatalf("event %d has the number %d", got, e.Seq)
		}
		return nil
	}))
	if got != want {
		t.Errorf("got %d events, want %d", got, want)
	}
	info, err := os.Stat(r.path + "-wal")
	must(t, err)
	if most := int64(10 << 20); info.Size() > most { // of 24 MB that were written
		t.Errorf("the log beside the database has grown to %d bytes", info.Size())
	}
}

// What is over of step 0 goes; a removed gateway's key, and a code that ended lately,
// are known for a while, so that people are told.
func TestPruneStep0(t *testing.T) {
	s := newSite(t)
	s.steady()
	u, waiting := newUnit(t), newUnit(t)
	s.enrol(t, u, s.invite(t, "gw-tls", 1), nil).wantApproved(t)
	s.psk1(t, u)
	s.enrol(t, waiting, nil, nil).wantPending(t, waiting)
	must(t, s.op.RemoveGateway(t.Context(), s.enrol(t, newUnit(t), s.invite(t, "gw-gone", 1), nil).wantApproved(t)))
	left := func(when string, psk1s, enrolments, invitations int) {
		t.Helper()
		must(t, s.server.Prune(t.Context()))
		must(t, s.store.View(t.Context(), func(tx server.Tx) error {
			e, err := tx.EnrolmentsAfter(cpns.SPKIHash{}, 100)
			must(t, err)
			i, err := tx.CountInvitations()
			must(t, err)
			if k := len(s.keysOf(t, "gw-tls")); k != psk1s || len(e) != enrolments || i != invitations {
				t.Errorf("%s: %d PSK1s, %d enrolments, %d invitations, want %d, %d, %d", when, k, len(e), i, psk1s, enrolments, invitations)
			}
			return nil
		}))
	}
	start := s.clock.Now()
	after := func(d time.Duration) { s.clock.advance(start.Add(d).Sub(s.clock.Now())) }
	const day = 24 * time.Hour
	left("at once", 1, 2, 2)
	after(7*day + 11*time.Minute)
	left("when the PSK1 is over", 0, 2, 2)
	after(31 * day)
	left("a month after the pending one last asked", 0, 1, 2)
	// The operator's clock is the machine's: what it wrote ends by that.
	s.clock.advance(time.Until(s.clock.Now()) * -1)
	left("today", 0, 1, 2)
	s.clock.advance(105 * day)
	left("three months after the codes ended", 0, 1, 0)
	s.clock.advance(300 * day)
	left("400 days after it was removed", 0, 0, 0)
}
