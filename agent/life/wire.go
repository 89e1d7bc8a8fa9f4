package life

import (
	"encoding/json"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

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
	Advanced   int64  `json:"advanced,omitempty"`
	Highest    uint32 `json:"highest,omitempty"`
}

type wireSet struct {
	Gateway string `json:"g"`
	Epoch   uint32 `json:"epoch"`
	Length  uint16 `json:"n"`
	Proved  uint16 `json:"proved"`
	X25519  bool   `json:"x25519,omitempty"`
	Last    []byte `json:"last"`
	TK      []byte `json:"tk"`
	Taken   int64  `json:"taken"`
}

type wireRequest struct {
	User     string `json:"user"`
	Rand     []byte `json:"rand"`
	Time     uint64 `json:"time"`
	AuthData []byte `json:"auth"`
	Body     []byte `json:"body"`
	Made     int64  `json:"made"`
}

type wireAlarm struct {
	Epoch  uint32 `json:"epoch"`
	Proved uint16 `json:"proved"`
	Shown  uint16 `json:"shown"`
}

// Marshal is the PNE's record, sealed by the store as it is: it holds keys.
func (p PNE) Marshal() ([]byte, error) {
	r := p.rec
	w := wireRecord{Version: recordVersion, Entity: string(r.entity), User: string(r.user), Current: r.current.wire(), Next: r.next.wire(), Readmitted: r.readmitted, Advanced: r.advanced, Highest: uint32(r.highest)}
	if r.remember != nil {
		w.Remember = r.remember[:]
	}
	if q := r.request; q != nil {
		w.Request = &wireRequest{string(q.User), q.Rand[:], q.Time, q.AuthData[:], q.Body, q.Made}
	}
	if a := r.alarm; a != nil {
		w.Alarm = &wireAlarm{uint32(a.epoch), uint16(a.proved), uint16(a.shown)}
	}
	return json.Marshal(&w)
}

func (t *Set) wire() *wireSet {
	if t == nil {
		return nil
	}
	return &wireSet{string(t.Gateway), uint32(t.Epoch), uint16(t.Length), uint16(t.Proved), t.X25519, t.Last[:], t.TK, t.Taken}
}

var errRecord = errors.New("its contents make no sense; it may be of a newer version")

// Parse reads a record that the store has opened. name is what the store calls
// it: a record under another PNE's name is refused.
func Parse(name string, value []byte) (PNE, error) {
	r, err := parseRecord(name, value)
	return PNE{rec: r}, err
}

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
	r := &record{entity: entity, user: user, readmitted: w.Readmitted, advanced: w.Advanced, highest: cpns.Epoch(w.Highest)}
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
		r.request = &Request{User: cpns.UserID(q.User), Rand: [cpns.RandSize]byte(q.Rand), Time: q.Time, AuthData: [32]byte(q.AuthData), Body: q.Body, Made: q.Made}
	}
	if a := w.Alarm; a != nil {
		r.alarm = &alarm{cpns.Epoch(a.Epoch), cpns.Index(a.Proved), cpns.Index(a.Shown)}
	}
	if r.target() == nil && r.request == nil {
		return nil, fmt.Errorf("%w: neither a set nor a request is in it", errRecord)
	}
	return r, nil
}

func (w *wireSet) parse() (*Set, error) {
	if w == nil {
		return nil, nil
	}
	tk, tkErr := cpns.ParseTK(w.TK)
	g, err := cpns.ParseGatewayID(w.Gateway)
	if tkErr != nil || err != nil || len(w.Last) != cpns.EUKeySize || w.Epoch == 0 ||
		w.Length < cpns.MinSetLength || w.Length > cpns.MaxSetLength || w.Proved > w.Length {
		return nil, errRecord
	}
	return &Set{g, cpns.Epoch(w.Epoch), cpns.Index(w.Length), cpns.Index(w.Proved), w.X25519, cpns.EUKey(w.Last), tk, w.Taken}, nil
}
