package gba

import (
	"context"
	"errors"
	"fmt"
)

// apduChannel carries commands to a SIM: APDUs with CLA's channel bits zero; who
// implements it puts them in where they belong. A response ends with its two
// status bytes.
type apduChannel interface {
	transmit(ctx context.Context, apdu []byte) ([]byte, error)
}

// usimAID is the beginning of every USIM's application identifier (TS 31.110).
var usimAID = []byte{0xa0, 0x00, 0x00, 0x00, 0x87, 0x10, 0x02}

// command sends an APDU and fetches what there is to it: 61xx says how much
// waits, 6Cxx how much was to be asked for (ISO/IEC 7816-4).
func command(ctx context.Context, c apduChannel, apdu []byte) (data []byte, status uint16, err error) {
	for range 4 {
		response, err := c.transmit(ctx, apdu)
		if err != nil {
			return nil, 0, err
		}
		if len(response) < 2 || len(response) > 258 {
			return nil, 0, fmt.Errorf("the SIM's response has %d bytes", len(response))
		}
		data, sw1, sw2 := response[:len(response)-2], response[len(response)-2], response[len(response)-1]
		switch sw1 {
		case 0x61, 0x9f:
			apdu = []byte{0x00, 0xc0, 0x00, 0x00, sw2}
		case 0x6c:
			apdu = append(append([]byte{}, apdu[:min(4, len(apdu))]...), sw2)
		default:
			return data, uint16(sw1)<<8 | uint16(sw2), nil
		}
	}
	return nil, 0, errors.New("the SIM announces a response again and again")
}

// swError is a status of the SIM that is not success.
type swError uint16

func (e swError) Error() string {
	switch e {
	case 0x6982, 0x9804:
		return "the SIM wants its PIN first (status " + e.hex() + ")"
	case 0x6983, 0x9840:
		return "the SIM's PIN is blocked (status " + e.hex() + ")"
	case 0x6a82, 0x6a88:
		return "the SIM has no such application or file (status " + e.hex() + "): is it a USIM?"
	case 0x6985:
		return "the SIM's conditions of use are not met (status 6985)"
	case 0x9864, 0x9865:
		return "the SIM does not authenticate in this way (status " + e.hex() + ")"
	}
	return "the SIM answers with status " + e.hex()
}

func (e swError) hex() string { return fmt.Sprintf("%04X", uint16(e)) }

const swOK, swMAC = 0x9000, 0x9862

// authenticate is AUTHENTICATE in the 3G security context (TS 31.102, 7.1.2).
func authenticate(ctx context.Context, c apduChannel, rand, autn [16]byte) (*Vector, error) {
	apdu := append([]byte{0x00, 0x88, 0x00, 0x81, 0x22, 0x10}, rand[:]...)
	apdu = append(append(apdu, 0x10), autn[:]...)
	data, status, err := command(ctx, c, apdu)
	defer clear(data)
	switch {
	case err != nil:
		return nil, err
	case status == swMAC:
		return nil, ErrMAC
	case status != swOK:
		return nil, swError(status)
	}
	return parseAuthenticate(data)
}

// parseAuthenticate takes 'DB' RES CK IK, with what may follow (Kc), or 'DC' AUTS.
func parseAuthenticate(data []byte) (*Vector, error) {
	if len(data) == 0 {
		return nil, errors.New("the SIM's answer is empty")
	}
	rest := data[1:]
	next := func() []byte {
		if len(rest) == 0 || int(rest[0]) > len(rest)-1 {
			rest = nil
			return nil
		}
		field := rest[1 : 1+rest[0]]
		rest = rest[1+len(field):]
		return field
	}
	switch data[0] {
	case 0xdb:
		res, ck, ik := next(), next(), next()
		if len(ck) != 16 || len(ik) != 16 {
			return nil, errors.New("the SIM's answer has no CK or IK of 16 bytes")
		}
		v := &Vector{RES: append([]byte{}, res...), CK: [16]byte(ck), IK: [16]byte(ik)}
		if err := v.check(); err != nil {
			v.Wipe()
			return nil, err
		}
		return v, nil
	case 0xdc:
		auts := next()
		if len(auts) != 14 {
			return nil, fmt.Errorf("the SIM's AUTS has %d bytes, must be 14", len(auts))
		}
		return nil, &SyncError{[14]byte(auts)}
	}
	return nil, fmt.Errorf("the SIM's answer begins with %02X, must be DB or DC", data[0])
}

// mncLength reads EF_AD (TS 31.102, 4.2.18), whose fourth byte says how many
// digits the network code has; 0 where the SIM does not say.
func mncLength(ctx context.Context, c apduChannel) (int, error) {
	if _, status, err := command(ctx, c, []byte{0x00, 0xa4, 0x00, 0x0c, 0x02, 0x6f, 0xad}); err != nil || status != swOK {
		return 0, err
	}
	data, status, err := command(ctx, c, []byte{0x00, 0xb0, 0x00, 0x00, 0x00})
	if err != nil || status != swOK || len(data) < 4 {
		return 0, err
	}
	return int(data[3] & 0x0f), nil
}
