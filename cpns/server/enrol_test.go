package server_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// TestEnrolBySecret: the secret approves at once, for one key, again and again.
func TestEnrolBySecret(t *testing.T) {
	s := newSite(t)
	secret := s.invite(t, "gw-new", 1)
	u, other := newUnit(t), newUnit(t)
	for range 3 { // the answer may be lost
		if id := s.enrol(t, u, secret, map[string]any{"gateway_id": "something-else"}).wantApproved(t); id != "gw-new" {
			t.Errorf("called %s, want what the code says", id)
		}
	}
	s.enrol(t, other, secret, nil).wantKind(t, 403, cpns.ProblemCodeUsed)
	// The server restarts between "approved" and "fetched".
	s = s.restart(t)
	s.enrol(t, u, nil, nil).wantApproved(t)
	s.wantUnder(t, "fetched after a restart", s.psk1(t, u), 200)
	s.enrol(t, other, secret, nil).wantKind(t, 403, cpns.ProblemCodeUsed)
	if e := s.events(); e[len(e)-3].Kind != server.EventGatewayEnrolled || e[len(e)-3].Gateway != "gw-new" {
		t.Errorf("got the events %+v", e)
	}
}

// TestEnrolBadProofs: what is no proof on this connection approves nobody.
func TestEnrolBadProofs(t *testing.T) {
	s := newSite(t)
	secret := s.invite(t, "", 5)
	u, other := newUnit(t), newUnit(t)
	var copied []byte
	s.on(t, s.as(u), "POST", cpns.EnrolmentPath, func(cs *tls.ConnectionState) []byte {
		copied = enrolmentBody(t, u, secret, cs, nil)
		return []byte("{") // it never arrived
	}).wantKind(t, 400, "")
	send := func(u *unit, body []byte) *reaction {
		return s.on(t, s.as(u), "POST", cpns.EnrolmentPath, func(*tls.ConnectionState) []byte { return body })
	}
	send(u, copied).wantKind(t, 403, cpns.ProblemEnrolmentRefused)
	send(other, copied).wantKind(t, 403, cpns.ProblemEnrolmentRefused)
	s.enrol(t, u, &cpns.EnrolmentSecret{1}, nil).wantKind(t, 403, cpns.ProblemEnrolmentRefused)
	// The proof of one key, on another's connection.
	s.on(t, s.as(other), "POST", cpns.EnrolmentPath, func(cs *tls.ConnectionState) []byte {
		return enrolmentBody(t, u, secret, cs, nil)
	}).wantKind(t, 403, cpns.ProblemEnrolmentRefused)
	s.clock.advance(400 * 24 * time.Hour)
	s.enrol(t, u, secret, nil).wantKind(t, 403, cpns.ProblemCodeExpired)
	if n := len(s.pending(t)); n != 0 {
		t.Errorf("%d are pending after bad proofs", n)
	}
}

// TestEnrolAtOnce: of several gateways that use one code at the same time one is
// taken in; a code of several uses has just as many.
func TestEnrolAtOnce(t *testing.T) {
	for _, uses := range []int{1, 3} {
		s := newSite(t)
		secret := s.invite(t, "", uses)
		codes := make([]int, 6)
		var wg sync.WaitGroup
		for n := range codes {
			u := newUnit(t)
			wg.Go(func() { codes[n] = s.enrol(t, u, secret, nil).StatusCode })
		}
		wg.Wait()
		approved := 0
		for _, code := range codes {
			switch code {
			case 200:
				approved++
			case 403:
			default:
				t.Errorf("got HTTP %d", code)
			}
		}
		if approved != uses {
			t.Errorf("%d of 6 were taken in by a code for %d", approved, uses)
		}
	}
}

// TestEnrolGivesBack: a gateway that was removed before it had a PSK1 has not used the
// code up; one that had has. Neither gets in again by it without a person.
func TestEnrolGivesBack(t *testing.T) {
	s := newSite(t)
	secret := s.invite(t, "", 1)
	u, other, third := newUnit(t), newUnit(t), newUnit(t)
	must(t, s.op.RemoveGateway(t.Context(), s.enrol(t, u, secret, nil).wantApproved(t)))
	s.enrol(t, u, secret, nil).wantPending(t, u)
	id := s.enrol(t, other, secret, nil).wantApproved(t)
	s.psk1(t, other)
	must(t, s.op.RemoveGateway(t.Context(), id))
	s.enrol(t, third, secret, nil).wantKind(t, 403, cpns.ProblemCodeUsed)
	s.enrol(t, other, secret, nil).wantKind(t, 403, cpns.ProblemCodeUsed)
	s.enrol(t, other, nil, nil).wantPending(t, other)
}

