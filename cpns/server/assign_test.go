package server_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"reflect"
	"slices"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func TestSuccess(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	got := r.wantStatus("gw-1", req, cpns.Success)
	if got.Epoch != r.epoch(1) {
		t.Errorf("epoch: got %d, want %d", got.Epoch, r.epoch(1))
	}
	if !bytes.Equal(got.TK, r.pnes["pne-1"]) {
		t.Error("TK is not the one that was imported")
	}
	if len(got.EUKeys) != cpns.DefaultSetLength {
		t.Errorf("set: got %d keys, want %d", len(got.EUKeys), cpns.DefaultSetLength)
	}
	if want := uint64(r.clock.Now().Unix()); got.ServerTime != want {
		t.Errorf("server time: got %d, want %d", got.ServerTime, want)
	}
	if p := r.pne("pne-1"); p.Owner != "alice" || p.Epoch != r.epoch(1) {
		t.Errorf("the PNE is %s's in epoch %d, want alice's in epoch %d", p.Owner, p.Epoch, r.epoch(1))
	}
	last := r.events()[len(r.events())-1]
	if last.MAC == (server.Tag{}) {
		t.Error("audit: the event has no MAC")
	}
	want := server.Event{Seq: last.Seq, MAC: last.MAC, Time: r.clock.Now(), Kind: server.EventAssigned, User: "alice", Entity: "pne-1", Gateway: "gw-1", Epoch: r.epoch(1), Source: "127.0.0.1"}
	if last != want {
		t.Errorf("audit: got %+v, want %+v", last, want)
	}

	// Another request is another set, in the next epoch.
	next := r.wantStatus("gw-2", r.request("alice", "pne-1"), cpns.Success)
	if next.Epoch != r.epoch(2) || reflect.DeepEqual(next.EUKeys, got.EUKeys) {
		t.Errorf("the next assignment: epoch %d, want %d and another set", next.Epoch, r.epoch(2))
	}
}

// firstErr makes an error of a failed check.
func firstErr(ok bool, answer []byte) error {
	if ok {
		return nil
	}
	return errors.New(string(answer))
}

// A vectorRand gives the random numbers of a vector, told apart by their size.
type vectorRand struct{ randSVR, iv []byte }

func (v vectorRand) Read(p []byte) (int, error) {
	switch len(p) {
	case len(v.randSVR):
		return copy(p, v.randSVR), nil
	case len(v.iv):
		return copy(p, v.iv), nil
	}
	return rand.Read(p)
}

