package server_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// verify verifies the audit log and gives the numbers of the broken events.
func (r *rig) verify(noted server.Head) (*server.Audited, []int64) {
	r.t.Helper()
	var broken []int64
	found, err := r.op.VerifyAudit(r.t.Context(), noted, func(seq int64, what string) {
		r.t.Logf("event %d: %s", seq, what)
		broken = append(broken, seq)
	})
	must(r.t, err)
	if found.Broken != len(broken) || len(broken) > 0 && found.First != slices.Min(broken) {
		r.t.Errorf("%d broken, the first %d; told %v", found.Broken, found.First, broken)
	}
	return found, broken
}

// log fills the audit log with events 1 to n and seals them, three at a time.
func (r *rig) fillLog(n int) {
	r.t.Helper()
	have := len(r.events())
	for ; have < n; have++ {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	}
	r.server.SetSealing(0, 3)
	must(r.t, r.server.Seal(r.t.Context()))
}

// tamper changes the database as whoever can write to it could.
func (r *rig) tamper(f func(tx server.Tx) error) {
	r.t.Helper()
	must(r.t, r.store.Update(r.t.Context(), f))
}

// replace puts another event in an event's place.
func replace(tx server.Tx, seq int64, change func(*server.Row)) error {
	table := tableOf("events")
	rows, err := tx.RowsAfter(table, server.Row{seq - 1}, 1)
	if err != nil {
		return err
	}
	change(&rows[0])
	return errors.Join(tx.RemoveEvents([]int64{seq}), tx.AddRows(table, rows))
}

func tableOf(name string) *server.Table {
	return server.Tables[slices.IndexFunc(server.Tables, func(t *server.Table) bool { return t.Name == name })]
}

// Columns of the table of events, in order: seq, at, kind, user_id, entity, gateway, epoch, source, detail, mac.
func TestVerifyAudit(t *testing.T) {
	const events = 30
	edit := func(seq int64, column int, value any) func(tx server.Tx) error {
		return func(tx server.Tx) error {
			return replace(tx, seq, func(row *server.Row) { (*row)[column] = value })
		}
	}
	for name, c := range map[string]struct {
		tamper func(tx server.Tx) error
		broken []int64
	}{
		"nothing":          {func(server.Tx) error { return nil }, nil},
		"another time":     {edit(4, 1, int64(1)), []int64{4}},
		"another kind":     {edit(5, 2, "repeated"), []int64{5}},
		"another user":     {edit(10, 3, "mallory"), []int64{10}},
		"another PNE":      {edit(30, 4, "pne-2"), []int64{30}},
		"another gateway":  {edit(10, 5, "gw-2"), []int64{10}},
		"another epoch":    {edit(10, 6, int64(1)), []int64{10}},
		"another source":   {edit(10, 7, "192.0.2.7"), []int64{10}},
		"another detail":   {edit(10, 8, "x"), []int64{10}},
		"an event removed": {func(tx server.Tx) error { return tx.RemoveEvents([]int64{17}) }, []int64{17}},
		"two exchanged": {func(tx server.Tx) error {
			rows, err := tx.RowsAfter(tableOf("events"), server.Row{int64(19)}, 2)
			if err != nil {
				return err
			}
			rows[0][0], rows[1][0] = rows[1][0], rows[0][0]
			rows[0][6] = rows[0][6].(int64) + 0
			return errors.Join(tx.RemoveEvents([]int64{20, 21}), tx.AddRows(tableOf("events"), []server.Row{rows[1], rows[0]}))
		}, []int64{20, 21}},
		"one added at the end": {func(tx server.Tx) error {
			return tx.AddEvent(server.Event{Time: time.Now(), Kind: server.EventAssigned, User: "mallory", MAC: server.Tag{1}})
		}, []int64{events + 1}},
		"a seal removed":       {func(tx server.Tx) error { return tx.RemoveSeal(3) }, []int64{7}},
		"a seal's MAC changed": {func(tx server.Tx) error { return reseal(tx, 3, func(s *server.Seal) { s.MAC[5] ^= 1 }) }, []int64{7, 10}},
		"an entry removed":     {func(tx server.Tx) error { return reseal(tx, 3, func(s *server.Seal) { s.Entries = s.Entries[24:] }) }, []int64{7, 7}},
		"half an entry":        {func(tx server.Tx) error { return reseal(tx, 3, func(s *server.Seal) { s.Entries = s.Entries[1:] }) }, []int64{7, 7}},
		"another key": {func(tx server.Tx) error {
			return tx.SetSetting("audit-anchor", []byte(`{"number":3,"upto":9,"total":9,"chain":"AA==","mac":"AA=="}`))
		}, []int64{10, 10}},
		"the first seals, unanchored": {func(tx server.Tx) error {
			return errors.Join(tx.RemoveSeal(1), tx.RemoveEvents([]int64{1, 2, 3}))
		}, []int64{1}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.fillLog(events)
			r.tamper(c.tamper)
			found, broken := r.verify(server.Head{})
			if !slices.Equal(broken, c.broken) {
				t.Errorf("broken: %v, want %v", broken, c.broken)
			}
			if c.broken == nil && (found.Events != events || found.Seals != events/3 || found.Unsealed != 0 || found.Unsigned != 0) {
				t.Errorf("found %+v", found)
			}
		})
	}
}

