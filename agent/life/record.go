package life

import (
	"crypto/subtle"
	"fmt"
	"time"

	"cpns.example.net/pngw/cpns"
)

// record is what the store keeps of one PNE: one small value, written once a
// transition. It is never changed in place.
type record struct {
	entity  cpns.EntityID
	user    cpns.UserID
	current *Set     // the set in use, or the only one
	next    *Set     // a set of a newer epoch that the PNE has not proved yet
	request *Request // sent, with no answer stored yet
	alarm   *alarm

	readmitted bool               // an alarm was resolved: the PNE gets its next key by a notification, whichever key it holds
	remember   *cpns.PasswordHash // for renewal; nil unless the user asked for that
	advanced   int64              // when the PNE was last moved on to a later key, seconds since 1970
	highest    cpns.Epoch         // the highest epoch in a hello whose tag verified, 0 if it is not above those of the sets
	held       bool               // the first key waits for the gateway's button (World.Open); nothing is proved then
}

// Set is an EUKey set with the TK that came with it. Of the chain only the last
// key is kept, because every other follows from it; the links were checked when
// the set came. A Set is never changed in place.
type Set struct {
	Gateway cpns.GatewayID // the name by which the PNE knows the gateway, also after the gateway was renamed; [Assigned] fills it in
	Epoch   cpns.Epoch
	Length  cpns.Index
	Proved  cpns.Index // the latest key that the PNE has proved, 0 for none
	X25519  bool       // the key came in a notification under X25519, or by eukey-updates that follow such a key
	Last    cpns.EUKey
	TK      cpns.TK
	Taken   int64 // when the set was taken, seconds since 1970
}

// Request is an EUKey Assignment Request as it was sent. The server answers the same
// bytes with the same set, so that a lost answer does no harm.
type Request struct {
	User     cpns.UserID
	Rand     [cpns.RandSize]byte
	Time     uint64
	AuthData [32]byte
	Body     []byte
	Made     int64 // when it was made by the gateway's clock, which the server may have corrected: seconds since 1970
}

// Repeats reports whether sending q again would make the request that this user makes now.
func (q *Request) Repeats(user cpns.UserID, h *cpns.PasswordHash, identity cpns.PSKIdentity, now time.Time) bool {
	if q == nil || q.User != user {
		return false
	}
	age := now.Sub(time.Unix(q.Made, 0)).Abs()
	sealed, err := cpns.ParseRequest(q.Body)
	if err != nil || sealed.Identity != identity || age >= cpns.TimeWindow {
		return false
	}
	auth := cpns.UserAuthenticationData(h, &q.Rand, q.Time)
	return subtle.ConstantTimeCompare(auth[:], q.AuthData[:]) == 1
}

// alarm is the reason why a PNE gets no key until a person resolves it.
type alarm struct {
	epoch         cpns.Epoch
	proved, shown cpns.Index
}

func (a *alarm) String() string {
	return fmt.Sprintf("the device proved key %d of epoch %d after it had proved key %d: it was rolled back or cloned", a.shown, a.epoch, a.proved)
}

func (t *Set) key(i cpns.Index) cpns.EUKey { return cpns.EUKeyAt(&t.Last, t.Length, i) }

// keys returns EUKey_i and the key after it, which is all zero if there is none.
func (t *Set) keys(i cpns.Index) (held, next cpns.EUKey) {
	if i == t.Length {
		return t.Last, next
	}
	next = t.key(i + 1)
	return cpns.EUKeyAt(&next, i+1, i), next
}

func (t *Set) usedUp() bool { return t.Proved == t.Length }

// runningOut reports whether nine in ten keys are used, so that it is time for a new set.
func (t *Set) runningOut() bool { return 10*int(t.Proved) >= 9*int(t.Length) }

// same says whether t and o are one assignment, given twice.
func (t *Set) same(o *Set) bool {
	return t.Epoch == o.Epoch && t.Length == o.Length && subtle.ConstantTimeCompare(t.Last[:], o.Last[:]) == 1
}

// target is the set whose keys the PNE is to get: the newest one; nil if there is none
// yet.
func (r *record) target() *Set {
	if r.next != nil {
		return r.next
	}
	return r.current
}

// setOf is the set of an epoch, nil if the record has none.
func (r *record) setOf(e cpns.Epoch) *Set {
	for _, t := range []*Set{r.next, r.current} {
		if t != nil && t.Epoch == e {
			return t
		}
	}
	return nil
}

// withSet is the record after a response that has been checked: the request is answered,
// and the new set is added beside the one that the PNE may still use. A set of which no
// key was ever proved is not in use, and is dropped.
func (r *record) withSet(user cpns.UserID, t *Set) *record {
	n := *r
	n.user, n.request = user, nil
	switch {
	case r.target() != nil && r.target().same(t): // the same answer again
	case r.current == nil || r.current.Proved == 0:
		n.current, n.next = t, nil
	default:
		n.next = t
	}
	return &n
}

