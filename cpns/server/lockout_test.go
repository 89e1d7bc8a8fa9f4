package server_test

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// fail fails n times at a gateway, a second apart.
func (r *rig) fail(g cpns.GatewayID, u cpns.UserID, n int) {
	r.t.Helper()
	for range n {
		r.clock.advance(time.Second)
		r.wantStatus(g, r.wrong(u, "pne-1"), cpns.UserAuthenticationFailed)
	}
}

func TestLockOut(t *testing.T) {
	for _, user := range []cpns.UserID{"alice", "nobody"} {
		t.Run(string(user), func(t *testing.T) {
			r := newRig(t)
			begin := r.clock.Now()
			r.fail("gw-1", user, server.LockFailures)
			lockEnd := r.clock.Now().Add(server.LockTime)

			// Right or wrong, the password is not looked at any more.
			for _, req := range []*cpns.EUKeyAssignmentRequest{r.request(user, "pne-1"), r.wrong(user, "pne-1")} {
				r.clock.advance(time.Second)
				req.Time = uint64(r.clock.Now().Unix())
				body := r.seal("gw-1", req)
				res, answer := r.post(body)
				if got := r.open("gw-1", body, res, answer); got.Status != cpns.UserLocked {
					t.Errorf("got %v, want UserLocked", got.Status)
				}
				left := int(lockEnd.Sub(r.clock.Now()).Seconds())
				wantRetryAfter(t, res, left, left)
			}
			// A restart forgives nothing.
			r.serve(func(*server.Config) {})
			r.wantStatus("gw-1", r.request(user, "pne-1"), cpns.UserLocked)

			// Elsewhere the user is free.
			want := cpns.Success
			if user == "nobody" {
				want = cpns.UserAuthenticationFailed
			}
			r.wantStatus("gw-2", r.request(user, "pne-1"), want)
			r.wantStatus("gw-1", r.request("bob", "pne-2"), cpns.Success)

			// The lock is one event, however often it is run into.
			kinds := make(map[server.EventKind]int)
			for _, e := range r.events() {
				if e.Gateway == "gw-1" && e.User == user && e.Time.After(begin) {
					kinds[e.Kind]++
				}
			}
			if kinds[server.EventAuthFailed] != server.LockFailures-1 || kinds[server.EventUserLocked] != 1 {
				t.Errorf("audit: %v", kinds)
			}

			r.clock.advance(lockEnd.Sub(r.clock.Now()) - time.Millisecond)
			r.wantStatus("gw-1", r.request(user, "pne-1"), cpns.UserLocked)
			r.clock.advance(time.Millisecond)
			must(t, r.server.Prune(t.Context()))
			r.wantStatus("gw-1", r.request(user, "pne-1"), want)
		})
	}
}

// Failures further apart than the window lock nobody.
func TestSlowFailures(t *testing.T) {
	r := newRig(t)
	for range 3 * server.LockFailures {
		r.clock.advance(server.FailureWindow/(server.LockFailures-1) + time.Second)
		must(t, r.server.Prune(t.Context()))
		r.wantStatus("gw-1", r.wrong("alice", "pne-1"), cpns.UserAuthenticationFailed)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}

// The same request that fails again is the same guess.
func TestRepeatedFailure(t *testing.T) {
	r := newRig(t)
	req := r.wrong("alice", "pne-1")
	for range 2 * server.LockFailures {
		r.clock.advance(time.Second)
		r.wantStatus("gw-1", req, cpns.UserAuthenticationFailed)
	}
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}

// Passwords tried at the same time are not tried past the lock.
func TestConcurrentFailures(t *testing.T) {
	r := newRig(t)
	const tries = 3 * server.LockFailures
	statuses := make([]cpns.AssignmentStatus, tries)
	var wg sync.WaitGroup
	for n := range tries {
		body := r.seal("gw-1", r.wrong("alice", "pne-1"))
		wg.Go(func() {
			res, answer := r.post(body)
			if res.StatusCode == http.StatusTooManyRequests {
				statuses[n] = cpns.UserLocked
				return
			}
			statuses[n] = r.open("gw-1", body, res, answer).Status
		})
	}
	wg.Wait()
	failed := 0
	for _, s := range statuses {
		if s == cpns.UserAuthenticationFailed {
			failed++
		}
	}
	if failed > server.LockFailures {
		t.Errorf("%d passwords were tried, want at most %d", failed, server.LockFailures)
	}
}

// Failures that were counted under a clock in the future lock nobody once it is
// right again.
func TestFutureFailures(t *testing.T) {
	r := newRig(t)
	r.clock.advance(24 * time.Hour)
	r.fail("gw-1", "alice", server.LockFailures)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
	r.clock.advance(-24 * time.Hour)
	r.serve(func(*server.Config) {})
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}

// A new password ends the lock.
func TestNewPasswordUnlocks(t *testing.T) {
	r := newRig(t)
	r.fail("gw-1", "alice", server.LockFailures)
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.UserLocked)
	must(t, r.op.SetPassword(t.Context(), "alice", bothForms(r.users["alice"])))
	r.serve(func(*server.Config) {})
	r.wantStatus("gw-1", r.request("alice", "pne-1"), cpns.Success)
}