// reseal puts another seal in a seal's place.
func reseal(tx server.Tx, n int64, change func(*server.Seal)) error {
	seals, err := tx.SealsAfter(n-1, 1)
	if err != nil {
		return err
	}
	change(&seals[0])
	return errors.Join(tx.RemoveSeal(n), tx.AddSeal(seals[0]))
}

// What a noted head shows: the newest events cut off, an older copy of the log, and
// another log that somebody with the master key wrote.
func TestNotedHead(t *testing.T) {
	r := newRig(t)
	r.fillLog(30)
	found, _ := r.verify(server.Head{})
	head := found.Head
	if again, err := server.ParseHead(head.String()); err != nil || again != head {
		t.Errorf("%s: got %v, %v", head, again, err)
	}
	for _, text := range []string{"", "1", "1:", "0:" + strings.Repeat("0", 32), "-1:" + strings.Repeat("0", 32), "1:" + strings.Repeat("0", 31), "1:" + strings.Repeat("0", 34), "1:" + strings.Repeat("g", 32)} {
		if h, err := server.ParseHead(text); err == nil {
			t.Errorf("%q is a head: %v", text, h)
		}
	}
	r.fillLog(33)
	if _, broken := r.verify(head); broken != nil {
		t.Errorf("a log that has grown: %v", broken)
	}
	other := head
	other.MAC[3] ^= 1
	if _, broken := r.verify(other); !slices.Equal(broken, []int64{28}) {
		t.Errorf("another log: %v", broken)
	}
	r.tamper(func(tx server.Tx) error {
		return errors.Join(tx.RemoveSeal(11), tx.RemoveSeal(10), tx.RemoveEvents([]int64{28, 29, 30, 31, 32, 33}))
	})
	if _, broken := r.verify(server.Head{}); broken != nil {
		t.Errorf("nobody noted the head, and %v is broken", broken)
	}
	if _, broken := r.verify(head); !slices.Equal(broken, []int64{28}) {
		t.Errorf("cut off: %v", broken)
	}
}

