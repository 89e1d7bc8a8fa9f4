package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
)

// An answer is what a gateway gets for a request that PSK1 has authenticated.
type answer struct {
	locks      bool // the user, from now on
	response   cpns.EUKeyAssignmentResponse
	retryAfter time.Duration // with UserLocked
	problem    *problem      // what is answered instead, nil for nothing
	seed       *[32]byte     // of the set that the response is to have, nil for none
	length     int           // of that set
}

// assign is the procedure of clause 7.4.2.1.1.2 after a request was opened: EUKey
// Assignment Request -> EUKey Assignment Response. source is where it came from.
// Its time is in the window: one from another time is nobody's failure.
//
// The checks stand in this order, each of them before anything changes:
//
//	PSK1             still the gateway's that opened the request
//	lock-out         a locked user's password is not even tried
//	user             steps 1 and 2; whatever comes below is told to an
//	                 authenticated user only
//	RAND_PNGW        the same request again, or a random number used twice
//	PNE, its owner, or who may become it
//
// The store handles requests that concern the same user, gateway or PNE one after the
// other: two gateways cannot both try the tenth password, the same request sent twice at
// the same time makes one assignment, and ownership, epoch, chain, replay record and audit
// event become durable together or not at all. The chain is computed afterwards, so that
// the store blocks other requests for a short time only.
func (s *Server) assign(ctx context.Context, under PSK1, psk cpns.PSK1, source string, req *cpns.EUKeyAssignmentRequest) (*answer, error) {
	if under.Used.IsZero() {
		var err error
		if under, err = s.usePSK1(ctx, under, psk); err != nil {
			return nil, fmt.Errorf("recording the first use of a PSK1: %w", err)
		}
		s.remembered.add(under)
	}
	moved := 0
	content := requestContent(under.Gateway, req)
	for waited := false; ; waited = true {
		ans, slow, err := s.decide(ctx, under, source, req, content, waited)
		if errors.Is(err, errUnauthorized) && moved < psk1Moves {
			// It may have changed places with the other PSK1 of its identity, or been resealed.
			moved++
			if under, err = s.foundAgain(ctx, under, psk); err == nil {
				continue
			}
		}
		switch {
		case err != nil:
			return nil, fmt.Errorf("assigning EUKeys: %w", err)
		case slow > 0:
			if ok, err := s.slowed.wait(ctx, under.Gateway, slow); err != nil {
				return nil, err
			} else if !ok {
				return nil, &problem{status: http.StatusTooManyRequests, detail: "too many requests of this gateway are waiting", retryAfter: slowestDelay, gateway: under.Gateway}
			}
		case ans.problem != nil:
			return nil, ans.problem
		default:
			if ans.seed != nil {
				// Step 4: from the seed the chain.
				ans.response.EUKeys = make([]cpns.EUKey, ans.length)
				cpns.DeriveSet(ans.response.EUKeys, ans.seed)
				clear(ans.seed[:])
			}
			return ans, nil
		}
	}
}

// decide runs the procedure on what the store has found. If the user has failed at many
// gateways and the request has not waited yet, it returns how long it has to.
func (s *Server) decide(ctx context.Context, under PSK1, source string, req *cpns.EUKeyAssignmentRequest, content []byte, waited bool) (ans *answer, slow time.Duration, err error) {
	now := s.now()
	until := now.Add(replicaSkew)
	tag := s.vault.requestTag(content)
	q := &Inquiry{
		Identity: under.Identity, Gateway: under.Gateway, User: req.UserID, Entity: req.EntityID, RandPNGW: req.RandPNGW, Tag: tag,
		Locks:  Window{now.Add(-failuresKept), until, lockFailures},
		Slowed: Window{now.Add(-failureWindow), until, failuresCounted},
		Claims: Window{now.Add(-claimDay), until, s.dailyClaims},
	}
	err = s.store.Assign(ctx, q, func(found *Findings) (*Outcome, error) {
		ans, slow = nil, 0
		if !waited {
			if slow = delayFor(found.Slowed); slow > 0 {
				return &Outcome{}, nil
			}
		}
		if !under.same(found.PSK1, now) {
			s.remembered.drop(under.Identity)
			return nil, errUnauthorized
		}
		p := procedure{Server: s, found: found, gateway: under.Gateway, source: source, req: req, content: content, tag: tag, now: now}
		if isSeen(found.Seen, now) {
			p.out.Seen = now
		}
		var err error
		ans, err = p.run()
		return &p.out, err
	})
	return ans, slow, err
}

