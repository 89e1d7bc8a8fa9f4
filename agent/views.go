package agent

import (
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// State is a PNE's state as people and scripts see it; the package doc draws it.
type State string

// The states of a PNE.
const (
	StateRequested State = "requested" // the request is out, no answer is stored yet
	StateAssigned  State = "assigned"  // a set is sealed here, the PNE has proved none of it
	StateDelivered State = "delivered" // the PNE has proved the key at Index
	StateUsedUp    State = "used_up"   // the PNE has proved the set's last key
	StateAlarm     State = "alarm"     // the PNE has been rolled back or cloned
)

// PNE is what the agent tells about one PNE; no secret is in it.
type PNE struct {
	Entity   cpns.EntityID `json:"entity_id"`
	User     cpns.UserID   `json:"user"`
	State    State         `json:"state"`
	Epoch    cpns.Epoch    `json:"epoch"`     // of the newest set, 0 while none is here
	Index    cpns.Index    `json:"index"`     // the latest key proved, 0 for none
	Length   int           `json:"length"`    // keys in the set
	Link     string        `json:"link"`      // where it was last heard, "" since the start not at all
	LastSeen string        `json:"last_seen"` // RFC 3339 UTC, "" since the start not at all
	Note     string        `json:"note,omitempty"`
}

// Discovered is a PNE that said hello and that no user has asked for. Nothing
// in it is proved: anybody on the link can have said it.
type Discovered struct {
	Entity   cpns.EntityID `json:"entity_id"`
	Link     string        `json:"link"`
	LastSeen string        `json:"last_seen"`
	Epoch    cpns.Epoch    `json:"epoch"`
	Index    cpns.Index    `json:"index"`
}

// LinkStatus is a link's name beside its own account of itself.
type LinkStatus struct {
	Name string
	transport.Status
}

// Status is the agent's account of itself.
type Status struct {
	Gateway    cpns.GatewayID `json:"gateway"`
	ClockSet   bool           `json:"clock_set"`
	Time       string         `json:"time"` // what the router thinks the time is, RFC 3339 UTC
	PNEs       map[State]int  `json:"pnes"`
	Discovered int            `json:"discovered"`
	Faults     []string       `json:"faults,omitempty"`      // records that do not open, by name, with the reason
	StoreError string         `json:"store_error,omitempty"` // why the last write failed, "" when it went well
	Dropped    Dropped        `json:"dropped"`
}

// Dropped counts messages that came up and were not acted on.
type Dropped struct {
	Malformed int64 `json:"malformed"` // not a message of the protocol
	Misplaced int64 `json:"misplaced"` // one PNE's message in another's name, or the gateway's own kind
	Unproved  int64 `json:"unproved"`  // an acknowledgement or response that proved nothing
}

func view(s state) PNE {
	r, p := s.rec, PNE{Entity: s.rec.entity, User: s.rec.user, State: StateRequested, Link: s.ses.link, LastSeen: stamp(s.ses.seen), Note: s.note()}
	if t := r.target(); t != nil {
		p.Epoch, p.Index, p.Length = t.epoch, t.proved, int(t.length)
		switch {
		case t.proved == 0:
			p.State = StateAssigned
		case t.usedUp():
			p.State = StateUsedUp
		default:
			p.State = StateDelivered
		}
	}
	if r.alarm != nil {
		p.State = StateAlarm
	}
	return p
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