// direct sends a body without a network, as a bubble of synctest needs it.
func (r *rig) direct(body []byte) *http.Response {
	req := httptest.NewRequest("POST", cpns.AssignmentPath, bytes.NewReader(body))
	req.Header.Set("Content-Type", cpns.ContentType)
	w := httptest.NewRecorder()
	r.server.ServeHTTP(w, req)
	return w.Result()
}

// failSlowed fails n times at a gateway, a second apart, without waiting for real
// where the failures are slowed.
func (r *rig) failSlowed(g cpns.GatewayID, u cpns.UserID, n int) {
	r.t.Helper()
	for range n {
		r.clock.advance(time.Second)
		body := r.seal(g, r.wrong(u, "pne-1"))
		synctest.Test(r.t.(*testing.T), func(t *testing.T) {
			if res := r.direct(body); res.StatusCode != http.StatusOK {
				t.Errorf("got HTTP %s", res.Status)
			}
		})
	}
}

// A user who fails at many gateways is slowed at every gateway, known or not, by
// no more than the most; another user is not.
func TestSlowedEverywhere(t *testing.T) {
	r := newRig(t)
	for n := range 4 {
		r.addGateway(cpns.GatewayID(fmt.Sprint("gw-many-", n)), cpns.PSKIdentity(fmt.Sprint("gw-many-", n)))
	}
	for _, user := range []cpns.UserID{"alice", "nobody"} {
		r.fail("gw-many-0", user, server.LockFailures)
	}
	took := func(u cpns.UserID) time.Duration {
		r.clock.advance(time.Minute) // fills the budgets
		body := r.seal("gw-2", r.request(u, "pne-1"))
		var took time.Duration
		synctest.Test(t, func(t *testing.T) {
			begin := time.Now()
			if res := r.direct(body); res.StatusCode != http.StatusOK {
				t.Errorf("got HTTP %s", res.Status)
			}
			took = time.Since(begin)
		})
		return took
	}
	if got := took("alice"); got != 0 {
		t.Errorf("after failures at one gateway: slowed by %v elsewhere", got)
	}
	for _, user := range []cpns.UserID{"alice", "nobody"} {
		r.serve(func(*server.Config) {})
		for n := range 3 {
			r.failSlowed(cpns.GatewayID(fmt.Sprint("gw-many-", n+1)), user, 2)
		}
		if got := took(user); got != server.SlowestDelay {
			t.Errorf("%s, after failures at many gateways: slowed by %v, want %v", user, got, server.SlowestDelay)
		}
	}
	if got := took("bob"); got != 0 {
		t.Errorf("another user was slowed by %v", got)
	}
	r.clock.advance(server.FailureWindow)
	if got := took("alice"); got != 0 {
		t.Errorf("after the window: slowed by %v", got)
	}
}

// A gateway that lets many slowed requests wait gets 429, and takes no place from
// another.
func TestSlowedBounded(t *testing.T) {
	r := newRig(t)
	for n := range 2 {
		id := fmt.Sprint("gw-many-", n)
		r.addGateway(cpns.GatewayID(id), cpns.PSKIdentity(id))
		r.failSlowed(cpns.GatewayID(id), "alice", server.LockFailures-1)
	}
	r.clock.advance(time.Minute)
	var bodies [][]byte
	for range 2 * server.SlowedPerGateway {
		bodies = append(bodies, r.seal("gw-1", r.request("alice", "pne-1")))
	}
	other := r.seal("gw-2", r.request("alice", "pne-1"))
	synctest.Test(t, func(t *testing.T) {
		codes := make([]int, len(bodies))
		var wg sync.WaitGroup
		for n, body := range bodies {
			wg.Go(func() { codes[n] = r.direct(body).StatusCode })
		}
		time.Sleep(time.Millisecond)
		if got := r.direct(other).StatusCode; got != http.StatusOK {
			t.Errorf("the other gateway: got HTTP %d, want 200", got)
		}
		wg.Wait()
		count := make(map[int]int)
		for _, code := range codes {
			count[code]++
		}
		if count[http.StatusOK] != server.SlowedPerGateway || count[http.StatusTooManyRequests] != server.SlowedPerGateway {
			t.Errorf("got %v, want %d of 200 and of 429 each", count, server.SlowedPerGateway)
		}
	})
}
