package life

import (
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
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

// View is what is told about one PNE; no secret is in it.
type View struct {
	Entity   cpns.EntityID `json:"entity_id"`
	User     cpns.UserID   `json:"user"`
	State    State         `json:"state"`
	Epoch    cpns.Epoch    `json:"epoch"`               // of the newest set, 0 while none is here
	Index    cpns.Index    `json:"index"`               // the latest key proved, 0 for none
	Length   int           `json:"length"`              // keys in the set
	X25519   bool          `json:"x25519"`              // that key was delivered under X25519
	Pending  bool          `json:"pending"`             // a key waits for the PNE's next hello
	Link     string        `json:"link"`                // where it was last heard, "" since the start not at all
	LastSeen string        `json:"last_seen"`           // RFC 3339 UTC, "" since the start not at all
	Held     bool          `json:"held,omitempty"`      // that key waits for the gateway's button, too
	TagFault TagFault      `json:"tag_fault,omitempty"` // hellos in its name do not verify under its Temporary Key
	Note     string        `json:"note,omitempty"`
}

// View is the PNE as people and scripts see it.
func (p PNE) View() View {
	r := p.rec
	v := View{Entity: r.entity, User: r.user, State: StateRequested, Link: p.mem.link, LastSeen: Stamp(p.mem.seen), Pending: p.pending(), Held: r.held, TagFault: p.tagFault(), Note: p.note()}
	if t := r.target(); t != nil {
		v.Epoch, v.Index, v.Length, v.X25519 = t.Epoch, t.Proved, int(t.Length), t.X25519
		switch {
		case t.Proved == 0:
			v.State = StateAssigned
		case t.usedUp():
			v.State = StateUsedUp
		default:
			v.State = StateDelivered
		}
	}
	if r.alarm != nil {
		v.State = StateAlarm
	}
	return v
}

func (p PNE) note() string {
	switch r := p.rec; {
	case r.alarm != nil:
		return r.alarm.String()
	case p.tagFault() != "":
		return p.tagFault().text(p.mem.tag.link)
	case p.mem.remark != "":
		return p.mem.remark
	case r.held:
		return "it gets its key when the router's button is pressed"
	case r.readmitted:
		return "readmitted: it gets its next key at its next hello"
	case r.next != nil && r.current != nil:
		return fmt.Sprintf("holds key %d of epoch %d until it takes the new set", r.current.Proved, r.current.Epoch)
	case r.target() != nil && r.target().runningOut():
		what := "provision it again for a new set"
		if r.remember != nil {
			what = "the gateway is getting a new set"
		}
		return fmt.Sprintf("%d of %d keys are used: %s", r.target().Proved, r.target().Length, what)
	}
	return ""
}

// text says in words for people what hellos that do not verify mean. link is
// where they came up.
func (f TagFault) text(link string) string {
	if f == TagForeign {
		return fmt.Sprintf("hellos in its name on %s are not under its Temporary Key, though its own were: somebody else speaks in its name there, or the device was given another Temporary Key", link)
	}
	return fmt.Sprintf("its hellos on %s are not under the Temporary Key that the server gave: the device has another Temporary Key, or somebody else speaks in its name", link)
}

// Refusal says in words for people why a PNE did not take its key.
func Refusal(s cpns.AckStatus) string {
	switch s {
	case cpns.AckCannotDecrypt:
		return "the device could not open the key that it was sent last, and its hello was right: something on the way changes messages, or speaks in the gateway's name"
	case cpns.AckStale:
		return "the device holds a newer key than it was sent: it may have been assigned by another gateway since"
	case cpns.AckChainBroken:
		return "the device holds a key that is not of this set: provision it again"
	case cpns.AckNotStored:
		return "the device could not store its key: its memory is full, worn out or read-only"
	}
	return fmt.Sprintf("the device answered with status %d", s)
}

// Stamp is a time as views show it, "" for the zero time.
func Stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
