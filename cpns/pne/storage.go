package pne

import (
	"errors"
	"fmt"

	"cpns.example.net/pngw/cpns"
)

// State is what a device holds beside its TK: one EUKey, and where it stands.
// The zero State holds none.
type State struct {
	Gateway cpns.GatewayID // whose notification brought it
	Epoch   cpns.Epoch
	Index   cpns.Index
	EUKey   cpns.EUKey
}

// Storage keeps a device's State.
type Storage interface {
	// Load returns the State that was saved last, the zero State where none
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

// check refuses a State that no device can have come to.
func (s *State) check() error {
	if !s.holds() {
		if s.Index != 0 || s.Gateway != "" {
			return errors.New("an epoch of 0, but more beside it")
		}
		return nil
	}
	if s.Index < 1 || s.Index > cpns.MaxSetLength {
		return fmt.Errorf("index %d is not 1 to %d", s.Index, cpns.MaxSetLength)
	}
	_, err := cpns.ParseGatewayID(string(s.Gateway))
	return err
}

// holds tells whether there is an EUKey.
func (s *State) holds() bool { return s.Epoch != 0 }

// below tells whether an EUKey of that epoch and index is newer than the one
// held: an epoch above, the same epoch and a higher index, or any where none
// is held.
func (s *State) below(epoch cpns.Epoch, index cpns.Index) bool {
	return epoch > s.Epoch || epoch == s.Epoch && index > s.Index
}

func (s *State) notBelow() error {
	return fmt.Errorf("epoch %d index %d is held, not below the one offered", s.Epoch, s.Index)
}

func (s *State) notPreceding() error {
	return fmt.Errorf("the EUKey offered does not follow the one held, epoch %d index %d", s.Epoch, s.Index)
}