// TestEnrolConflicts: what the server knows with another key is for a person, who can
// take the unit in under its old name with one word.
func TestEnrolConflicts(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	before, reflashed := newUnit(t), newUnit(t)
	board := map[string]any{"serial": "SN 1"}
	if id := s.enrol(t, before, s.invite(t, "gw-roof", 1), board).wantApproved(t); id != "gw-roof" {
		t.Errorf("called %s", id)
	}
	old := s.psk1(t, before)
	secret := s.invite(t, "", 1)
	s.enrol(t, reflashed, secret, board).wantPending(t, reflashed)
	s.clock.advance(time.Second)
	s.enrol(t, newUnit(t), s.invite(t, "gw-roof", 1), nil)
	var reasons []string
	must(t, s.op.Pending(ctx, func(e server.Enrolment, all []server.Conflict) error {
		for _, c := range all {
			reasons = append(reasons, c.Reason)
		}
		return nil
	}))
	want := "[gateway gw-roof has the same serial number and another key gateway gw-roof is known with another key]"
	if got := fmt.Sprint(reasons); got != want {
		t.Errorf("got the reasons %s, want %s", got, want)
	}
	approval := server.Approval{Fingerprint: reflashed.key.Fingerprint()}
	_, err := s.op.Approve(ctx, approval)
	if _, ok := errors.AsType[*server.ConflictError](err); !ok {
		t.Errorf("approved as if it were new: %v", err)
	}
	s.wantUnder(t, "the old unit, meanwhile", old, 200)
	approval.Replace = true
	got, err := s.op.Approve(ctx, approval)
	must(t, err)
	if got.Gateway != "gw-roof" || !got.Replaced {
		t.Errorf("got %+v", got)
	}
	if id := s.enrol(t, reflashed, secret, board).wantApproved(t); id != "gw-roof" {
		t.Errorf("called %s", id)
	}
	s.wantUnder(t, "the old unit", old, 401)
	s.on(t, s.as(before), "POST", cpns.PSK1Path, nil).wantKind(t, 403, cpns.ProblemGatewayRemoved)
	s.wantUnder(t, "the new key", s.psk1(t, reflashed), 200)
	_, err = s.op.Approve(ctx, approval)
	if known, ok := errors.AsType[*server.KnownKeyError](err); !ok || known.Gateway != "gw-roof" {
		t.Errorf("approving it again: %v", err)
	}
	_, err = s.op.Approve(ctx, server.Approval{Fingerprint: newUnit(t).key.Fingerprint()})
	if !errors.Is(err, server.ErrNotFound) {
		t.Errorf("approving what never came: %v", err)
	}
}

// TestApproveNames gives names as they were asked for, given, or had.
func TestApproveNames(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	approve := func(u *unit, a server.Approval) cpns.GatewayID {
		t.Helper()
		a.Fingerprint = u.key.Fingerprint()
		got, err := s.op.Approve(ctx, a)
		must(t, err)
		return got.Gateway
	}
	u := newUnit(t)
	s.enrol(t, u, nil, nil).wantPending(t, u)
	made := approve(u, server.Approval{})
	if want := "gw-" + strings.ToLower(u.key.Fingerprint()[:9]); string(made) != want {
		t.Errorf("got %s, want %s", made, want)
	}
	must(t, s.op.RemoveGateway(ctx, made))
	if got := approve(u, server.Approval{}); got != made {
		t.Errorf("taken back as %s, want %s", got, made)
	}
	u = newUnit(t)
	s.enrol(t, u, nil, map[string]any{"gateway_id": "asked", "serial": "twin"}).wantPending(t, u)
	if got := approve(u, server.Approval{Serial: "twin"}); got != "asked" {
		t.Errorf("got %s, want asked", got)
	}
	u = newUnit(t)
	s.enrol(t, u, nil, map[string]any{"gateway_id": "asked", "serial": "twin"}).wantPending(t, u)
	if got := approve(u, server.Approval{ID: "given"}); got != "given" {
		t.Errorf("got %s, want given", got)
	}
	u = newUnit(t)
	s.enrol(t, u, nil, map[string]any{"serial": "twin"}).wantPending(t, u)
	_, err := s.op.Approve(ctx, server.Approval{Fingerprint: u.key.Fingerprint(), Replace: true})
	if conflict, ok := errors.AsType[*server.ConflictError](err); !ok || len(conflict.Conflicts) != 2 {
		t.Errorf("taking the place of one of two: %v", err)
	}
	if _, err := s.op.Approve(ctx, server.Approval{Fingerprint: u.key.Fingerprint(), ID: "new", Serial: "other"}); err == nil {
		t.Error("approved with another serial number than the list's")
	}
}

// TestApproveBySerial takes the only one that says the number.
func TestApproveBySerial(t *testing.T) {
	s := newSite(t)
	a, b := newUnit(t), newUnit(t)
	s.enrol(t, a, nil, map[string]any{"serial": "S1"}).wantPending(t, a)
	s.enrol(t, b, nil, map[string]any{"serial": ""}).wantPending(t, b)
	for _, serial := range []string{"S2", ""} {
		if _, err := s.op.Approve(t.Context(), server.Approval{Serial: serial}); !errors.Is(err, server.ErrNotFound) {
			t.Errorf("%q: %v", serial, err)
		}
	}
	s.enrol(t, b, nil, map[string]any{"serial": "S1"}).wantPending(t, b)
	if _, err := s.op.Approve(t.Context(), server.Approval{Serial: "S1"}); !errors.Is(err, server.ErrSeveral) {
		t.Errorf("two have it: %v", err)
	}
	must(t, s.op.Refuse(t.Context(), b.key.Fingerprint()))
	got, err := s.op.Approve(t.Context(), server.Approval{Serial: "S1", ID: "gw-s1"})
	must(t, err)
	if got.Gateway != "gw-s1" || got.Fingerprint != a.key.Fingerprint() {
		t.Errorf("got %+v", got)
	}
}