// withProof is the record after the PNE has proved a key of a stored set. An index never
// goes back, and the first proof of the newer set removes the older one.
func (r *record) withProof(e cpns.Epoch, i cpns.Index, x25519 bool) *record {
	t := r.setOf(e)
	if i <= t.Proved {
		return r
	}
	moved, n := *t, *r
	moved.Proved, moved.X25519, n.readmitted, n.held = i, x25519, false, false
	if t == r.next {
		n.current, n.next = &moved, nil
	} else {
		n.current = &moved
	}
	return &n
}

// The following methods are for the agent, besides [View].

// Entity is the PNE's name.
func (p PNE) Entity() cpns.EntityID { return p.rec.entity }

// Request is the request that was sent and not answered yet, nil for none.
func (p PNE) Request() *Request { return p.rec.request }

// Empty reports whether the PNE's record contains neither a set nor a request, so that the
// store need not keep it.
func (p PNE) Empty() bool { return p.rec.target() == nil && p.rec.request == nil }

// SameRecord reports whether p and q have the same record, so that nothing has to be stored.
func (p PNE) SameRecord(q PNE) bool { return p.rec == q.rec }

// Proved reports whether the PNE has ever proved a key at this gateway.
func (p PNE) Proved() bool { return p.rec.current != nil && p.rec.current.Proved > 0 }

// Link is the link on which the PNE was last heard, "" if it was not heard since the start.
func (p PNE) Link() string { return p.mem.link }

// HeardOn reports whether the PNE was last heard, or last proved a key, on that link.
func (p PNE) HeardOn(link string) bool { return p.mem.link == link || p.mem.proofLink == link }

// Share saves memory: of values that are the same in many PNEs, a PNE that was just read
// keeps the shared copy that same returns.
func (p PNE) Share(same func(string) string) {
	p.rec.user = cpns.UserID(same(string(p.rec.user)))
	for _, t := range []*Set{p.rec.current, p.rec.next} {
		if t != nil {
			t.Gateway = cpns.GatewayID(same(string(t.Gateway)))
		}
	}
}

// Seen is when the PNE was last heard: by a hello that verified, a proof, or, as long as
// there is no TK, any hello. It is the zero time if it was not heard since the start.
func (p PNE) Seen() time.Time { return p.mem.seen }

// UsedUp reports whether every key of the newest set has been proved.
func (p PNE) UsedUp() bool { return p.rec.target() != nil && p.rec.target().usedUp() }

// Refuses returns the reason why a set must not be accepted, nil if it may be: its epoch
// has to be above every epoch that is known of the PNE, unless it is the same set again.
func (p PNE) Refuses(t *Set) error {
	if have := p.rec.target(); have != nil && have.same(t) {
		return nil
	}
	if known := p.highest(); t.Epoch <= known {
		return fmt.Errorf("the server counts epoch %d for %s, and epoch %d is known here already: the device would refuse it; the server has lost data, restore it", t.Epoch, p.rec.entity, known)
	}
	return nil
}

// Alarmed reports whether the PNE was rolled back or cloned, and therefore gets no key.
func (p PNE) Alarmed() bool { return p.rec.alarm != nil }

// Held reports whether the PNE's first key waits for [World.Open].
func (p PNE) Held() bool { return p.rec.held }

// Offered reports whether a key has been sent to the PNE that it has not acknowledged yet.
func (p PNE) Offered() bool { return p.mem.notify.open() }

// Awaited reports whether a key waits for the PNE and the gateway still asks often whether
// it is there, because somebody may be standing in front of it.
func (p PNE) Awaited() bool { return p.pending() && !p.rec.held && p.mem.poll.wait < pollLast }

// Pending reports whether a key waits for the PNE's next hello.
func (p PNE) Pending() bool { return p.pending() }

// Renewal returns the user for whom a new set is to be requested, if the PNE's set runs
// out and its user lets the gateway keep the password's hash.
func (p PNE) Renewal() (cpns.UserID, *cpns.PasswordHash, bool) {
	r := p.rec
	if r.remember == nil || r.alarm != nil || r.next != nil || r.current == nil || !r.current.runningOut() {
		return "", nil, false
	}
	return r.user, r.remember, true
}

// Taken is when the newest set came, the zero time if there is none. That time has
// certainly passed.
func (p PNE) Taken() time.Time {
	var last int64
	for _, t := range []*Set{p.rec.current, p.rec.next} {
		if t != nil {
			last = max(last, t.Taken)
		}
	}
	if last == 0 {
		return time.Time{}
	}
	return time.Unix(last, 0)
}

// Wipe overwrites the keys. It cannot reach copies that the runtime made, for example
// on a stack.
func (p PNE) Wipe() {
	for _, t := range []*Set{p.rec.current, p.rec.next} {
		if t != nil {
			clear(t.Last[:])
			clear(t.TK)
		}
	}
	if p.rec.remember != nil {
		clear(p.rec.remember[:])
	}
	if u := p.mem.underWay; u != &quiet {
		clear(u.notify.key[:])
		clear(u.update.key[:])
	}
}
