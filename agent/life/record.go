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

	readmitted bool               // an alarm was resolved: the PNE gets its next key by notification, whatever it holds
	remember   *cpns.PasswordHash // for renewal; nil unless the user said so
	advanced   int64              // when the PNE was last moved on to a later key, seconds since 1970
	highest    cpns.Epoch         // that a hello whose tag verified named, 0 where it is not above the sets'
	held       bool               // the first key waits for the gateway's button (World.Open); nothing is proved then
}

// Set is an EUKey set with the TK that came with it. Of the chain only the last
// key is kept, because every other follows from it; the links were checked when
// the set came. A Set is never changed in place.
type Set struct {
	Gateway cpns.GatewayID // that the PNE knows the gateway by; [Assigned] fills it in. It lasts where the gateway is renamed
	Epoch   cpns.Epoch
	Length  cpns.Index
	Proved  cpns.Index // the latest key that the PNE has proved, 0 for none
	X25519  bool       // that key, or one before it, was notified under X25519, and every one since by eukey-updates
	Last    cpns.EUKey
	TK      cpns.TK
	Taken   int64 // when the set was taken, seconds since 1970
}

// Request is an EUKey Assignment Request as it was sent. The same bytes again
// get the same set, so a lost answer costs nothing.
type Request struct {
	User     cpns.UserID
	Rand     [cpns.RandSize]byte
	Time     uint64
	AuthData [32]byte
	Body     []byte
	Made     int64 // when it was made by the gateway's clock, which the server may have corrected: seconds since 1970
}

// Repeats says whether sending q again asks what this user asks now.
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

// alarm is why a PNE gets no key until a person says so.
type alarm struct {
	epoch         cpns.Epoch
	proved, shown cpns.Index
}

func (a *alarm) String() string {
	return fmt.Sprintf("the device proved key %d of epoch %d after it had proved key %d: it was rolled back or cloned", a.shown, a.epoch, a.proved)
}

func (t *Set) key(i cpns.Index) cpns.EUKey { return cpns.EUKeyAt(&t.Last, t.Length, i) }

// keys are EUKey_i, and the one after it, all zero where there is none.
func (t *Set) keys(i cpns.Index) (held, next cpns.EUKey) {
	if i == t.Length {
		return t.Last, next
	}
	next = t.key(i + 1)
	return cpns.EUKeyAt(&next, i+1, i), next
}

func (t *Set) usedUp() bool { return t.Proved == t.Length }

// runningOut says that nine keys in ten are proved: time for a new set.
func (t *Set) runningOut() bool { return 10*int(t.Proved) >= 9*int(t.Length) }

// same says whether t and o are one assignment, given twice.
func (t *Set) same(o *Set) bool {
	return t.Epoch == o.Epoch && t.Length == o.Length && subtle.ConstantTimeCompare(t.Last[:], o.Last[:]) == 1
}

// target is the set that the PNE is to be served from: the newest; nil where
// none is here yet.
func (r *record) target() *Set {
	if r.next != nil {
		return r.next
	}
	return r.current
}

// setOf is the set of an epoch, nil where it is not here.
func (r *record) setOf(e cpns.Epoch) *Set {
	for _, t := range []*Set{r.next, r.current} {
		if t != nil && t.Epoch == e {
			return t
		}
	}
	return nil
}

// withSet is the record once a checked response is in: the request is answered,
// and the new set waits beside the one that the PNE may still hold. A set of
// which nothing was ever proved is held by nobody and goes.
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

// withProof is the record once the PNE has proved a key of an epoch that is
// here. An index never goes back, and an older set goes with the newer's first
// proof.
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

// What follows is what the agent asks of a PNE beside its [View].

// Entity is the PNE's name.
func (p PNE) Entity() cpns.EntityID { return p.rec.entity }

// Request is the request that is out, nil for none.
func (p PNE) Request() *Request { return p.rec.request }

// Empty says that nothing is known of the PNE: neither a set nor a request is in
// its record, which the store then need not keep.
func (p PNE) Empty() bool { return p.rec.target() == nil && p.rec.request == nil }

// SameRecord says that the store need not be written to go from p to q.
func (p PNE) SameRecord(q PNE) bool { return p.rec == q.rec }

// Proved says that the PNE has ever proved a key here.
func (p PNE) Proved() bool { return p.rec.current != nil && p.rec.current.Proved > 0 }

// Link is where the PNE was last heard, "" since the start not at all.
func (p PNE) Link() string { return p.mem.link }

// HeardOn says that the PNE was last heard, or proved a key last, on that link.
func (p PNE) HeardOn(link string) bool { return p.mem.link == link || p.mem.proofLink == link }

// Share has a PNE that was just read keep one copy with others of what is the same
// for many: the one that same gives.
func (p PNE) Share(same func(string) string) {
	p.rec.user = cpns.UserID(same(string(p.rec.user)))
	for _, t := range []*Set{p.rec.current, p.rec.next} {
		if t != nil {
			t.Gateway = cpns.GatewayID(same(string(t.Gateway)))
		}
	}
}

// Seen is when the PNE was last heard, by a hello that verified, a proof, or any
// hello where no TK is here; the zero time since the start not at all.
func (p PNE) Seen() time.Time { return p.mem.seen }

// UsedUp says that every key of the newest set is proved.
func (p PNE) UsedUp() bool { return p.rec.target() != nil && p.rec.target().usedUp() }

// Refuses says why a set is not to be taken, nil where it is: its epoch must be
// above every one that is known of the PNE, unless it is the same set again.
func (p PNE) Refuses(t *Set) error {
	if have := p.rec.target(); have != nil && have.same(t) {
		return nil
	}
	if known := p.highest(); t.Epoch <= known {
		return fmt.Errorf("the server counts epoch %d for %s, and epoch %d is known here already: the device would refuse it; the server has lost data, restore it", t.Epoch, p.rec.entity, known)
	}
	return nil
}

// Alarmed says that the PNE was rolled back or cloned, and gets no key.
func (p PNE) Alarmed() bool { return p.rec.alarm != nil }

// Held says that the PNE's first key waits for [World.Open].
func (p PNE) Held() bool { return p.rec.held }

// Offered says that a key has been sent to the PNE, and its answer is waited for.
func (p PNE) Offered() bool { return p.mem.notify.open() }

// Awaited says that a key waits for the PNE, and that it is still asked often
// whether it is there: somebody may be standing before it.
func (p PNE) Awaited() bool { return p.pending() && !p.rec.held && p.mem.poll.wait < pollLast }

// Pending says that a key waits for the PNE's next hello.
func (p PNE) Pending() bool { return p.pending() }

// Renewal says for whom a new set is to be asked: the PNE's runs out, and its
// user lets the gateway keep the password's hash.
func (p PNE) Renewal() (cpns.UserID, *cpns.PasswordHash, bool) {
	r := p.rec
	if r.remember == nil || r.alarm != nil || r.next != nil || r.current == nil || !r.current.runningOut() {
		return "", nil, false
	}
	return r.user, r.remember, true
}

// Taken is when the newest set came, the zero time where none is here: a moment
// that has certainly passed.
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

// Wipe overwrites the keys. Copies that the runtime or the stack made are
// beyond reach.
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
}