// The server answers the request of every vector with the response of the vector.
func TestVectors(t *testing.T) {
	type hexBytes string
	var vectors struct {
		Cases []struct {
			User     cpns.UserID      `json:"user"`
			Password string           `json:"password"`
			Entity   cpns.EntityID    `json:"entity_id"`
			Gateway  cpns.GatewayID   `json:"gateway_id"`
			Identity cpns.PSKIdentity `json:"psk1_identity"`
			Time     int64            `json:"time"`
			N        int              `json:"n"`
			PSK1     hexBytes         `json:"psk1"`
			TK       hexBytes         `json:"tk"`
			RandSVR  hexBytes         `json:"rand_svr"`
			IV       struct {
				Response hexBytes `json:"response"`
			} `json:"iv"`
			Epoch     cpns.Epoch `json:"response_epoch"`
			Request   hexBytes   `json:"request"`
			WithHello hexBytes   `json:"request_with_hello"`
			Response  hexBytes   `json:"response"`
		} `json:"cases"`
	}
	raw, err := os.ReadFile("../testdata/protocol.json")
	must(t, err)
	must(t, json.Unmarshal(raw, &vectors))
	if len(vectors.Cases) == 0 {
		t.Fatal("zero vectors found")
	}
	unhex := func(h hexBytes) []byte {
		b, err := hex.DecodeString(string(h))
		must(t, err)
		return b
	}
	for _, v := range vectors.Cases {
		t.Run(string(v.User), func(t *testing.T) {
			r := newRigWith(t, func(c *server.Config) {
				c.SetLength = v.N
				// The epochs of the vectors are free of the clock's rule.
				c.NextEpoch = func(last cpns.Epoch, _ time.Time) (cpns.Epoch, bool) { return last + 1, true }
				c.Rand = vectorRand{unhex(v.RandSVR), unhex(v.IV.Response)}
				c.Now = func() time.Time { return time.Unix(v.Time+1, 0) } // as the vectors have it
			})
			hash := server.HashPassword(v.User, []byte(v.Password))
			r.gateways["vector"] = unhex(v.PSK1)
			if v.User != "alice" {
				must(t, r.op.AddUser(t.Context(), v.User, hash))
			} else {
				must(t, r.op.SetPassword(t.Context(), v.User, hash))
			}
			must(t, r.op.AddGateway(t.Context(), v.Gateway, v.Identity, unhex(v.PSK1)))
			csv := bytes.NewReader([]byte("entity_id,tk\n" + string(v.Entity) + "," + string(v.TK)))
			if got, err := r.op.ImportPNEs(t.Context(), csv, server.ImportOptions{}); err != nil || got.Imported != 1 {
				t.Fatalf("import: %+v, %v", got, err)
			}
			must(t, r.store.Update(t.Context(), func(tx server.Tx) error { return tx.SetOwner(server.PNE{Entity: v.Entity, Epoch: v.Epoch - 1}) }))
			res, answer := r.post(unhex(v.Request))
			if res.StatusCode != 200 || !bytes.Equal(answer, unhex(v.Response)) {
				t.Errorf("got HTTP %s and\n%x, want\n%s", res.Status, answer, v.Response)
			}
			// With a hello it is the same request.
			res, answer = r.post(unhex(v.WithHello))
			must(t, firstErr(res.StatusCode == 200, answer))
			again, err := cpns.OpenResponse(unhex(v.PSK1), v.Identity, unhex(v.WithHello), answer)
			must(t, err)
			events := r.events()
			if last := events[len(events)-1]; again.Status != cpns.Success || again.Epoch != v.Epoch || last.Kind != server.EventRepeated || last.Detail != "" {
				t.Errorf("with a hello: %v in epoch %d, audit %+v", again.Status, again.Epoch, last)
			}
		})
	}
}

func TestStatuses(t *testing.T) {
	r := newRig(t)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	at := func(d time.Duration) *cpns.EUKeyAssignmentRequest {
		req := r.request("alice", "pne-1")
		req.Time = uint64(r.clock.Now().Add(d).Unix())
		req.UserAuthenticationData = cpns.UserAuthenticationData(r.users["alice"], &req.RandPNGW, req.Time)
		return req
	}
	end := at(0)
	end.Time = 1<<64 - 1
	otherTime := r.request("alice", "pne-1") // user authentication data of another time
	otherTime.Time++
	tests := []struct {
		name string
		req  *cpns.EUKeyAssignmentRequest
		want cpns.AssignmentStatus
		kind server.EventKind // of the audit event, "" for none
	}{
		{"wrong password", r.wrong("alice", "pne-1"), cpns.UserAuthenticationFailed, server.EventAuthFailed},
		{"unknown user", r.request("nobody", "pne-1"), cpns.UserAuthenticationFailed, server.EventAuthFailed},
		{"another user's password", &cpns.EUKeyAssignmentRequest{EntityID: "pne-1", UserID: "alice", RandPNGW: end.RandPNGW, Time: at(0).Time,
			UserAuthenticationData: cpns.UserAuthenticationData(r.users["bob"], &end.RandPNGW, at(0).Time)}, cpns.UserAuthenticationFailed, server.EventAuthFailed},
		{"user authentication data of another time", otherTime, cpns.UserAuthenticationFailed, server.EventAuthFailed},
		{"300 s early", at(-cpns.TimeWindow), cpns.Success, server.EventAssigned},
		{"300 s late", at(cpns.TimeWindow), cpns.Success, server.EventAssigned},
		{"301 s early", at(-cpns.TimeWindow - time.Second), cpns.TimeOutOfWindow, ""},
		{"301 s late", at(cpns.TimeWindow + time.Second), cpns.TimeOutOfWindow, ""},
		{"1970", at(-r.clock.Now().Sub(time.Unix(0, 0))), cpns.TimeOutOfWindow, ""},
		{"the end of time", end, cpns.TimeOutOfWindow, ""},
		{"unknown PNE", r.request("alice", "pne-9"), cpns.UnknownPNE, server.EventUnknownPNE},
		{"unknown PNE of an unauthenticated user", r.wrong("alice", "pne-9"), cpns.UserAuthenticationFailed, server.EventAuthFailed},
		{"another's PNE", r.request("bob", "pne-1"), cpns.PNEOwnedByAnotherUser, server.EventOwnedByOther},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.serve(func(*server.Config) {}) // with full budgets
			before, events := r.pne("pne-1"), len(r.events())
			got := r.ask("gw-1", tt.req)
			if got.Status != tt.want {
				t.Errorf("got %v, want %v", got.Status, tt.want)
			}
			if want := uint64(r.clock.Now().Unix()); got.ServerTime != want {
				t.Errorf("server time: got %d, want %d", got.ServerTime, want)
			}
			var kind server.EventKind
			if all := r.events(); len(all) > events {
				kind = all[len(all)-1].Kind
			}
			if kind != tt.kind {
				t.Errorf("audit: got %q, want %q", kind, tt.kind)
			}
			if after := r.pne("pne-1"); tt.want != cpns.Success && !reflect.DeepEqual(before, after) {
				t.Errorf("refused, but the PNE went from %+v to %+v", before, after)
			}
		})
	}
}