// What is removed for its age leaves an anchor, with which the rest verifies; nobody
// without the key makes one, nor takes an older one.
func TestAuditAnchor(t *testing.T) {
	r := newRig(t)
	r.fillLog(30)
	r.server.SetAuditRows(20)
	must(t, r.server.Prune(t.Context()))
	anchor := func() (a []byte) {
		must(t, r.store.View(t.Context(), func(tx server.Tx) (err error) {
			a, err = tx.Setting("audit-anchor")
			return err
		}))
		return a
	}
	early := anchor()
	found, broken := r.verify(server.Head{})
	if broken != nil || found.Removed != 12 || found.Events != 18 || found.Seals != 6 || found.RemovedBefore.IsZero() {
		t.Errorf("after pruning: %+v, %v", found, broken)
	}
	r.fillLog(27) // 18 and 9
	must(t, r.server.Prune(t.Context()))
	if found, broken := r.verify(server.Head{}); broken != nil || found.Removed != 21 || found.Events != 18 {
		t.Errorf("after pruning again: %+v, %v", found, broken)
	}
	late := anchor()
	r.tamper(func(tx server.Tx) error { return tx.SetSetting("audit-anchor", early) })
	if _, broken := r.verify(server.Head{}); !slices.Equal(broken, []int64{13}) {
		t.Errorf("an older anchor: %v", broken)
	}
	r.tamper(func(tx server.Tx) error {
		return tx.SetSetting("audit-anchor", []byte(strings.Replace(string(late), `"total":21`, `"total":9`, 1)))
	})
	if _, broken := r.verify(server.Head{}); !slices.Equal(broken, []int64{22}) {
		t.Errorf("a changed anchor: %v", broken)
	}
	r.tamper(func(tx server.Tx) error { return tx.RemoveSetting("audit-anchor") })
	if _, broken := r.verify(server.Head{}); !slices.Equal(broken, []int64{1}) {
		t.Errorf("no anchor: %v", broken)
	}
}

// An event whose transaction is committed after those with higher numbers were sealed is
// sealed too, and what comes when its time is over is not.
func TestLateEvents(t *testing.T) {
	r := newRig(t)
	r.fillLog(12)
	held := make(map[int64]server.Row)
	hold := func(seqs ...int64) { // as if their transactions were not committed yet
		r.tamper(func(tx server.Tx) error {
			for _, n := range seqs {
				rows, err := tx.RowsAfter(tableOf("events"), server.Row{n - 1}, 1)
				if err != nil {
					return err
				}
				held[n] = rows[0]
			}
			return tx.RemoveEvents(seqs)
		})
	}
	commit := func(seq int64) {
		r.tamper(func(tx server.Tx) error { return tx.AddRows(tableOf("events"), []server.Row{held[seq]}) })
		must(t, r.server.Seal(t.Context()))
	}
	for range 8 {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	}
	hold(13, 15, 16)
	must(t, r.server.Seal(t.Context()))
	if found, broken := r.verify(server.Head{}); broken != nil || found.Events != 17 {
		t.Errorf("before they come: %+v, %v", found, broken)
	}
	for range 3 { // others are sealed meanwhile
		r.clock.advance(30 * time.Second)
		must(t, r.server.Seal(t.Context()))
	}
	commit(15)
	if found, broken := r.verify(server.Head{}); broken != nil || found.Events != 18 {
		t.Errorf("a late one: %+v, %v", found, broken)
	}
	// While nobody could commit, nobody could seal either: what is there at once when
	// that ends is not too late.
	r.clock.advance(time.Hour)
	commit(13)
	if found, broken := r.verify(server.Head{}); broken != nil || found.Events != 19 {
		t.Errorf("a very late one: %+v, %v", found, broken)
	}
	commit(16)
	if _, broken := r.verify(server.Head{}); !slices.Equal(broken, []int64{16}) {
		t.Errorf("after its time: %v", broken)
	}
}

// What an older program wrote is sealed as it was found, and counted.
func TestUnsignedEvents(t *testing.T) {
	r := newRig(t)
	r.tamper(func(tx server.Tx) error { // as the store adds it by itself
		return errors.Join(tx.AddEvent(server.Event{Time: time.Now(), Kind: server.EventAssigned}), tx.AddEvent(server.Event{Time: time.Now(), Kind: server.EventAssigned}))
	})
	first := int64(len(r.events()) - 1)
	must(t, r.server.Seal(t.Context()))
	found, broken := r.verify(server.Head{})
	if broken != nil || found.Unsigned != 2 || found.FirstUnsigned != first || found.LastUnsigned != first+1 {
		t.Errorf("found %+v, %v", found, broken)
	}
}

