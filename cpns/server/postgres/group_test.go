package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
	"cpns.example.net/pngw/cpns/server/postgres/pgtest"
	"cpns.example.net/pngw/cpns/server/servertest"
)

// aSite makes a store with a user, and with n gateways and PNEs of the same number.
func aSite(t *testing.T, url string, n int) *Store {
	t.Helper()
	s := createAt(t, url)
	err := s.Update(t.Context(), func(tx server.Tx) error {
		err := tx.AddUser(server.User{ID: "alice"})
		for i := range n {
			err = errors.Join(err, tx.AddGateway(server.Gateway{ID: asked(i).Gateway}), tx.AddPNE(server.PNE{Entity: asked(i).Entity, TK: server.Sealed{1}}))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// asked is an inquiry about a PNE through a gateway of its own.
func asked(n int) *server.Inquiry {
	w := server.Window{Since: time.UnixMilli(0), Until: time.UnixMilli(1000), Limit: 3}
	return &server.Inquiry{
		Identity: "id", Gateway: cpns.GatewayID(fmt.Sprint("gw-", n)), User: "alice", Entity: cpns.EntityID(fmt.Sprint("pne-", n)),
		RandPNGW: [cpns.RandSize]byte{1, byte(n)}, Tag: server.Tag{byte(n)}, Locks: w, Slowed: w, Claims: w,
	}
}

// given is that alice gets the PNE.
func given(q *server.Inquiry, f *server.Findings) *server.Outcome {
	p := server.PNE{Entity: q.Entity, Owner: q.User, Epoch: f.PNE.Epoch + 1, Gateway: q.Gateway, Assigned: time.UnixMilli(500)}
	a := server.Assignment{Entity: q.Entity, Epoch: p.Epoch, User: q.User, Gateway: q.Gateway, RandPNGW: q.RandPNGW, RandSVR: server.Sealed{2}, Length: 64, RequestTag: q.Tag}
	return &server.Outcome{PNE: &p, Assignment: &a}
}

func owner(t *testing.T, s *Store, e cpns.EntityID) (p server.PNE) {
	t.Helper()
	if err := s.View(t.Context(), func(tx server.Tx) (err error) { p, err = tx.PNE(e); return err }); err != nil {
		t.Fatal(err)
	}
	return p
}

// Whatever of what an assignment depends on is changed between finding and writing, it is
// decided on anew, by what there is then.
func TestChangedMeanwhile(t *testing.T) {
	db := pgtest.Shared(t)
	url := db.NewDatabase()
	s, other := aSite(t, url, 20), openAt(t, url)
	claim := func(q *server.Inquiry, f *server.Findings) *server.Outcome {
		o := given(q, f)
		o.Claim = &server.Claim{Entity: q.Entity, User: q.User, Gateway: q.Gateway, Time: time.UnixMilli(500)}
		return o
	}
	for n, tt := range []struct {
		name    string
		decide  func(*server.Inquiry, *server.Findings) *server.Outcome
		change  func(tx server.Tx, q *server.Inquiry) error
		changed func(f *server.Findings) bool
	}{
		{"the owner", given, func(tx server.Tx, q *server.Inquiry) error {
			return errors.Join(tx.AddUser(server.User{ID: "bob"}), tx.SetOwner(server.PNE{Entity: q.Entity, Owner: "bob"}))
		}, func(f *server.Findings) bool { return f.PNE.Owner == "bob" }},
		{"the epoch", given, func(tx server.Tx, q *server.Inquiry) error {
			return tx.SetOwner(server.PNE{Entity: q.Entity, Epoch: 7})
		}, func(f *server.Findings) bool { return f.PNE.Epoch == 7 }},
		{"the TK", given, func(tx server.Tx, q *server.Inquiry) error { return tx.SetTK(q.Entity, server.Sealed{9}) },
			func(f *server.Findings) bool { return slices.Equal(f.PNE.TK, server.Sealed{9}) }},
		{"whether there is the PNE", func(q *server.Inquiry, f *server.Findings) *server.Outcome {
			if f.PNE.Entity == "" {
				return &server.Outcome{}
			}
			return given(q, f)
		}, func(tx server.Tx, q *server.Inquiry) error { return tx.RemovePNE(q.Entity) },
			func(f *server.Findings) bool { return f.PNE.Entity == "" }},
		{"what the RAND_PNGW is for", func(q *server.Inquiry, f *server.Findings) *server.Outcome {
			if f.Earlier.Entity != "" {
				return &server.Outcome{}
			}
			return given(q, f)
		}, func(tx server.Tx, q *server.Inquiry) error {
			return tx.AddAssignment(server.Assignment{Entity: "pne-0", Epoch: 99, RandPNGW: q.RandPNGW})
		}, func(f *server.Findings) bool { return f.Earlier.Epoch == 99 }},
		{"the first claim", claim, func(tx server.Tx, q *server.Inquiry) error {
			return tx.AddClaim(server.Claim{Entity: "x", User: q.User, Gateway: q.Gateway, Time: time.UnixMilli(1)})
		}, func(*server.Findings) bool { return true }},
		{"the claims", claim, func(tx server.Tx, q *server.Inquiry) error {
			return errors.Join(
				tx.AddClaim(server.Claim{Entity: "y", User: q.User, Gateway: q.Gateway, Time: time.UnixMilli(1)}),
				tx.AddClaim(server.Claim{Entity: "z", User: q.User, Gateway: q.Gateway, Time: time.UnixMilli(2)}),
				tx.AddClaim(server.Claim{Entity: "x", User: q.User, Gateway: q.Gateway, Time: time.UnixMilli(3)}))
		}, func(f *server.Findings) bool { return f.Claimed.Equal(time.UnixMilli(1)) }},
		{"the failures", func(q *server.Inquiry, _ *server.Findings) *server.Outcome {
			return &server.Outcome{Failure: &server.Failure{User: q.User, Gateway: q.Gateway, RequestTag: q.Tag, Time: time.UnixMilli(500)}}
		}, func(tx server.Tx, q *server.Inquiry) error {
			return tx.AddFailure(server.Failure{User: q.User, Gateway: q.Gateway, RequestTag: server.Tag{200}, Time: time.UnixMilli(1)})
		}, func(f *server.Findings) bool { return len(f.Failures) == 1 }},
	} {
		q := asked(n + 1)
		var all []server.Findings
		before := s.Stats()
		err := s.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) {
			if all = append(all, *f); len(all) == 1 {
				if err := other.Update(t.Context(), func(tx server.Tx) error { return tt.change(tx, q) }); err != nil {
					t.Error(err)
				}
			}
			return tt.decide(q, f), nil
		})
		if err != nil || len(all) != 2 || !tt.changed(&all[1]) {
			t.Errorf("%s: decided on %d times, %v: %+v", tt.name, len(all), err, all)
		}
		if got := s.Stats().SerializationFailures - before.SerializationFailures; got != 1 {
			t.Errorf("%s: %d conflicts were counted", tt.name, got)
		}
	}
}

// together has assignments go as one group: while one is being decided on, the others
// come. It gives their errors, the first one's first.
func together(t *testing.T, s *Store, decide ...func(*server.Findings) (*server.Outcome, error)) []error {
	t.Helper()
	errs := make([]error, len(decide)+1)
	var wg sync.WaitGroup
	begun, all := make(chan struct{}), make(chan struct{})
	once := sync.OnceFunc(func() { close(begun) })
	wg.Go(func() {
		errs[0] = s.Assign(t.Context(), asked(0), func(f *server.Findings) (*server.Outcome, error) {
			once()
			<-all
			return given(asked(0), f), nil
		})
	})
	<-begun
	var waiting sync.WaitGroup
	s.groups.mu.Lock() // nobody goes before all are there
	for n, each := range decide {
		waiting.Add(1)
		wg.Go(func() {
			waiting.Done()
			errs[n+1] = s.Assign(t.Context(), asked(n+1), each)
		})
	}
	waiting.Wait()
	time.Sleep(5 * time.Millisecond) // most are at the lock; that they go together is not needed
	s.groups.mu.Unlock()
	go func() {
		for {
			s.groups.mu.Lock()
			n := len(s.groups.waiting)
			s.groups.mu.Unlock()
			if n == 0 { // they are under way beside the first
				close(all)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	wg.Wait()
	return errs
}

// One that takes long holds no others up. What fails, panics or cannot be written in a
// group is its own fault, and the others' assignments are made.
func TestGroupApart(t *testing.T) {
	s := aSite(t, pgtest.Shared(t).NewDatabase(), 9)
	good := func(n int) func(*server.Findings) (*server.Outcome, error) {
		return func(f *server.Findings) (*server.Outcome, error) { return given(asked(n), f), nil }
	}
	errOwn := errors.New("own")
	panicked := make(chan any, 1)
	errs := together(t, s,
		good(1),
		func(*server.Findings) (*server.Outcome, error) { return nil, errOwn },
		func(f *server.Findings) (*server.Outcome, error) { // a PNE that there is not
			o := given(asked(3), f)
			o.Assignment.Entity, o.PNE = "nowhere", nil
			return o, nil
		},
		good(4),
		good(5))
	func() {
		defer func() { panicked <- recover() }()
		s.Assign(t.Context(), asked(6), func(*server.Findings) (*server.Outcome, error) { panic("own") })
	}()
	if <-panicked != "own" {
		t.Error("the panic was swallowed")
	}
	if err := s.Assign(t.Context(), asked(7), good(7)); err != nil {
		t.Errorf("after the panic: %v", err)
	}
	if !errors.Is(errs[2], errOwn) || errs[3] == nil || codeOf(errs[3]) != "23503" {
		t.Errorf("those that fail: %v; %v", errs[2], errs[3])
	}
	for _, n := range []int{0, 1, 4, 5} {
		if errs[n] != nil {
			t.Errorf("assignment %d: %v", n, errs[n])
		}
	}
	for n, want := range []cpns.UserID{"alice", "alice", "", "", "alice", "alice", "", "alice"} {
		if p := owner(t, s, asked(n).Entity); p.Owner != want {
			t.Errorf("PNE %d is %q's", n, p.Owner)
		}
	}
}

// Who gives up is told so at once, is not decided on afterwards, and leaves the gateway
// free for its next request.
func TestGroupGivenUp(t *testing.T) {
	s := aSite(t, pgtest.Shared(t).NewDatabase(), 2)
	block := make(chan struct{})
	first := make(chan error)
	deciding := make(chan struct{})
	go func() {
		first <- s.Assign(t.Context(), asked(0), func(f *server.Findings) (*server.Outcome, error) {
			close(deciding)
			<-block
			return given(asked(0), f), nil
		})
	}()
	<-deciding
	ctx, cancel := context.WithCancel(t.Context())
	q := asked(0) // waits for the first
	q.RandPNGW[5] = 5
	second := make(chan error)
	go func() {
		second <- s.Assign(ctx, q, func(*server.Findings) (*server.Outcome, error) {
			t.Error("decided on although it was given up")
			return &server.Outcome{}, nil
		})
	}()
	cancel()
	if err := <-second; !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	close(block)
	if err := <-first; err != nil {
		t.Error(err)
	}
	if err := s.Assign(t.Context(), q, func(f *server.Findings) (*server.Outcome, error) { return given(q, f), nil }); err != nil || owner(t, s, "pne-0").Epoch != 2 {
		t.Errorf("the next request: %v", err)
	}
	s.groups.mu.Lock()
	defer s.groups.mu.Unlock()
	if len(s.groups.waiting) > 0 {
		t.Errorf("%d are left", len(s.groups.waiting))
	}
}

// When all connections are in use, assignments are told so as others are.
func TestPoolExhaustedAssigning(t *testing.T) {
	s := aSite(t, pgtest.Shared(t).NewDatabase()+"&pool_max_conns=1", 1)
	decide := func(f *server.Findings) (*server.Outcome, error) { return given(asked(0), f), nil }
	err := s.Update(t.Context(), func(tx server.Tx) error {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantSays(t, "an assignment", s.Assign(ctx, asked(0), decide), "all 1 connections", true)
		return tx.AddSetting("b", nil)
	})
	if err != nil {
		t.Errorf("the transaction before: %v", err)
	}
	if err := s.Assign(t.Context(), asked(0), decide); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// Who reads a listing slowly has no transaction open meanwhile, so that VACUUM goes on.
func TestSlowReader(t *testing.T) {
	s := createAt(t, pgtest.Shared(t).NewDatabase())
	fleet := servertest.Fill(t, s, 1, 1)
	if err := s.Update(t.Context(), func(tx server.Tx) (err error) {
		for range 700 {
			err = errors.Join(err, tx.AddEvent(server.Event{Kind: "e", Time: time.Now()}))
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	op, err := server.NewOperator(t.Context(), s, fleet.Key, "tester")
	if err != nil {
		t.Fatal(err)
	}
	read, open := 0, 0
	err = op.Audit(t.Context(), time.Time{}, func(server.Event) error {
		if read++; read%250 != 0 {
			return nil
		}
		var n int
		err := s.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'cpns-server' AND state LIKE 'idle in transaction%'").Scan(&n)
		open += n
		return err
	})
	if err != nil || read < 700 || open > 0 {
		t.Errorf("%d events were read, %d transactions were open, %v", read, open, err)
	}
}
