package server

import (
	"errors"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// FirstClaim is the rule by which somebody becomes the owner of a PNE that nobody owns,
// and gets its Temporary Key.
type FirstClaim string

const (
	// The first user who asks, up to a number of PNEs a day.
	ClaimByAnyone FirstClaim = "anyone"
	// The same, but the request has to contain a hello of the PNE whose tag verifies,
	// which shows that the gateway has heard a device that holds TK.
	ClaimIfPresent FirstClaim = "present"
	// Nobody: a PNE gets its owner from the import or from the operator only.
	ClaimByOwner FirstClaim = "owner"
)

// ParseFirstClaim reads a rule by its name.
func ParseFirstClaim(s string) (FirstClaim, error) {
	switch rule := FirstClaim(s); rule {
	case ClaimByAnyone, ClaimIfPresent, ClaimByOwner:
		return rule, nil
	}
	return "", fmt.Errorf("first claim %q: there are %s, %s and %s", s, ClaimByAnyone, ClaimIfPresent, ClaimByOwner)
}

// DefaultDailyClaims is how many PNEs that nobody owned a user gets through one
// gateway in a day unless the operator says otherwise: more than a person sets up
// by hand, and far fewer than lie in a warehouse.
const DefaultDailyClaims = 100

const claimDay = 24 * time.Hour

// claim decides whether the user, who is authenticated, may have a PNE that nobody owns,
// and records the claim. If not, it returns the answer that refuses it.
func (p *procedure) claim(pne PNE) *answer {
	var why string
	switch {
	case p.firstClaim == ClaimByOwner:
		why = "nobody owns it, and only the operator gives an owner"
	case p.firstClaim == ClaimIfPresent && p.req.PNEHello == nil:
		why = "the request carries no hello of the PNE"
	case p.firstClaim == ClaimIfPresent && !p.helloVerifies:
		why = helloUnproved
	}
	if why != "" {
		return p.refused(cpns.PNEOwnedByAnotherUser, EventClaimRefused, why)
	}
	if full := p.found.Claimed; !full.IsZero() {
		ans := &answer{problem: &problem{
			status:     429,
			detail:     fmt.Sprintf("the user has got %d new devices through this gateway within a day, which is the most", p.dailyClaims),
			retryAfter: full.Add(claimDay).Sub(p.now),
			gateway:    p.gateway,
		}}
		p.record(EventClaimRefused, 0, "too many in a day")
		return ans
	}
	p.out.Claim = &Claim{Entity: pne.Entity, User: p.req.UserID, Gateway: p.gateway, Time: p.now}
	return nil
}

// helloUnproved is the audit log's text for a hello whose tag does not verify: it was not
// made by the PNE, or the server has another TK than the PNE.
const helloUnproved = "the hello in the request was not made under the TK that the server has"

// verifyHello reports whether the request contains a hello made by a holder of TK.
func verifyHello(hello *cpns.Hello, tk cpns.TK) (bool, error) {
	if hello == nil {
		return false, nil
	}
	err := hello.Verify(tk)
	if errors.Is(err, cpns.ErrNotAuthentic) {
		return false, nil
	}
	return err == nil, err
}