// refuse is an answer that assigns nothing.
func (s *Server) refuse(status cpns.AssignmentStatus) *answer {
	return &answer{response: cpns.EUKeyAssignmentResponse{Status: status, ServerTime: uint64(s.now().Unix())}}
}

// A procedure is one run of the clause.
type procedure struct {
	*Server
	found   *Findings
	gateway cpns.GatewayID
	source  string
	req     *cpns.EUKeyAssignmentRequest
	content []byte // that the request is recognised by
	tag     Tag    // of it
	now     time.Time

	user          User    // whom the request names, or who stands in for one
	disabled      bool    // the user is
	tk            cpns.TK // of the PNE, once it was found to be the user's to have
	helloVerifies bool    // the request has a hello that was made under it

	out Outcome
}

func (p *procedure) run() (*answer, error) {
	if until := lockedUntil(p.found.Failures); until.After(p.now) {
		return p.locked(until), nil
	}

	// Steps 1 and 2.
	authentic, err := p.authenticateUser()
	if err != nil {
		return nil, err
	}
	if !authentic {
		return p.userFailed(), nil
	}

	seen := p.repeatOf(&p.found.Earlier)
	if seen == randomReused {
		return p.refused(cpns.RandomReused, EventRandomReused, ""), nil
	}

	// Step 6 comes before step 3: a PNE without a TK changes nothing.
	pne := p.found.PNE
	if pne.Entity == "" {
		return p.refused(cpns.UnknownPNE, EventUnknownPNE, ""), nil
	}
	if pne.Owner != "" && pne.Owner != p.req.UserID {
		return p.refused(cpns.PNEOwnedByAnotherUser, EventOwnedByOther, ""), nil
	}
	if p.tk, err = p.vault.open(columnTK, string(pne.Entity), pne.TK); err != nil {
		return nil, err
	}
	if p.helloVerifies, err = verifyHello(p.req.PNEHello, p.tk); err != nil {
		return nil, err
	}
	if seen == sameRequest {
		return p.respond(EventRepeated, p.found.Earlier)
	}
	if pne.Owner == "" {
		if no := p.claim(pne); no != nil {
			return no, nil
		}
	}
	assignment, err := p.newAssignment(pne)
	if err != nil {
		return nil, err
	}
	return p.respond(EventAssigned, assignment)
}

// authenticateUser is steps 1 and 2: generate H(AuthData), and compare it with what was
// received. For an unknown or disabled user it does the same work, so that the time tells
// nothing.
func (p *procedure) authenticateUser() (bool, error) {
	user := p.found.User
	if p.disabled = user.Disabled; p.disabled || user.ID == "" {
		in, err := p.standIns()
		if err != nil {
			return false, err
		}
		user = in.nobody
	}
	p.user = user
	plain, err := p.vault.open(columnPasswordHash, string(user.ID), user.PasswordHash)
	if err != nil {
		return false, err
	}
	defer clear(plain)
	const size = len(cpns.PasswordHash{})
	if len(plain) != 2*size {
		return false, fmt.Errorf("the two Hash(Password) of %s have %d bytes", user.ID, len(plain))
	}
	matches := 0
	for _, half := range [][]byte{plain[:size], plain[size:]} { // both, always
		hash := cpns.PasswordHash(half)
		want := cpns.UserAuthenticationData(&hash, &p.req.RandPNGW, p.req.Time)
		matches |= subtle.ConstantTimeCompare(want[:], p.req.UserAuthenticationData[:])
	}
	return matches == 1, nil
}

// userFailed refuses the user and counts the failure. The same request again is
// not another guess: it counts once.
func (p *procedure) userFailed() *answer {
	if p.found.Failed {
		return p.refuse(cpns.UserAuthenticationFailed) // in the log already
	}
	p.out.Failure = &Failure{User: p.req.UserID, Gateway: p.gateway, RequestTag: p.tag, Time: p.now}
	detail := ""
	if p.disabled {
		detail = "the user is disabled"
	}
	times := append([]time.Time{p.now}, p.found.Failures...)
	slices.SortFunc(times, func(a, b time.Time) int { return b.Compare(a) })
	if lockedUntil(times).After(p.now) {
		ans := p.refused(cpns.UserAuthenticationFailed, EventUserLocked, detail)
		ans.locks = true
		return ans
	}
	return p.refused(cpns.UserAuthenticationFailed, EventAuthFailed, detail)
}