// A store that an older program made gets its key with the first event, of whoever adds
// one; a transaction that fails leaves none.
func TestAuditKeyOfAnOldStore(t *testing.T) {
	r := newRig(t)
	r.tamper(func(tx server.Tx) error { return tx.RemoveSetting("audit-key") })
	op, err := server.NewOperator(t.Context(), r.store, r.key, "tester")
	must(t, err)
	r.op = op
	if _, broken := r.verify(server.Head{}); len(broken) == 0 {
		t.Error("without its key the log verifies")
	}
	if err := op.RemoveUser(t.Context(), "nobody"); err == nil {
		t.Error("nobody was removed")
	}
	last := int64(len(r.events()))
	r.addUser("carol")
	var broken []int64
	if _, err := op.VerifyAudit(t.Context(), server.Head{}, func(seq int64, what string) { broken = append(broken, seq) }); err != nil || len(broken) != int(last) || slices.Contains(broken, last+1) {
		t.Errorf("broken: %v, %v", broken, err)
	}
}

// Several servers seal one log, each event once.
func TestReplicasSeal(t *testing.T) {
	r := newRig(t)
	servers := []*rig{r, r.replica(0), r.replica(time.Second)}
	done := make(chan error)
	for n, at := range servers {
		at.server.SetSealing(0, 2)
		go func() {
			for i := range 15 {
				if err := r.op.Audit(context.Background(), time.Time{}, func(server.Event) error { return nil }); err != nil {
					done <- err
					return
				}
				if err := at.server.Seal(context.Background()); err != nil {
					done <- fmt.Errorf("server %d, seal %d: %w", n, i, err)
					return
				}
			}
			done <- nil
		}()
	}
	for range 20 {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	}
	for range servers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	must(t, r.server.Seal(t.Context()))
	if found, broken := r.verify(server.Head{}); broken != nil || found.Unsealed != 0 || int(found.Events) != len(r.events()) {
		t.Errorf("found %+v, %v", found, broken)
	}
}

// A new master key leaves the log as it is: what was sealed before verifies, and what
// comes after.
func TestRekeyKeepsTheChain(t *testing.T) {
	r := newRig(t)
	r.fillLog(12)
	next := newKey(t)
	_, err := operatorOf(t, r.store, r.key).Rekey(t.Context(), next, func(server.RekeyProgress) {})
	must(t, err)
	r.serve(func(c *server.Config) { c.MasterKey = next })
	r.op = operatorOf(t, r.store, next)
	r.fillLog(20)
	if found, broken := r.verify(server.Head{}); broken != nil || found.Events < 20 || found.Unsealed != 0 || found.Unsigned != 0 {
		t.Errorf("found %+v, %v", found, broken)
	}
}

// What somebody without the key adds is not sealed, and is told of at once and by
// --verify.
func TestForgedEvent(t *testing.T) {
	r := newRig(t)
	r.fillLog(12)
	r.tamper(func(tx server.Tx) error {
		e := r.events()[11]
		e.User, e.Seq = "mallory", 0
		return tx.AddEvent(e)
	})
	for range 2 {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
		must(t, r.server.Seal(t.Context()))
	}
	if n := strings.Count(r.log.String(), "was not written by a server or an operator"); n != 1 {
		t.Errorf("told %d times: %s", n, r.log)
	}
	if got := r.metrics()["cpns_audit_forged_total"]; got != 1 {
		t.Errorf("counted %v", got)
	}
	if found, broken := r.verify(server.Head{}); !slices.Equal(broken, []int64{13}) || found.Events != 14 {
		t.Errorf("found %+v, %v", found, broken)
	}
}

