package cpns

import (
	"errors"
	"fmt"
	"slices"
)

// The secrets of the protocol. Each formats, logs and marshals to nothing (see
// redact.go); code that needs the bytes slices or converts the value.
type (
	// EUKey is an Entity User Key, one element of a hash chain: 32 bytes.
	EUKey [EUKeySize]byte
	// PasswordHash is Hash(Password): 32 bytes. Who holds it can pass for the
	// user, so it is as secret as the password.
	PasswordHash [32]byte
	// SessionKey is what PNE and PN GW share after a mutual authentication: 32 bytes.
	SessionKey [32]byte
	// ApplicationKey is what an application gets of a session key: 32 bytes.
	ApplicationKey [32]byte
	// TK is a PNE's Temporary Key: 16 to 64 bytes.
	TK []byte
	// PSK1 is the key that CPNS Server and PN GW share: 16 to 64 bytes.
	PSK1 []byte
)

// ParseTK checks the size of a Temporary Key and returns a copy of it.
func ParseTK(b []byte) (TK, error) { return checked(TK(slices.Clone(b))) }

// ParsePSK1 checks the size of a PSK1 and returns a copy of it.
func ParsePSK1(b []byte) (PSK1, error) { return checked(PSK1(slices.Clone(b))) }

func (k TK) check() error   { return checkKeySize("TK", len(k), MinTKSize, MaxTKSize) }
func (k PSK1) check() error { return checkKeySize("PSK1", len(k), MinPSK1Size, MaxPSK1Size) }

func checkKeySize(what string, size, least, most int) error {
	if size < least || size > most {
		return fmt.Errorf("%s: %d bytes, must be %d to %d", what, size, least, most)
	}
	return nil
}

type (
	// Epoch counts the assignments of one PNE, from 1; 0 stands for none.
	Epoch uint32
	// Index says which EUKey of the set is in use, from 1 to 1024, and only
	// grows within an epoch; 0 stands for none.
	Index uint16
)

func checkEpochIndex(epoch Epoch, index Index) error {
	if epoch == 0 {
		return errors.New("epoch 0, must be at least 1")
	}
	if index == 0 || index > MaxSetLength {
		return fmt.Errorf("index %d, must be 1 to %d", index, MaxSetLength)
	}
	return nil
}