// newAssignment is steps 3 to 5.
func (p *procedure) newAssignment(pne PNE) (Assignment, error) {
	// Step 3: generate and store RAND_SVR.
	var randSVR [cpns.RandSize]byte
	if _, err := io.ReadFull(p.rand, randSVR[:]); err != nil {
		return Assignment{}, fmt.Errorf("generating RAND_SVR: %w", err)
	}
	epoch, left := p.nextEpoch(pne.Epoch, p.now)
	if !left {
		return Assignment{}, fmt.Errorf("all epochs of PNE %s are used up", pne.Entity)
	}
	sealed, err := p.vault.seal(columnRandSVR, assignmentRow(pne.Entity, epoch), randSVR[:])
	if err != nil {
		return Assignment{}, err
	}

	// Step 5: store it with PNE Entity ID and CPNS User ID. What is stored is
	// what step 4 makes the set from.
	a := Assignment{
		Entity:      pne.Entity,
		Epoch:       epoch,
		User:        p.req.UserID,
		Gateway:     p.gateway,
		RandPNGW:    p.req.RandPNGW,
		RandSVR:     sealed,
		Length:      p.setLength,
		RequestTag:  p.tag,
		RequestTime: time.Unix(int64(p.req.Time), 0).UTC(),
		Created:     p.now,
	}
	past := !pne.Assigned.IsZero() || pne.Epoch > 0
	pne.Owner, pne.Epoch, pne.Gateway, pne.Assigned = p.req.UserID, epoch, p.gateway, p.now
	p.out.Assignment, p.out.PNE = &a, &pne
	if p.clock.steady(p.now, p.passed()) && past {
		p.out.Prune = p.now.Add(-replayKept)
	}
	return a, nil
}

// respond is steps 4, 6 and 7, for a new assignment and for the answer to a repeated
// request.
func (p *procedure) respond(kind EventKind, a Assignment) (*answer, error) {
	randSVR, err := p.vault.open(columnRandSVR, assignmentRow(a.Entity, a.Epoch), a.RandSVR)
	if err != nil {
		return nil, err
	}
	if len(randSVR) != cpns.RandSize {
		return nil, fmt.Errorf("the RAND_SVR of PNE %s, epoch %d, has %d bytes", a.Entity, a.Epoch, len(randSVR))
	}

	// Step 4: the seed; the chain is computed from it outside of the store.
	seed := cpns.SeedPNE((*[cpns.RandSize]byte)(randSVR), &a.RandPNGW)

	// Steps 6 and 7: with the Temporary Key, the response.
	response := cpns.EUKeyAssignmentResponse{
		Status:     cpns.Success,
		ServerTime: uint64(p.now.Unix()),
		Epoch:      a.Epoch,
		TK:         p.tk,
	}
	if isSeen(p.user.Seen, p.now) {
		p.out.UserSeen = p.now
	}
	detail := ""
	if p.req.PNEHello != nil && !p.helloVerifies {
		detail = helloUnproved
	}
	p.record(kind, a.Epoch, detail)
	return &answer{response: response, seed: &seed, length: a.Length}, nil
}

// refused refuses the request and records why.
func (p *procedure) refused(status cpns.AssignmentStatus, kind EventKind, detail string) *answer {
	p.record(kind, 0, detail)
	return p.refuse(status)
}

// locked refuses the request of a locked user. Only the failure that locked the user is
// in the audit log; otherwise further requests could fill it.
func (p *procedure) locked(until time.Time) *answer {
	ans := p.refuse(cpns.UserLocked)
	ans.retryAfter = until.Sub(p.now)
	return ans
}

func (p *procedure) record(kind EventKind, epoch cpns.Epoch, detail string) {
	p.out.Event = &Event{
		Time:    p.now,
		Kind:    kind,
		User:    p.req.UserID,
		Entity:  p.req.EntityID,
		Gateway: p.gateway,
		Epoch:   epoch,
		Source:  p.source,
		Detail:  detail,
	}
}

// assignmentRow is the row key that an assignment's secret is sealed for.
func assignmentRow(e cpns.EntityID, epoch cpns.Epoch) string {
	return string(e) + " " + strconv.FormatUint(uint64(epoch), 10)
}