// An awayStore cannot be read while it has an error.
type awayStore struct {
	server.Store
	err atomic.Pointer[error]
}

func (s *awayStore) setErr(err error) { s.err.Store(&err) }

func (s *awayStore) View(ctx context.Context, f func(server.Tx) error) error {
	if err := s.err.Load(); err != nil && *err != nil {
		return *err
	}
	return s.Store.View(ctx, f)
}

// Who follows gets each event once, also one that comes late and what comes after the
// database was away, and is told of that; it ends with its context.
func TestFollow(t *testing.T) {
	r := newRig(t)
	r.fillLog(12)
	for range 3 {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	}
	all := tableOf("events")
	var late server.Row
	r.tamper(func(tx server.Tx) error {
		rows, err := tx.RowsAfter(all, server.Row{int64(12)}, 1)
		must(t, err)
		late = rows[0]
		return tx.RemoveEvents([]int64{13})
	})
	must(t, r.server.Seal(t.Context())) // 14 and 15
	store := &awayStore{Store: r.store}
	broken := errors.New("broken")
	op, err := server.NewOperator(t.Context(), store, r.key, "tester")
	must(t, err)
	ctx, stop := context.WithCancel(t.Context())
	got, told, done := make(chan int64, 100), make(chan error, 10), make(chan error, 1)
	go func() {
		done <- op.Follow(ctx, time.Time{}, func(e server.Event) error { got <- e.Seq; return nil }, func(err error) { told <- err })
	}()
	want := func(seqs ...int64) {
		t.Helper()
		for _, want := range seqs {
			select {
			case n := <-got:
				if n != want {
					t.Fatalf("got event %d, want %d", n, want)
				}
			case err := <-done:
				t.Fatalf("it ended before event %d: %v", want, err)
			case <-time.After(time.Minute):
				t.Fatalf("event %d does not come", want)
			}
		}
	}
	want(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15)
	r.tamper(func(tx server.Tx) error { return tx.AddRows(all, []server.Row{late}) })
	want(13)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	want(16)
	store.setErr(server.ErrUnavailable)
	if err := <-told; !errors.Is(err, server.ErrUnavailable) {
		t.Errorf("away: %v", err)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	store.setErr(nil)
	if err := <-told; err != nil {
		t.Errorf("back: %v", err)
	}
	want(17)
	stop()
	if err := <-done; !errors.Is(err, context.Canceled) {
		t.Errorf("it ended with %v", err)
	}
	// One that came after the last seal, with a number from before it, is there once.
	must(t, r.server.Seal(t.Context()))
	r.wantStatus("gw-1", r.request("alice", "pne-1"), 0) // 18
	r.wantStatus("gw-1", r.request("alice", "pne-1"), 0)
	r.tamper(func(tx server.Tx) error {
		rows, err := tx.RowsAfter(all, server.Row{int64(17)}, 1)
		must(t, err)
		late = rows[0]
		return tx.RemoveEvents([]int64{18})
	})
	must(t, r.server.Seal(t.Context()))
	r.tamper(func(tx server.Tx) error { return tx.AddRows(all, []server.Row{late}) })
	ctx, stop = context.WithCancel(t.Context())
	go func() {
		done <- op.Follow(ctx, time.Time{}, func(e server.Event) error { got <- e.Seq; return nil }, func(error) {})
	}()
	want(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 19, 18)
	stop()
	<-done
	// What is wrong for good ends it, and so does who is told.
	store.setErr(broken)
	if err := op.Follow(t.Context(), time.Time{}, func(server.Event) error { return nil }, func(error) {}); !errors.Is(err, broken) {
		t.Errorf("a broken store: %v", err)
	}
	store.setErr(nil)
	if err := op.Follow(t.Context(), time.Time{}, func(server.Event) error { return broken }, func(error) {}); err != broken {
		t.Errorf("a full disk for what is shown: %v", err)
	}
}
