package life

import (
	"bytes"
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// The sealed value. A record is written at every step of a PNE, to flash that wears
// by bytes, so it is CBOR, in arrays, and does not repeat the name, under which the
// store seals it:
//
//	record  = [version: 2, user: tstr, current: set / null, next: set / null, request / null, alarm / null,
//	           readmitted: bool, remember: bstr .size 32 / null, advanced: int, highest: uint]
//	set     = [gateway-id: tstr, epoch: uint, length: uint, proved: uint, x25519: bool, last: bstr .size 32, tk: bstr, taken: int]
//	request = [user: tstr, rand: bstr .size 32, time: uint, auth-data: bstr .size 32, body: bstr, made: int]
//	alarm   = [epoch: uint, proved: uint, shown: uint]
//
// A version that this code does not know is refused, never guessed at.
const recordVersion = 2

// Marshal is the PNE's record, sealed by the store as it is: it holds keys.
func (p PNE) Marshal() ([]byte, error) {
	return p.rec.marshal(), nil
}

func (r *record) marshal() []byte {
	w := make(cborWriter, 0, 256)
	w.array(10)
	w.uint(recordVersion)
	w.text(string(r.user))
	r.current.marshal(&w)
	r.next.marshal(&w)
	if q := r.request; q != nil {
		w.array(6)
		w.text(string(q.User))
		w.bytes(q.Rand[:])
		w.uint(q.Time)
		w.bytes(q.AuthData[:])
		w.bytes(q.Body)
		w.int(q.Made)
	} else {
		w.null()
	}
	if a := r.alarm; a != nil {
		w.array(3)
		w.uint(uint64(a.epoch))
		w.uint(uint64(a.proved))
		w.uint(uint64(a.shown))
	} else {
		w.null()
	}
	w.bool(r.readmitted)
	if r.remember != nil {
		w.bytes(r.remember[:])
	} else {
		w.null()
	}
	w.int(r.advanced)
	w.uint(uint64(r.highest))
	return w
}

func (t *Set) marshal(w *cborWriter) {
	if t == nil {
		w.null()
		return
	}
	w.array(8)
	w.text(string(t.Gateway))
	w.uint(uint64(t.Epoch))
	w.uint(uint64(t.Length))
	w.uint(uint64(t.Proved))
	w.bool(t.X25519)
	w.bytes(t.Last[:])
	w.bytes(t.TK)
	w.int(t.Taken)
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
	in := cborReader{rest: value}
	in.array(10)
	if in.uint(1<<64-1) != recordVersion {
		return nil, errRecord
	}
	r := &record{entity: entity}
	r.user = parsed(&in, cpns.ParseUserID)
	r.current = readSet(&in)
	r.next = readSet(&in)
	if !in.null() {
		q := &Request{}
		in.array(6)
		q.User = parsed(&in, cpns.ParseUserID)
		in.fill(q.Rand[:])
		q.Time = in.uint(1<<64 - 1)
		in.fill(q.AuthData[:])
		q.Body = bytes.Clone(in.bytes())
		q.Made = in.int()
		r.request = q
	}
	if !in.null() {
		in.array(3)
		r.alarm = &alarm{readEpoch(&in), readIndex(&in), readIndex(&in)}
	}
	r.readmitted = in.bool()
	if !in.null() {
		r.remember = new(cpns.PasswordHash)
		in.fill(r.remember[:])
	}
	r.advanced = in.int()
	r.highest = readEpoch(&in)
	if in.err != nil || len(in.rest) > 0 {
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

func readSet(in *cborReader) *Set {
	if in.null() {
		return nil
	}
	in.array(8)
	t := &Set{Gateway: parsed(in, cpns.ParseGatewayID), Epoch: readEpoch(in), Length: readIndex(in), Proved: readIndex(in), X25519: in.bool()}
	in.fill(t.Last[:])
	tk, err := cpns.ParseTK(in.bytes())
	t.TK, t.Taken = tk, in.int()
	if err != nil || t.Epoch == 0 || t.Length < cpns.MinSetLength || t.Length > cpns.MaxSetLength || t.Proved > t.Length {
		in.fail()
	}
	return t
}

func readEpoch(in *cborReader) cpns.Epoch { return cpns.Epoch(in.uint(1<<32 - 1)) }

func readIndex(in *cborReader) cpns.Index { return cpns.Index(in.uint(1<<16 - 1)) }

// parsed reads an ID.
func parsed[ID any](in *cborReader, parse func(string) (ID, error)) ID {
	id, err := parse(in.text())
	if err != nil {
		in.fail()
	}
	return id
}
