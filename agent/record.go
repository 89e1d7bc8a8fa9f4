package agent

import (
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// record is what the store keeps of one PNE: one small value, written once a
// transition. It is never changed in place.
type record struct {
	entity  cpns.EntityID
	user    cpns.UserID
	current *set     // the set in use, or the only one
	next    *set     // a set of a newer epoch that the PNE has not proved yet
	request *request // sent, with no answer stored yet
	alarm   *alarm

	readmitted bool               // an alarm was resolved: the PNE gets its next key by notification, whatever it holds
	remember   *cpns.PasswordHash // for renewal; nil unless the user said so
	stepped    int64              // when an eukey-update last moved the PNE on, seconds since 1970
}

// set is an EUKey set with the TK that came with it. Of the chain only the last
// key is kept, because every other follows from it; the links were checked when
// the set came. A set is never changed in place.
type set struct {
	epoch  cpns.Epoch
	length cpns.Index
	proved cpns.Index // the latest key that the PNE has proved, 0 for none
	last   cpns.EUKey
	tk     cpns.TK
	taken  int64 // when the set was taken, seconds since 1970
}

// request is an EUKey Assignment Request as it was sent. The same bytes again
// get the same set, so a lost answer costs nothing.
type request struct {
	user     cpns.UserID
	rand     [cpns.RandSize]byte
	time     uint64
	authData [32]byte
	body     []byte
}

func (t *set) key(i cpns.Index) cpns.EUKey { return cpns.EUKeyAt(&t.last, t.length, i) }

func (t *set) usedUp() bool { return t.proved == t.length }

// runningOut says that nine keys in ten are proved: time for a new set.
func (t *set) runningOut() bool { return 10*int(t.proved) >= 9*int(t.length) }

// same says whether t and o are one assignment, given twice.
func (t *set) same(o *set) bool {
	return t.epoch == o.epoch && t.length == o.length && subtle.ConstantTimeCompare(t.last[:], o.last[:]) == 1
}

// target is the set that the PNE is to be served from: the newest; nil where
// none is here yet.
func (r *record) target() *set {
	if r.next != nil {
		return r.next
	}
	return r.current
}

// set is the set of an epoch, nil where it is not here.
func (r *record) set(e cpns.Epoch) *set {
	for _, t := range []*set{r.next, r.current} {
		if t != nil && t.epoch == e {
			return t
		}
	}
	return nil
}

// withSet is the record once a checked response is in: the request is answered,
// and the new set waits beside the one that the PNE may still hold. A set of
// which nothing was ever proved is held by nobody and goes.
func (r *record) withSet(user cpns.UserID, t *set) *record {
	n := *r
	n.user, n.request = user, nil
	switch {
	case r.target() != nil && r.target().same(t): // the same answer again
	case r.current == nil || r.current.proved == 0:
		n.current, n.next = t, nil
	default:
		n.next = t
	}
	return &n
}

// withProof is the record once the PNE has proved a key of an epoch that is
// here. An index never goes back, and an older set goes with the newer's first
// proof.
func (r *record) withProof(e cpns.Epoch, i cpns.Index) *record {
	t := r.set(e)
	if i <= t.proved {
		return r
	}
	moved, n := *t, *r
	moved.proved, n.readmitted = i, false
	if t == r.next {
		n.current, n.next = &moved, nil
	} else {
		n.current = &moved
	}
	return &n
}

// The sealed value, as JSON: small, and open to fields that later versions add.
// A version that this code does not know is refused, never guessed at.
const recordVersion = 1

type wireRecord struct {
	Version int          `json:"v"`
	Entity  string       `json:"entity_id"`
	User    string       `json:"user"`
	Current *wireSet     `json:"current,omitempty"`
	Next    *wireSet     `json:"next,omitempty"`
	Request *wireRequest `json:"request,omitempty"`
	Alarm   *wireAlarm   `json:"alarm,omitempty"`

	Readmitted bool   `json:"readmitted,omitempty"`
	Remember   []byte `json:"remember,omitempty"`
	Stepped    int64  `json:"stepped,omitempty"`
}

type wireSet struct {
	Epoch  uint32 `json:"epoch"`
	Length uint16 `json:"n"`
	Proved uint16 `json:"proved"`
	Last   []byte `json:"last"`
	TK     []byte `json:"tk"`
	Taken  int64  `json:"taken"`
}

type wireRequest struct {
	User     string `json:"user"`
	Rand     []byte `json:"rand"`
	Time     uint64 `json:"time"`
	AuthData []byte `json:"auth"`
	Body     []byte `json:"body"`
}

type wireAlarm struct {
	Epoch  uint32 `json:"epoch"`
	Proved uint16 `json:"proved"`
	Shown  uint16 `json:"shown"`
}

func (r *record) marshal() ([]byte, error) {
	w := wireRecord{Version: recordVersion, Entity: string(r.entity), User: string(r.user), Current: r.current.wire(), Next: r.next.wire(), Readmitted: r.readmitted, Stepped: r.stepped}
	if r.remember != nil {
		w.Remember = r.remember[:]
	}
	if q := r.request; q != nil {
		w.Request = &wireRequest{string(q.user), q.rand[:], q.time, q.authData[:], q.body}
	}
	if a := r.alarm; a != nil {
		w.Alarm = &wireAlarm{uint32(a.epoch), uint16(a.proved), uint16(a.shown)}
	}
	return json.Marshal(&w)
}

func (t *set) wire() *wireSet {
	if t == nil {
		return nil
	}
	return &wireSet{uint32(t.epoch), uint16(t.length), uint16(t.proved), t.last[:], t.tk, t.taken}
}

var errRecord = errors.New("its contents make no sense; it may be of a newer version")

// parseRecord reads a record that the store has opened. name is what the store
// calls it: a record under another PNE's name is refused.
func parseRecord(name string, value []byte) (*record, error) {
	var w wireRecord
	if json.Unmarshal(value, &w) != nil || w.Version != recordVersion || w.Entity != name {
		return nil, errRecord // json's own error can quote the value, which holds keys
	}
	entity, err := cpns.ParseEntityID(w.Entity)
	if err != nil {
		return nil, errRecord
	}
	user, err := cpns.ParseUserID(w.User)
	if err != nil {
		return nil, errRecord
	}
	r := &record{entity: entity, user: user, readmitted: w.Readmitted, stepped: w.Stepped}
	switch len(w.Remember) {
	case 0:
	case len(r.remember):
		h := cpns.PasswordHash(w.Remember)
		r.remember = &h
	default:
		return nil, errRecord
	}
	if r.current, err = w.Current.parse(); err != nil {
		return nil, err
	}
	if r.next, err = w.Next.parse(); err != nil {
		return nil, err
	}
	if q := w.Request; q != nil {
		if len(q.Rand) != cpns.RandSize || len(q.AuthData) != 32 {
			return nil, errRecord
		}
		r.request = &request{user: cpns.UserID(q.User), rand: [cpns.RandSize]byte(q.Rand), time: q.Time, authData: [32]byte(q.AuthData), body: q.Body}
	}
	if a := w.Alarm; a != nil {
		r.alarm = &alarm{cpns.Epoch(a.Epoch), cpns.Index(a.Proved), cpns.Index(a.Shown)}
	}
	if r.target() == nil && r.request == nil {
		return nil, fmt.Errorf("%w: neither a set nor a request is in it", errRecord)
	}
	return r, nil
}

func (w *wireSet) parse() (*set, error) {
	if w == nil {
		return nil, nil
	}
	tk, err := cpns.ParseTK(w.TK)
	if err != nil || len(w.Last) != cpns.EUKeySize || w.Epoch == 0 ||
		w.Length < cpns.MinSetLength || w.Length > cpns.MaxSetLength || w.Proved > w.Length {
		return nil, errRecord
	}
	return &set{cpns.Epoch(w.Epoch), cpns.Index(w.Length), cpns.Index(w.Proved), cpns.EUKey(w.Last), tk, w.Taken}, nil
}

// wipe overwrites the keys. Copies that the runtime or the stack made are
// beyond reach.
func (r *record) wipe() {
	for _, t := range []*set{r.current, r.next} {
		if t != nil {
			clear(t.last[:])
			clear(t.tk)
		}
	}
	if r.remember != nil {
		clear(r.remember[:])
	}
}
