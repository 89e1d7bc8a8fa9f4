package server

import (
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
)

// EventKind says what an audit event is about. The words are part of the
// command line's output: they don't change.
type EventKind string

// What gateways did.
const (
	EventAssigned     EventKind = "assigned"       // a new EUKey set
	EventRepeated     EventKind = "repeated"       // the same request again, the same set
	EventAuthFailed   EventKind = "auth_failed"    // wrong password or unknown user
	EventUserLocked   EventKind = "user_locked"    // the failure that locked the user at the gateway
	EventUnknownPNE   EventKind = "unknown_pne"    // no TK for the Entity ID
	EventOwnedByOther EventKind = "owned_by_other" // another user's PNE was asked for
	EventClaimRefused EventKind = "claim_refused"  // a PNE that nobody owns was asked for, which the rule or the limit forbids
	EventRandomReused EventKind = "random_reused"  // a RAND_PNGW seen before with a different request
)

// What gateways did to become one (step 0).
const (
	EventGatewayEnrolled EventKind = "gateway_enrolled" // by the secret of an invitation
	EventPSK1Given       EventKind = "psk1_given"       // a PSK1 from TLS or GBA
	EventPSK1Ended       EventKind = "psk1_file_ended"  // the first PSK1 from TLS was used
	EventPSK1Replaced    EventKind = "psk1_replaced"    // another one of a file was used for the first time
)

// What the operator did.
const (
	EventUserAdded       EventKind = "user_added"
	EventPasswordSet     EventKind = "password_set"
	EventUserRemoved     EventKind = "user_removed"
	EventUserUnlocked    EventKind = "user_unlocked"
	EventUserDisabled    EventKind = "user_disabled"
	EventUserEnabled     EventKind = "user_enabled"
	EventGatewayAdded    EventKind = "gateway_added"
	EventGatewayRemoved  EventKind = "gateway_removed"
	EventIMPISet         EventKind = "impi_set"
	EventGatewayRekeyed  EventKind = "gateway_rekeyed" // gets another PSK1
	EventGatewayInvited  EventKind = "gateway_invited"
	EventCodeRevoked     EventKind = "code_revoked" // an invitation ended before its time
	EventGatewayApproved EventKind = "gateway_approved"
	EventGatewayReplaced EventKind = "gateway_replaced" // approved under the ID of one with another key
	EventGatewayRefused  EventKind = "gateway_refused"
	EventRekeyBegun      EventKind = "rekey_begun" // a change of the master key
	EventRekeyed         EventKind = "rekeyed"
	EventPNEsImported    EventKind = "pnes_imported"
	EventPNEReleased     EventKind = "pne_released"
	EventPNERemoved      EventKind = "pne_removed"
	EventOwnerSet        EventKind = "owner_set" // of a PNE, by the operator
	EventTKSet           EventKind = "tk_set"    // the Temporary Key was replaced
	EventTokenAdded      EventKind = "token_added"
	EventTokenRemoved    EventKind = "token_removed"
)

// An Event is one line of the audit log: who, which PNE, which gateway, what,
// when. It never holds a secret. What does not apply is empty.
type Event struct {
	Seq     int64          `json:"-"` // from 1, in the order of adding
	Time    time.Time      `json:"time"`
	Kind    EventKind      `json:"event"`
	User    cpns.UserID    `json:"user,omitempty"`
	Entity  cpns.EntityID  `json:"entity_id,omitempty"`
	Gateway cpns.GatewayID `json:"gateway,omitempty"`
	Epoch   cpns.Epoch     `json:"epoch,omitempty"`
	Source  string         `json:"source"` // the address that the gateway came from, or "operator NAME"
	Detail  string         `json:"detail,omitempty"`
	MAC     Tag            `json:"-"` // see auditkey.go; zero where an older program wrote it
}

// Text is the event in one line, without its time.
func (e Event) Text() string {
	b := new(strings.Builder)
	b.WriteString(string(e.Kind))
	for _, field := range []struct{ name, value string }{
		{"user", string(e.User)},
		{"pne", string(e.Entity)},
		{"gateway", string(e.Gateway)},
	} {
		if field.value != "" {
			fmt.Fprintf(b, " %s=%s", field.name, field.value)
		}
	}
	if e.Epoch != 0 {
		fmt.Fprintf(b, " epoch=%d", e.Epoch)
	}
	fmt.Fprintf(b, " from=%q", e.Source)
	if e.Detail != "" {
		fmt.Fprintf(b, " detail=%q", e.Detail)
	}
	return b.String()
}

// AuditKept is how long the audit log keeps an event, and AuditRows how many events
// it keeps at most.
const (
	AuditKept = 400 * 24 * time.Hour
	AuditRows = 1_000_000
)
