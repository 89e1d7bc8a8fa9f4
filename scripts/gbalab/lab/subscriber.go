// Package lab is a small 3GPP operator for labs and tests: a BSF that answers on
// Ub and on Zn (Nbsp_GBA), and a modem with a soft SIM. It shares no code with
// package gba. Its keys lie in a file: it protects nothing.
package lab

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/wmnsk/milenage"
)

// Subscriber is a SIM and the operator's record of it.
type Subscriber struct {
	IMSI string
	IMPI string
	K    []byte // 16 bytes
	OPc  []byte // 16 bytes
	AMF  uint16

	mu     sync.Mutex
	sqn    uint64 // the operator's: of the last challenge
	simSQN uint64 // the SIM's: the highest that it accepted
}

type subscriberFile struct {
	IMSI string `json:"imsi"`
	IMPI string `json:"impi"`
	K    string `json:"k"`
	OPc  string `json:"opc"`
	AMF  string `json:"amf"`
	SQN  uint64 `json:"sqn"`
}

// LoadSubscribers reads a JSON file: an array of {imsi, impi, k, opc, amf, sqn}, with
// k, opc and amf in hex.
func LoadSubscribers(path string) ([]*Subscriber, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var list []subscriberFile
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%s: something follows the list", path)
	}
	var subscribers []*Subscriber
	for _, f := range list {
		k, err1 := hex.DecodeString(f.K)
		opc, err2 := hex.DecodeString(f.OPc)
		amf, err3 := hex.DecodeString(f.AMF)
		if err := errors.Join(err1, err2, err3); err != nil || len(k) != 16 || len(opc) != 16 || len(amf) != 2 {
			return nil, fmt.Errorf("%s: subscriber %q: k and opc have 16 bytes, amf 2, in hex", path, f.IMSI)
		}
		s := &Subscriber{IMSI: f.IMSI, IMPI: f.IMPI, K: k, OPc: opc, AMF: uint16(amf[0])<<8 | uint16(amf[1]), sqn: f.SQN, simSQN: f.SQN}
		subscribers = append(subscribers, s)
	}
	return subscribers, nil
}

// vector is a challenge and what its answer must be.
type vector struct{ rand, autn, res, ck, ik []byte }

// sqnStep is between two challenges: the low bits are an index (TS 33.102 annex C).
const sqnStep = 32

// challenge makes the operator's next challenge.
func (s *Subscriber) challenge(rand []byte) (*vector, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sqn += sqnStep
	return s.vector(rand, s.sqn, s.AMF)
}

func (s *Subscriber) vector(rand []byte, sqn uint64, amf uint16) (*vector, error) {
	m := milenage.NewWithOPc(s.K, s.OPc, rand, sqn, amf)
	if err := m.ComputeAll(); err != nil {
		return nil, err
	}
	autn, err := m.GenerateAUTN()
	if err != nil {
		return nil, err
	}
	return &vector{rand, autn, m.RES, m.CK, m.IK}, nil
}

// resynchronise takes the SIM's AUTS for a challenge, and goes on from what the SIM
// has seen.
func (s *Subscriber) resynchronise(rand, auts []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(auts) != 14 {
		return errors.New("AUTS is not 14 bytes")
	}
	m := milenage.NewWithOPc(s.K, s.OPc, rand, 0, 0)
	aks, err := m.F5Star()
	if err != nil {
		return err
	}
	var sqn uint64
	for i := range 6 {
		sqn = sqn<<8 | uint64(auts[i]^aks[i])
	}
	want, err := milenage.NewWithOPc(s.K, s.OPc, rand, sqn, 0).GenerateAUTS()
	if err != nil {
		return err
	}
	if !bytes.Equal(want, auts) {
		return errors.New("AUTS is not this SIM's")
	}
	s.sqn = sqn
	return nil
}

// What a SIM says to a challenge.
var (
	errMAC  = errors.New("MAC failure")
	errSync = errors.New("synchronisation failure")
)

// authenticate is the SIM's side. With errSync comes AUTS in res.
func (s *Subscriber) authenticate(rand, autn []byte) (res, ck, ik []byte, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	m := milenage.NewWithOPc(s.K, s.OPc, rand, 0, 0)
	res, ck, ik, ak, err := m.F2345()
	if err != nil {
		return nil, nil, nil, err
	}
	var sqn uint64
	for i := range 6 {
		sqn = sqn<<8 | uint64(autn[i]^ak[i])
	}
	amf := uint16(autn[6])<<8 | uint16(autn[7])
	want, err := s.vector(rand, sqn, amf)
	if err != nil {
		return nil, nil, nil, err
	}
	if !bytes.Equal(want.autn, autn) {
		return nil, nil, nil, errMAC
	}
	if sqn <= s.simSQN {
		auts, err := milenage.NewWithOPc(s.K, s.OPc, rand, s.simSQN, 0).GenerateAUTS()
		if err != nil {
			return nil, nil, nil, err
		}
		return auts, nil, nil, errSync
	}
	s.simSQN = sqn
	return res, ck, ik, nil
}

// Advance moves the SIM ahead of the operator, as a SIM is that was used elsewhere.
func (s *Subscriber) Advance() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.simSQN = s.sqn + 100*sqnStep
}
