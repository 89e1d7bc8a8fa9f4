package step0

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"cpns.example.net/pngw/cpns"
)

// Store keeps sealed records by name: agent.Store has it.
type Store interface {
	Put(name string, value []byte) error
	Get(name string) ([]byte, error) // fs.ErrNotExist where there is none
}

// recordName is the one record; no Entity ID has a space.
const recordName = "this gateway"

// Enrolment is what a gateway knows once a server has taken it in. Nothing in it is
// secret; that nobody changes it is what matters.
type Enrolment struct {
	Gateway cpns.GatewayID
	Server  string // host:port
	CA      string // PEM
	Pins    []cpns.Pin
}

// record is all that is kept.
type record struct {
	keys     keyPair
	enrolled *Enrolment
	pending  *cpns.EnrolmentCode // asked for, not decided
	refused  string              // why the code before was refused; "" where it was not
}

// recordJSON is a record as it is stored.
type recordJSON struct {
	Key     []byte         `json:"key"`
	Gateway cpns.GatewayID `json:"gateway_id,omitempty"`
	Server  string         `json:"server,omitempty"`
	CA      string         `json:"ca,omitempty"`
	Pins    []string       `json:"pins,omitempty"`
	Pending string         `json:"pending,omitempty"` // the code
	Refused string         `json:"refused,omitempty"`
}

// load reads the record; nil where there is none yet.
func load(s Store) (*record, error) {
	value, err := s.Get(recordName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the enrolment: %w", err)
	}
	defer clear(value)
	r, err := parseRecord(value)
	if err != nil {
		return nil, fmt.Errorf("reading the enrolment: %w", err)
	}
	return r, nil
}

func parseRecord(value []byte) (*record, error) {
	var in recordJSON
	if json.Unmarshal(value, &in) != nil {
		return nil, errors.New("the record is not of this program") // the decoder would quote it
	}
	r := &record{keys: in.Key, refused: in.Refused}
	if _, _, err := r.keys.parse(); err != nil {
		return nil, err
	}
	if in.Gateway != "" {
		pins, err := parsePins(in.Pins)
		if err != nil {
			return nil, err
		}
		r.enrolled = &Enrolment{in.Gateway, in.Server, in.CA, pins}
	}
	if in.Pending != "" {
		var err error
		if r.pending, err = cpns.ParseEnrolmentCode(in.Pending); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *record) save(s Store) error {
	out := recordJSON{Key: r.keys, Refused: r.refused}
	if e := r.enrolled; e != nil {
		out.Gateway, out.Server, out.CA = e.Gateway, e.Server, e.CA
		for _, pin := range e.Pins {
			out.Pins = append(out.Pins, cpns.Base64.EncodeToString(pin[:]))
		}
	}
	if r.pending != nil {
		var err error
		if out.Pending, err = r.pending.Text(); err != nil {
			return err
		}
	}
	value, err := json.Marshal(out)
	if err != nil {
		return err
	}
	defer clear(value)
	if err := s.Put(recordName, value); err != nil {
		return fmt.Errorf("keeping the enrolment: %w", err)
	}
	return nil
}

const maxPins = 32

func parsePins(texts []string) ([]cpns.Pin, error) {
	if len(texts) == 0 || len(texts) > maxPins {
		return nil, fmt.Errorf("%d pins, want 1 to %d", len(texts), maxPins)
	}
	var pins []cpns.Pin
	for _, text := range texts {
		b, err := cpns.Base64.DecodeString(text)
		if err != nil || len(b) != len(cpns.Pin{}) {
			return nil, errors.New("a pin is not the base64url of 16 bytes")
		}
		pins = append(pins, cpns.Pin(b))
	}
	return pins, nil
}

// Look reads what a store has of an enrolment, nil where the gateway is not enrolled.
func Look(s Store) (*Enrolment, error) {
	r, err := load(s)
	if err != nil || r == nil {
		return nil, err
	}
	return r.enrolled, nil
}
