package pne

import (
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// State is what a device holds beside its TK: one EUKey, and where it stands.
// The zero State holds none. Nor does one with an epoch and nothing else: it is that
// of a device that has lost its EUKey, and kept the four bytes of the highest epoch
// that it ever took.
type State struct {
	Gateway cpns.GatewayID // whose notification brought it
	Epoch   cpns.Epoch     // the highest that was ever taken, which is that of the EUKey held
	Index   cpns.Index     // 0: no EUKey is held
	EUKey   cpns.EUKey
}

// Storage keeps a device's State.
type Storage interface {
	// Load returns the State that was saved last, or as much of it as there is a
	// place for: all, the epoch, or nothing. It returns the zero State where none
	// ever was. An error means that one was saved and cannot be read.
	Load() (State, error)

	// Save replaces the State. It must be durable once Save returns nil: the
	// device acknowledges the EUKey next, and the gateway counts on it. A power
	// cut in the middle, or an error, must leave the State before or the new
	// one whole, nothing between. Save does not keep s, whose key is wiped.
	Save(s *State) error
}

// Volatile is the Storage of a device that keeps only its TK through a power
// cut. It holds nothing after one, says so in its hello, and is given the next
// EUKey of the set.
type Volatile struct{}

// Load returns the zero State.
func (Volatile) Load() (State, error) { return State{}, nil }

// Save does nothing: the device itself remembers.
func (Volatile) Save(*State) error { return nil }

// holds tells whether there is an EUKey.
func (s *State) holds() bool { return s.Index != 0 }

// check refuses a State that no device can have come to.
func (s *State) check() error {
	if !s.holds() {
		if s.Gateway != "" || s.EUKey != (cpns.EUKey{}) {
			return errors.New("an index of 0, but a gateway or an EUKey beside it")
		}
		return nil
	}
	if s.Epoch == 0 {
		return errors.New("an index without an epoch")
	}
	if s.Index > cpns.MaxSetLength {
		return fmt.Errorf("index %d is not 1 to %d", s.Index, cpns.MaxSetLength)
	}
	_, err := cpns.ParseGatewayID(string(s.Gateway))
	return err
}
