package agent

import (
	"cpns.example.net/pngw/agent/life"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// PNE is what the agent tells about one PNE; no secret is in it. Package life
// draws its states.
type (
	PNE   = life.View
	State = life.State
)

// The states of a PNE.
const (
	StateRequested = life.StateRequested
	StateAssigned  = life.StateAssigned
	StateDelivered = life.StateDelivered
	StateUsedUp    = life.StateUsedUp
	StateAlarm     = life.StateAlarm
)

// What PNE.TagFault can say.
const (
	TagNeverGood = life.TagNeverGood
	TagForeign   = life.TagForeign
)

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
	Faults     []string       `json:"faults,omitempty"` // records that do not open, by name, with the reason
	PSK1       PSKStatus      `json:"psk1"`
	Unwritten  []string       `json:"unwritten,omitempty"` // records that could not be written the last time, by Entity ID, with the reason
	Dropped    Dropped        `json:"dropped"`
	Requests   Requests       `json:"requests"`
}

// Dropped counts messages that came up and were not acted on.
type Dropped struct {
	Malformed int64 `json:"malformed"` // not a message of the protocol
	Misplaced int64 `json:"misplaced"` // one PNE's message in another's name, or the gateway's own kind
	Unproved  int64 `json:"unproved"`  // an acknowledgement or response that proved nothing
}
