package server_test

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net/http"
	"strings"
	"sync"
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

// forged is a request that no PSK1 opens.
func (r *rig) forged() []byte {
	body := r.seal("gw-1", r.request("alice", "pne-1"))
	body[len(body)-1] ^= 1
	return body
}

// Who does not hold a gateway's PSK1 spends its own budget by claiming to be that
// gateway, not the gateway's; nor does a captured request after its time.
func TestSourceBudget(t *testing.T) {
	r := newRig(t)
	captured := r.seal("gw-1", r.request("alice", "pne-1"))
	forged := r.forged()
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
	if !res.Close {
		t.Error("the connection stays open")
	}

	// Gateways behind the address that owes are answered all the same, with all
	// of their budget, also one whose clock is wrong.
	req := r.request("alice", "pne-1")
	for range server.GatewayBurst {
		r.wantStatus("gw-1", req, cpns.Success)
	}
	late := r.request("alice", "pne-1")
	late.Time -= 301
	r.wantStatus("gw-1", late, cpns.TimeOutOfWindow)
}

// Requests that are held at their bodies have their price reserved: together they
// get no more than there is.
func TestHeldBodies(t *testing.T) {
	r := newRig(t)
	s := serve(t, r)
	const held = 3 * server.SourceBurst
	body := r.forged()
	codes := make(chan int, held)
	release := make(chan struct{})
	var ready, done sync.WaitGroup
	for range held {
		ready.Add(1)
		done.Go(func() {
			c, err := tls.Dial("tcp", s.addr, s.tls())
			if err != nil {
				t.Error(err)
				ready.Done()
				return
			}
			defer c.Close()
			fmt.Fprintf(c, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", cpns.AssignmentPath, cpns.ContentType, len(body))
			in := bufio.NewReader(c)
			line, err := in.ReadString('\n') // 100 Continue: the request has got to its body
			if err != nil || !strings.Contains(line, "100") {
				t.Errorf("got %q, %v", line, err)
			}
			in.ReadString('\n')
			ready.Done()
			<-release
			c.Write(body)
			res, err := http.ReadResponse(in, nil)
			if err != nil {
				t.Error(err)
				return
			}
			codes <- res.StatusCode
		})
	}
	ready.Wait()
	close(release)
	done.Wait()
	close(codes)
	count := make(map[int]int)
	for code := range codes {
		count[code]++
	}
	if count[http.StatusUnauthorized] != server.SourceBurst || count[http.StatusTooManyRequests] != held-server.SourceBurst {
		t.Errorf("got %v, want %d of 401 and the others 429", count, server.SourceBurst)
	}
}

// Failures sent at once are no more than the budget allows, and good requests sent
// at once wait for each other rather than being refused.
func TestConcurrentBudget(t *testing.T) {
	r := newRig(t)
	const senders = 40
	at := func(bodies [][]byte) map[int]int {
		codes := make([]int, len(bodies))
		var wg sync.WaitGroup
		for n, body := range bodies {
			wg.Go(func() { codes[n] = r.direct(body).StatusCode })
		}
		wg.Wait()
		count := make(map[int]int)
		for _, code := range codes {
			count[code]++
		}
		return count
	}
	var good, bad [][]byte
	for range senders {
		good = append(good, r.seal("gw-1", r.request("alice", "pne-1")))
		// As many users: none is locked, only the gateway's budget holds them back.
		bad = append(bad, r.seal("gw-2", r.request(cpns.UserID(fmt.Sprint("user-", len(bad))), "pne-1")))
	}
	if got := at(good); got[200] != senders {
		t.Errorf("good requests at once: got %v, want all answered", got)
	}
	if got := at(bad); got[200] != server.GatewayBurst/server.FailureCost {
		t.Errorf("failures at once: got %v, want %d answered", got, server.GatewayBurst/server.FailureCost)
	}
	r.clock.advance(time.Second)
	if got := at(bad); got[200] != 1 {
		t.Errorf("a second later: got %v, want one answered", got)
	}
}

// A 429 is in the log as one, and as nothing else.
func TestTooManyLogged(t *testing.T) {
	r := newRig(t)
	req := r.request("alice", "pne-1")
	body := r.seal("gw-1", req)
	for range server.GatewayBurst {
		r.direct(body)
	}
	before := len(r.log.String())
	if got := r.direct(body).StatusCode; got != http.StatusTooManyRequests {
		t.Fatalf("got HTTP %d", got)
	}
	line := r.log.String()[before:]
	if !strings.Contains(line, "status=429") || !strings.Contains(line, "gateway=gw-1") || strings.Contains(line, "EUKey assignment") {
		t.Errorf("the log has %q", line)
	}
}