// Ownership lasts until the operator releases the PNE; the epoch goes on after.
func TestOwnership(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	r.wantStatus("gw-1", req, cpns.Success)
	r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.PNEOwnedByAnotherUser)
	r.wantStatus("gw-2", r.request("alice", "pne-1"), cpns.Success)
	must(t, errorOf(r.op.Release(t.Context(), "pne-1")))
	r.wantStatus("gw-1", req, cpns.RandomReused) // its set is gone
	if got := r.wantStatus("gw-1", r.request("bob", "pne-1"), cpns.Success); got.Epoch != r.epoch(3) {
		t.Errorf("epoch after the release: got %d, want %d", got.Epoch, r.epoch(3))
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.PNEOwnedByAnotherUser)
	r.wantStatus("gw-1", req, cpns.RandomReused)
}

func TestRepeat(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	begin := r.epoch(1)
	body := r.seal("gw-1", req)
	res, answer := r.post(body)
	first := r.open("gw-1", body, res, answer)

	same := func(t *testing.T, got *cpns.EUKeyAssignmentResponse) {
		t.Helper()
		if got.Status != cpns.Success || got.Epoch != first.Epoch || !slices.Equal(got.EUKeys, first.EUKeys) || !bytes.Equal(got.TK, first.TK) {
			t.Errorf("got %v in epoch %d, want the same assignment", got.Status, got.Epoch)
		}
	}
	t.Run("same bytes", func(t *testing.T) {
		res, again := r.post(body)
		same(t, r.open("gw-1", body, res, again))
		if bytes.Equal(again, answer) {
			t.Error("the two answers have the same IV")
		}
	})
	t.Run("same contents under another IV", func(t *testing.T) { same(t, r.ask("gw-1", req)) })
	t.Run("after another assignment", func(t *testing.T) {
		r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
		same(t, r.ask("gw-1", req))
	})
	t.Run("after a restart with another set length", func(t *testing.T) {
		r.serve(func(c *server.Config) { c.SetLength = 2 })
		same(t, r.ask("gw-1", req))
	})
	t.Run("at the end of the window", func(t *testing.T) {
		r.clock.advance(cpns.TimeWindow)
		must(t, r.server.Prune(t.Context()))
		got := r.ask("gw-1", req)
		same(t, got)
		if got.ServerTime != first.ServerTime+300 {
			t.Errorf("server time: got %d, want the present", got.ServerTime)
		}
	})
	t.Run("after the window", func(t *testing.T) {
		r.clock.advance(time.Second)
		r.wantStatus("gw-1", req, cpns.TimeOutOfWindow)
	})
	if p := r.pne("pne-1"); p.Epoch != begin+1 {
		t.Errorf("epoch at the end: got %d, want %d", p.Epoch, begin+1)
	}
}

