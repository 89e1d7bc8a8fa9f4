package life

import (
	"bytes"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/cbor"
)

// The sealed value. A record is written at every step of a PNE, to flash that wears
// by bytes, so it is CBOR, in arrays, and does not repeat the name, under which the
// store seals it:
//
//	record  = [version: 2, user: tstr, current: set / null, next: set / null, request / null, alarm / null,
//	           readmitted: bool, remember: bstr .size 32 / null, advanced: int, highest: uint, ? held: true]
//	set     = [gateway-id: tstr, epoch: uint, length: uint, proved: uint, x25519: bool, last: bstr .size 32, tk: bstr, taken: int]
//	request = [user: tstr, rand: bstr .size 32, time: uint, auth-data: bstr .size 32, body: bstr, made: int]
//	alarm   = [epoch: uint, proved: uint, shown: uint]
//
// A version that this code does not know is refused, never guessed at.
const (
	recordVersion = 2
	recordItems   = 10 // and one more in a record that is held
)

// Marshal is the PNE's record, sealed by the store as it is: it holds keys.
func (p PNE) Marshal() ([]byte, error) {
	return p.rec.marshal(), nil
}

func (r *record) marshal() []byte {
	w := make(cbor.Writer, 0, 256)
	n := recordItems
	if r.held {
		n++
	}
	w.Array(n)
	w.Uint(recordVersion)
	w.Text(string(r.user))
	r.current.marshal(&w)
	r.next.marshal(&w)
	if q := r.request; q != nil {
		w.Array(6)
		w.Text(string(q.User))
		w.Bytes(q.Rand[:])
		w.Uint(q.Time)
		w.Bytes(q.AuthData[:])
		w.Bytes(q.Body)
		w.Int(q.Made)
	} else {
		w.Null()
	}
	if a := r.alarm; a != nil {
		w.Array(3)
		w.Uint(uint64(a.epoch))
		w.Uint(uint64(a.proved))
		w.Uint(uint64(a.shown))
	} else {
		w.Null()
	}
	w.Bool(r.readmitted)
	if r.remember != nil {
		w.Bytes(r.remember[:])
	} else {
		w.Null()
	}
	w.Int(r.advanced)
	w.Uint(uint64(r.highest))
	if r.held {
		w.Bool(true)
	}
	return w
}

func (t *Set) marshal(w *cbor.Writer) {
	if t == nil {
		w.Null()
		return
	}
	w.Array(8)
	w.Text(string(t.Gateway))
	w.Uint(uint64(t.Epoch))
	w.Uint(uint64(t.Length))
	w.Uint(uint64(t.Proved))
	w.Bool(t.X25519)
	w.Bytes(t.Last[:])
	w.Bytes(t.TK)
	w.Int(t.Taken)
}

var errRecord = errors.New("its contents make no sense; it may be of a newer version")

// Parse reads a record that the store has opened. name is what the store calls it:
// the store seals that with the record, which does not repeat it.
func Parse(name string, value []byte) (PNE, error) {
	r, err := parseRecord(name, value)
	if err != nil {
		return PNE{}, err
	}
	return begin(r), nil
}

func parseRecord(name string, value []byte) (*record, error) {
	entity, err := cpns.ParseEntityID(name)
	if err != nil {
		return nil, errRecord
	}
	in := cbor.NewReader(value)
	n := in.ArrayLen(recordItems + 1)
	if in.Uint(1<<64-1) != recordVersion {
		return nil, errRecord
	}
	r := &record{entity: entity}
	r.user = parsed(in, cpns.ParseUserID)
	r.current = readSet(in)
	r.next = readSet(in)
	if !in.Null() {
		q := &Request{}
		in.Array(6)
		q.User = parsed(in, cpns.ParseUserID)
		in.Fill(q.Rand[:])
		q.Time = in.Uint(1<<64 - 1)
		in.Fill(q.AuthData[:])
		q.Body = bytes.Clone(in.Bytes())
		q.Made = in.Int()
		r.request = q
	}
	if !in.Null() {
		in.Array(3)
		r.alarm = &alarm{readEpoch(in), readIndex(in), readIndex(in)}
	}
	r.readmitted = in.Bool()
	if !in.Null() {
		r.remember = new(cpns.PasswordHash)
		in.Fill(r.remember[:])
	}
	r.advanced = in.Int()
	r.highest = readEpoch(in)
	r.held = n == recordItems+1 && in.Bool()
	if in.End() != nil {
		return nil, errRecord
	}
	again := r.marshal()
	defer clear(again)
	if !bytes.Equal(again, value) {
		return nil, errRecord // not in the shortest form
	}
	if r.target() == nil && r.request == nil {
		return nil, fmt.Errorf("%w: neither a set nor a request is in it", errRecord)
	}
	return r, nil
}

func readSet(in *cbor.Reader) *Set {
	if in.Null() {
		return nil
	}
	in.Array(8)
	t := &Set{Gateway: parsed(in, cpns.ParseGatewayID), Epoch: readEpoch(in), Length: readIndex(in), Proved: readIndex(in), X25519: in.Bool()}
	in.Fill(t.Last[:])
	tk, err := cpns.ParseTK(in.Bytes())
	t.TK, t.Taken = tk, in.Int()
	if err != nil || t.Epoch == 0 || t.Length < cpns.MinSetLength || t.Length > cpns.MaxSetLength || t.Proved > t.Length {
		in.Fail(errRecord)
	}
	return t
}

func readEpoch(in *cbor.Reader) cpns.Epoch { return cpns.Epoch(in.Uint(1<<32 - 1)) }

func readIndex(in *cbor.Reader) cpns.Index { return cpns.Index(in.Uint(1<<16 - 1)) }

// parsed reads an ID.
func parsed[ID any](in *cbor.Reader, parse func(string) (ID, error)) ID {
	id, err := parse(in.Text())
	if err != nil {
		in.Fail(errRecord)
	}
	return id
}
