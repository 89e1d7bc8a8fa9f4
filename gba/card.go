package gba

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// Card is a SIM.
type Card interface {
	// Subscriber says whose SIM it is.
	Subscriber(ctx context.Context) (Subscriber, error)
	// Authenticate has the SIM check a challenge and answer it. The error is
	// ErrMAC where the challenge is not the operator's, and *SyncError where the
	// SIM has seen a later one.
	Authenticate(ctx context.Context, rand, autn [16]byte) (*Vector, error)
}

// Vector is a SIM's answer to a challenge.
type Vector struct {
	RES    []byte // 4 to 16 bytes
	CK, IK [16]byte
}

func (v *Vector) check() error {
	if len(v.RES) < 4 || len(v.RES) > 16 {
		return fmt.Errorf("the SIM's RES has %d bytes, must be 4 to 16", len(v.RES))
	}
	return nil
}

// Wipe overwrites the vector.
func (v *Vector) Wipe() {
	clear(v.RES)
	clear(v.CK[:])
	clear(v.IK[:])
}

// Format keeps the vector out of logs and errors.
func (*Vector) Format(s fmt.State, _ rune) { fmt.Fprint(s, "[redacted]") }

// ErrMAC says that the challenge was not made by the operator of the SIM: somebody
// else answered, or the operator's records of this SIM are wrong.
var ErrMAC = errors.New("the SIM does not know the network's challenge (MAC failure): is this the operator's BSF?")

// ErrNoCard says that there is no SIM where one is asked.
var ErrNoCard = errors.New("there is no SIM")

// SyncError says that the SIM has seen a later challenge than this; AUTS tells the
// network which.
type SyncError struct{ AUTS [14]byte }

func (*SyncError) Error() string {
	return "the SIM has seen a later challenge (synchronisation failure)"
}

// Subscriber is what a SIM says of itself.
type Subscriber struct {
	IMSI      string // 6 to 15 digits
	MNCLength int    // digits of the mobile network code: 2 or 3, 0 where the SIM does not say
}

// checkIMSI is for every SIM, also where it is not asked for IMPI and BSF: by the IMSI
// alone it is seen that there is another.
func (s Subscriber) checkIMSI() error {
	if len(s.IMSI) < 6 || len(s.IMSI) > 15 || strings.Trim(s.IMSI, "0123456789") != "" {
		return errors.New("the SIM's IMSI is not 6 to 15 digits")
	}
	return nil
}

func (s Subscriber) check() error {
	if err := s.checkIMSI(); err != nil {
		return err
	}
	if s.MNCLength != 2 && s.MNCLength != 3 {
		return fmt.Errorf("the SIM says that its network code has %d digits: configure IMPI and BSF", s.MNCLength)
	}
	return nil
}

func (s Subscriber) network() string {
	mnc := s.IMSI[3 : 3+s.MNCLength]
	if len(mnc) == 2 {
		mnc = "0" + mnc
	}
	return "mnc" + mnc + ".mcc" + s.IMSI[:3]
}

// IMPI is the private identity that follows from the IMSI (TS 23.003, 13.3).
func (s Subscriber) IMPI() string {
	return s.IMSI + "@ims." + s.network() + ".3gppnetwork.org"
}

// BSF is the host name of the operator's BSF that follows from it (TS 23.003, 16.2).
func (s Subscriber) BSF() string { return "bsf." + s.network() + ".pub.3gppnetwork.org" }