// A RAND_PNGW that was seen is refused with any other request.
func TestRandomReused(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	r.wantStatus("gw-1", req, cpns.Success)
	change := func(f func(*cpns.EUKeyAssignmentRequest)) *cpns.EUKeyAssignmentRequest {
		other := *req
		f(&other)
		other.UserAuthenticationData = cpns.UserAuthenticationData(r.users[other.UserID], &other.RandPNGW, other.Time)
		return &other
	}
	tests := []struct {
		name    string
		gateway cpns.GatewayID
		req     *cpns.EUKeyAssignmentRequest
	}{
		{"another PNE", "gw-1", change(func(o *cpns.EUKeyAssignmentRequest) { o.EntityID = "pne-2" })},
		{"another user", "gw-1", change(func(o *cpns.EUKeyAssignmentRequest) { o.UserID = "bob" })},
		{"another time", "gw-1", change(func(o *cpns.EUKeyAssignmentRequest) { o.Time++ })},
		{"another gateway", "gw-2", req},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r.wantStatus(tt.gateway, tt.req, cpns.RandomReused)
		})
	}
	// What was refused is not "seen": the gateway may correct itself.
	wrong := r.request("alice", "pne-2")
	wrong.Time -= 1000
	r.wantStatus("gw-1", wrong, cpns.TimeOutOfWindow)
	wrong.Time += 1000
	r.wantStatus("gw-1", wrong, cpns.Success)
}

// Records of past epochs are pruned once no request can repeat them, the newest
// assignment stays.
func TestRepeatsPruned(t *testing.T) {
	r := newRig(t)
	r.steady()
	first, second := r.request("alice", "pne-1"), r.request("alice", "pne-1")
	r.wantStatus("gw-1", first, cpns.Success)
	r.wantStatus("gw-1", second, cpns.Success)
	kept := func(req *cpns.EUKeyAssignmentRequest) bool {
		return r.store.View(t.Context(), func(tx server.Tx) error {
			_, err := tx.AssignmentByRandom(&req.RandPNGW)
			return err
		}) == nil
	}
	r.clock.advance(server.ReplayKept)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	if !kept(first) {
		t.Error("removed although it was still to be kept")
	}
	r.clock.advance(time.Second)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
	if kept(first) || kept(second) {
		t.Error("kept although nothing can repeat it")
	}
}

// The same request sent many times at once is assigned exactly once.
func TestConcurrentRepeats(t *testing.T) {
	r := newRig(t)
	body := r.seal("gw-1", r.request("alice", "pne-1"))
	const senders = 16
	got := make([]*cpns.EUKeyAssignmentResponse, senders)
	var wg sync.WaitGroup
	for n := range senders {
		wg.Go(func() {
			res, answer := r.post(body)
			got[n] = r.open("gw-1", body, res, answer)
		})
	}
	wg.Wait()
	for n := range senders {
		if got[n].Epoch != r.epoch(1) || !slices.Equal(got[n].EUKeys, got[0].EUKeys) {
			t.Errorf("answer %d: epoch %d, want %d and the same set", n, got[n].Epoch, r.epoch(1))
		}
	}
	kinds := make(map[server.EventKind]int)
	for _, e := range r.events() {
		kinds[e.Kind]++
	}
	if kinds[server.EventAssigned] != 1 || kinds[server.EventRepeated] != senders-1 {
		t.Errorf("audit: %d assigned and %d repeated, want 1 and %d", kinds[server.EventAssigned], kinds[server.EventRepeated], senders-1)
	}
}

// Different requests for one PNE at once get an epoch each.
func TestConcurrentAssignments(t *testing.T) {
	r := newRig(t)
	const senders = 16
	epochs := make([]cpns.Epoch, senders)
	var wg sync.WaitGroup
	for n := range senders {
		req := r.request("alice", "pne-1")
		wg.Go(func() { epochs[n] = r.ask("gw-1", req).Epoch })
	}
	wg.Wait()
	slices.Sort(epochs)
	for n := range senders {
		if epochs[n] != r.epoch(n+1) {
			t.Fatalf("epochs: got %v, want %d of them from %d on", epochs, senders, r.epoch(1))
		}
	}
}
