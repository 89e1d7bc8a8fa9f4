package server

import (
	"net/netip"
	"time"

	"cpns.example.net/pngw/cpns"
)

// An EnrolmentState says how it stands with a gateway's key that the server has
// heard of. A key that is approved is a Gateway's, and has no Enrolment.
type EnrolmentState string

// The states of an enrolment.
const (
	EnrolmentPending EnrolmentState = "pending" // waits for a person
	EnrolmentRefused EnrolmentState = "refused" // by a person
	EnrolmentRemoved EnrolmentState = "removed" // was a gateway's
)

// An Enrolment is a gateway's key that is no gateway's yet, or no more, and what was
// said with it. All but Key is hearsay.
type Enrolment struct {
	Key        cpns.SPKIHash
	State      EnrolmentState
	Gateway    cpns.GatewayID // what it wants to be called, "" for nothing
	Was        cpns.GatewayID // the gateway whose key it was until that was removed, "" for none
	Invitation string         // whose secret it proved to have, "" for none
	Model      string
	Serial     string
	MACs       []string // without spaces
	Source     string   // the network that it came from
	First      time.Time
	Last       time.Time // to the minute
}

// From is where it came from, as people are shown it: an address, or the network of one.
func (e *Enrolment) From() string {
	if p, err := netip.ParsePrefix(e.Source); err == nil && p.IsSingleIP() {
		return p.Addr().String()
	}
	return e.Source
}

// Enrolments are the keys that are no gateway's, by their hash.
type Enrolments interface {
	Enrolment(cpns.SPKIHash) (Enrolment, error)
	SetEnrolment(Enrolment) error // adds or replaces
	RemoveEnrolment(cpns.SPKIHash) error
	EnrolmentsAfter(key cpns.SPKIHash, limit int) ([]Enrolment, error) // in the order of their keys
	// DisplacePending makes room for one more pending enrolment from a source: where
	// the source has perSource of them, or all together total, the first that
	// came of this source, or of the source that has the most, is removed. Those
	// whose key was a gateway's do not count, and stay.
	DisplacePending(source string, perSource, total int) error
	// PruneEnrolments removes the pending ones that were last heard of before one
	// time, and the others, and those whose key was a gateway's, from before another.
	PruneEnrolments(pending, others time.Time) error
}

// An Invitation is an enrolment code with a secret that the operator gave out.
type Invitation struct {
	ID      string
	Secret  Sealed         // cpns.EnrolmentSecret
	Gateway cpns.GatewayID // what the code says that the gateway is called, "" for nothing
	Uses    int            // gateways that it approves
	Bound   int            // gateways that it has approved
	Created time.Time
	Ends    time.Time
}

// Invitations are those that hold, and for a while those that have ended.
type Invitations interface {
	Invitation(id string) (Invitation, error)
	AddInvitation(Invitation) error
	SetInvitation(id string, bound int, ends time.Time) error
	InvitationsAfter(id string, limit int) ([]Invitation, error) // in the order of their IDs
	CountInvitations() (int, error)
	PruneInvitations(endedBefore time.Time) error
}
