package server

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
)

// An answer is what a gateway gets for a request that PSK1 has authenticated.
type answer struct {
	response   cpns.EUKeyAssignmentResponse
	retryAfter time.Duration // with UserLocked
	problem    *problem      // what is answered instead, nil for nothing
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
// The transaction holds everything from the lock-out on: two gateways cannot
// try the tenth password at the same time, the same request sent twice at once
// makes one assignment, and ownership, epoch, chain, replay record and audit
// event become durable together or not at all.
func (s *Server) assign(ctx context.Context, under PSK1, source string, req *cpns.EUKeyAssignmentRequest) (*answer, error) {
	if ok, err := s.slowDown(ctx, under.Gateway, req.UserID); err != nil {
		return nil, err
	} else if !ok {
		return nil, &problem{status: http.StatusTooManyRequests, detail: "too many requests of this gateway are waiting", retryAfter: slowestDelay, gateway: under.Gateway}
	}
	var ans *answer
	err := s.store.Assign(ctx, func(tx Tx) (err error) {
		now := s.now()
		if err := s.usePSK1(tx, under, now); err != nil {
			return err
		}
		p := procedure{Server: s, tx: tx, gateway: under.Gateway, source: source, req: req, now: now}
		ans, err = p.run()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("assigning EUKeys: %w", err)
	}
	if ans.problem != nil {
		return nil, ans.problem
	}
	return ans, nil
}

// slowDown lets a request wait whose user failed at many gateways. It says false
// where too many of the gateway's requests wait already.
func (s *Server) slowDown(ctx context.Context, g cpns.GatewayID, u cpns.UserID) (bool, error) {
	var failures int
	err := s.store.View(ctx, func(tx Tx) (err error) {
		now := s.now()
		failures, err = tx.CountFailures(u, now.Add(-failureWindow), now.Add(replicaSkew), failuresCounted)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("counting failures: %w", err)
	}
	return s.slowed.wait(ctx, g, delayFor(failures))
}

// refuse is an answer that assigns nothing.
func (s *Server) refuse(status cpns.AssignmentStatus) *answer {
	return &answer{response: cpns.EUKeyAssignmentResponse{Status: status, ServerTime: uint64(s.now().Unix())}}
}

// A procedure is one run of the clause within its transaction.
type procedure struct {
	*Server
	tx      Tx
	gateway cpns.GatewayID
	source  string
	req     *cpns.EUKeyAssignmentRequest
	now     time.Time

	user          User    // whom the request names, or who stands in for one
	disabled      bool    // the user is
	tk            cpns.TK // of the PNE, once it was found to be the user's to have
	helloVerifies bool    // the request has a hello that was made under it
}

func (p *procedure) run() (*answer, error) {
	until, err := lockedUntil(p.tx, p.req.UserID, p.gateway, p.now)
	if err != nil {
		return nil, err
	}
	if until.After(p.now) {
		return p.locked(until), nil
	}
	tag := p.vault.requestTag(p.gateway, p.req)

	// Steps 1 and 2.
	authentic, err := p.authenticateUser()
	if err != nil {
		return nil, err
	}
	if !authentic {
		return p.userFailed(tag)
	}

	seen, earlier, err := findRepeat(p.tx, p.req, tag)
	if err != nil {
		return nil, err
	}
	if seen == randomReused {
		return p.refused(cpns.RandomReused, EventRandomReused, "")
	}

	// Step 6 comes before step 3: a PNE without a TK changes nothing.
	pne, err := p.tx.PNE(p.req.EntityID)
	if errors.Is(err, ErrNotFound) {
		return p.refused(cpns.UnknownPNE, EventUnknownPNE, "")
	}
	if err != nil {
		return nil, err
	}
	if pne.Owner != "" && pne.Owner != p.req.UserID {
		return p.refused(cpns.PNEOwnedByAnotherUser, EventOwnedByOther, "")
	}
	if p.tk, err = p.vault.open(columnTK, string(pne.Entity), pne.TK); err != nil {
		return nil, err
	}
	if p.helloVerifies, err = verifyHello(p.req.PNEHello, p.tk); err != nil {
		return nil, err
	}
	if seen == sameRequest {
		return p.respond(EventRepeated, earlier)
	}
	if pne.Owner == "" {
		if no, err := p.claim(pne); no != nil || err != nil {
			return no, err
		}
	}
	assignment, err := p.newAssignment(pne, tag)
	if err != nil {
		return nil, err
	}
	return p.respond(EventAssigned, assignment)
}

// authenticateUser is steps 1 and 2: generate H(AuthData), verify what was
// received. A user who is not known, or whom the operator has disabled, takes the
// same steps.
func (p *procedure) authenticateUser() (bool, error) {
	user, err := p.tx.User(p.req.UserID)
	if p.disabled = err == nil && user.Disabled; p.disabled || errors.Is(err, ErrNotFound) {
		user, err = p.nobody, nil
	}
	if err != nil {
		return false, err
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
func (p *procedure) userFailed(tag Tag) (*answer, error) {
	err := p.tx.AddFailure(Failure{User: p.req.UserID, Gateway: p.gateway, RequestTag: tag, Time: p.now})
	if errors.Is(err, ErrExists) {
		return p.refuse(cpns.UserAuthenticationFailed), nil // in the log already
	}
	if err != nil {
		return nil, err
	}
	until, err := lockedUntil(p.tx, p.req.UserID, p.gateway, p.now)
	if err != nil {
		return nil, err
	}
	detail := ""
	if p.disabled {
		detail = "the user is disabled"
	}
	if until.After(p.now) {
		return p.refused(cpns.UserAuthenticationFailed, EventUserLocked, detail)
	}
	return p.refused(cpns.UserAuthenticationFailed, EventAuthFailed, detail)
}

// newAssignment is steps 3 to 5.
func (p *procedure) newAssignment(pne PNE, tag Tag) (Assignment, error) {
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
		RequestTag:  tag,
		RequestTime: time.Unix(int64(p.req.Time), 0).UTC(),
		Created:     p.now,
	}
	if err := p.tx.AddAssignment(a); err != nil {
		return Assignment{}, err
	}
	pne.Owner, pne.Epoch, pne.Gateway, pne.Assigned = p.req.UserID, epoch, p.gateway, p.now
	if err := p.tx.SetOwner(pne); err != nil {
		return Assignment{}, err
	}
	if !p.clock.steady(p.now, p.passed()) {
		return a, nil
	}
	return a, p.tx.PruneAssignments(pne.Entity, p.now.Add(-replayKept))
}

// respond is steps 4, 6 and 7, for a new assignment and for one that is given
// again.
func (p *procedure) respond(kind EventKind, a Assignment) (*answer, error) {
	randSVR, err := p.vault.open(columnRandSVR, assignmentRow(a.Entity, a.Epoch), a.RandSVR)
	if err != nil {
		return nil, err
	}
	if len(randSVR) != cpns.RandSize {
		return nil, fmt.Errorf("the RAND_SVR of PNE %s, epoch %d, has %d bytes", a.Entity, a.Epoch, len(randSVR))
	}

	// Step 4: the seed, and from it the chain.
	seed := cpns.SeedPNE((*[cpns.RandSize]byte)(randSVR), &a.RandPNGW)
	set := make([]cpns.EUKey, a.Length)
	cpns.DeriveSet(set, &seed)

	// Steps 6 and 7: with the Temporary Key, the response.
	response := cpns.EUKeyAssignmentResponse{
		Status:     cpns.Success,
		ServerTime: uint64(p.now.Unix()),
		Epoch:      a.Epoch,
		TK:         p.tk,
		EUKeys:     set,
	}
	if p.now.Sub(p.user.Seen).Abs() >= seenEvery {
		if err := p.tx.SetUserSeen(p.user.ID, p.now); err != nil {
			return nil, err
		}
	}
	detail := ""
	if p.req.PNEHello != nil && !p.helloVerifies {
		detail = helloUnproved
	}
	return &answer{response: response}, p.record(kind, a.Epoch, detail)
}

// refused refuses the request and records why.
func (p *procedure) refused(status cpns.AssignmentStatus, kind EventKind, detail string) (*answer, error) {
	return p.refuse(status), p.record(kind, 0, detail)
}

// locked refuses the request of a locked user. Only the failure that locked the
// user is in the audit log: otherwise asking on would fill it.
func (p *procedure) locked(until time.Time) *answer {
	ans := p.refuse(cpns.UserLocked)
	ans.retryAfter = until.Sub(p.now)
	return ans
}

func (p *procedure) record(kind EventKind, epoch cpns.Epoch, detail string) error {
	return p.tx.AddEvent(Event{
		Time:    p.now,
		Kind:    kind,
		User:    p.req.UserID,
		Entity:  p.req.EntityID,
		Gateway: p.gateway,
		Epoch:   epoch,
		Source:  p.source,
		Detail:  detail,
	})
}

// assignmentRow is the row key that an assignment's secret is sealed for.
func assignmentRow(e cpns.EntityID, epoch cpns.Epoch) string {
	return string(e) + " " + strconv.FormatUint(uint64(epoch), 10)
}