// TestPendingBounded: one address has fifty on the list, the first makes room; who was
// a gateway, and who is approved, stays.
func TestPendingBounded(t *testing.T) {
	s := newSite(t)
	was, approved := newUnit(t), newUnit(t)
	secret := s.invite(t, "", 2)
	must(t, s.op.RemoveGateway(t.Context(), s.enrol(t, was, secret, nil).wantApproved(t)))
	s.enrol(t, was, nil, nil).wantPending(t, was)
	s.enrol(t, approved, secret, nil).wantApproved(t)
	units := make([]*unit, 51)
	for n := range units {
		units[n] = newUnit(t)
		s.clock.advance(time.Second)
		s.enrol(t, units[n], nil, nil).wantPending(t, units[n])
	}
	pending := s.pending(t)
	if len(pending) != 51 || pending[0].Key != was.key || pending[1].Key != units[1].key || pending[50].Key != units[50].key {
		t.Errorf("%d are pending; want the one that was a gateway, and all but the first of the others", len(pending))
	}
	s.enrol(t, approved, nil, nil).wantApproved(t)
	s.clock.advance(time.Minute)
	s.enrol(t, units[0], nil, nil).wantPending(t, units[0])
}

// TestEnrolmentBodies: what is no enrolment is refused with a text, and what a board
// says is made harmless.
func TestEnrolmentBodies(t *testing.T) {
	s := newSite(t)
	u := newUnit(t)
	send := func(body string) *reaction {
		return s.on(t, s.as(u), "POST", cpns.EnrolmentPath, func(*tls.ConnectionState) []byte { return []byte(body) })
	}
	for name, tt := range map[string]struct {
		body string
		code int
	}{
		"empty":              {"", 400},
		"no JSON":            {"hello", 400},
		"two of them":        {"{}{}", 400},
		"an array":           {"[]", 400},
		"a number as model":  {`{"model":7}`, 400},
		"an empty ID":        {`{"gateway_id":""}`, 400},
		"an ID with a space": {`{"gateway_id":"a b"}`, 400},
		"a long ID":          {`{"gateway_id":"` + strings.Repeat("x", 65) + `"}`, 400},
		"a short proof":      {`{"proof":"AAAA"}`, 400},
		"a padded proof":     {`{"proof":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}`, 400},
		"too long":           {`{"model":"` + strings.Repeat("x", 4096) + `"}`, 413},
	} {
		t.Run(name, func(t *testing.T) { send(tt.body).wantKind(t, tt.code, "") })
	}
	res := send(`{"gateway_id":null,"proof":null,"model":"Box\u001b[31m\n2\u202e","serial":" S\u0000 1 ","macs":["02-00-00-00-00-0A","\u001b","x"],"other":[{}]}`)
	res.wantPending(t, u)
	if p := s.pending(t); len(p) != 1 || p[0].Model != "Box?[31m 2?" || p[0].Serial != "S? 1" || fmt.Sprint(p[0].MACs) != "[02:00:00:00:00:0a]" {
		t.Errorf("got %+v", p)
	}
}

// TestEnrolBesideItsCode: who waited with a code that others have used up meanwhile is
// taken in by a person alone, and counts as no use of it.
func TestEnrolBesideItsCode(t *testing.T) {
	s := newSite(t)
	ctx := t.Context()
	board := map[string]any{"serial": "SN 1"}
	s.enrol(t, newUnit(t), s.invite(t, "", 1), board).wantApproved(t)
	late, other := newUnit(t), newUnit(t)
	secret := s.invite(t, "gw-late", 1)
	s.enrol(t, late, secret, board).wantPending(t, late)
	s.enrol(t, other, secret, nil).wantApproved(t)
	if _, err := s.op.Approve(ctx, server.Approval{Fingerprint: late.key.Fingerprint(), ID: "gw-9"}); err != nil {
		t.Fatal(err)
	}
	bound := func(want int) {
		t.Helper()
		must(t, s.op.Invitations(ctx, func(i server.Invitation) error {
			if i.Bound > i.Uses || i.Gateway == "gw-late" && i.Bound != want {
				t.Errorf("%d of %d", i.Bound, i.Uses)
			}
			return nil
		}))
	}
	bound(1)
	must(t, s.op.RemoveGateway(ctx, "gw-9")) // and gives none back
	bound(1)
}

func TestEnrolmentFrom(t *testing.T) {
	for source, want := range map[string]string{"192.0.2.1/32": "192.0.2.1", "2001:db8::/56": "2001:db8::/56", "2001:db8::1/128": "2001:db8::1", "": "", "x": "x"} {
		if got := (&server.Enrolment{Source: source}).From(); got != want {
			t.Errorf("%q: got %q, want %q", source, got, want)
		}
	}
}
