package server_test

import (
	"net/http"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// A gateway that sends more than its budget gets 429; others, and the same gateway
// later, don't.
func TestGatewayBudget(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	for range server.GatewayBurst {
		r.wantStatus("gw-1", req, cpns.Success)
	}
	res, answer := r.post(r.seal("gw-1", req))
	wantProblem(t, res, answer, http.StatusTooManyRequests)
	wantRetryAfter(t, res, 1, 1)
	r.wantStatus("gw-2", r.request("alice", "pne-1"), cpns.Success)
	r.clock.advance(time.Second)
	r.wantStatus("gw-1", req, cpns.Success)
}

// Failed user authentications cost more, so that few of them can be stored.
func TestFailureCost(t *testing.T) {
	r := newRig(t)
	refused := 0
	for range 20 {
		res, _ := r.post(r.seal("gw-1", r.request("nobody", "pne-1")))
		if res.StatusCode == http.StatusTooManyRequests {
			refused++
		}
	}
	if refused < 10 {
		t.Errorf("%d of 20 failures in a moment were refused, want most of them", refused)
	}
}

// Who does not hold a gateway's PSK1 spends its own budget by claiming to be that
// gateway, not the gateway's; nor does a captured request after its time.
func TestSourceBudget(t *testing.T) {
	r := newRig(t)
	captured := r.seal("gw-1", r.request("alice", "pne-1"))
	forged := r.seal("gw-1", r.request("alice", "pne-1"))
	forged[len(forged)-1] ^= 1
	r.clock.advance(cpns.TimeWindow + time.Second)
	for n := range server.SourceBurst {
		body := captured
		if n%2 == 0 {
			body = forged
		}
		if res, answer := r.post(body); res.StatusCode == http.StatusTooManyRequests {
			t.Fatalf("request %d: %s", n, answer)
		}
	}
	res, answer := r.post(forged)
	wantProblem(t, res, answer, http.StatusTooManyRequests)
	wantRetryAfter(t, res, 1, 1)

	// Once the address may send again, the gateway has all of its budget.
	r.clock.advance(time.Second)
	req := r.request("alice", "pne-1")
	for range server.GatewayBurst {
		r.wantStatus("gw-1", req, cpns.Success)
	}
}
