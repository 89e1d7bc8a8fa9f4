package cpns

import (
	"cmp"
	"fmt"
)

// EUKeyAssignmentRequest, PN GW -> CPNS Server (CR "EUKey Assignment"
// 7.4.2.1.1.1 step 4; RAND_PNGW is in it as CR 2011-0010R01 has it, for the
// server could not verify without).
//
//	eukey-assignment-request = [ pne-entity-id: tstr, cpns-user-id: tstr, rand-pngw: bstr .size 32, time: uint,
//	                             user-authentication-data: bstr .size 32,
//	                             ? pne-hello: bstr ]
type EUKeyAssignmentRequest struct {
	EntityID               EntityID
	UserID                 UserID
	RandPNGW               [RandSize]byte
	Time                   uint64   // seconds since 1970 UTC
	UserAuthenticationData [32]byte // H(AuthData), see the function of that name
	// PNEHello is the PNE's latest hello, whole, nil where the gateway has heard
	// none. It proves that who holds TK has been there, if its tag verifies.
	PNEHello *Hello
}

// requestArray is a request on the wire: the hello in it as the bytes that it is.
type requestArray struct {
	EUKeyAssignmentRequest
	hello []byte // nil for none
}

func (r *requestArray) code(c *coder) {
	withHello := c.arrayOr(5, r.hello != nil)
	text(c, &r.EntityID)
	text(c, &r.UserID)
	c.fixed(r.RandPNGW[:])
	number(c, &r.Time)
	c.fixed(r.UserAuthenticationData[:])
	if withHello {
		octets(c, &r.hello)
	}
}

// SealRequest makes the body of an EUKey Assignment Request under psk, which the
// server knows by the name id. iv is random. PN GW: 7.4.2.1.1.1.
func SealRequest(psk PSK1, id PSKIdentity, iv [IVSize]byte, r *EUKeyAssignmentRequest) ([]byte, error) {
	if err := cmp.Or(psk.check(), id.check(), r.check()); err != nil {
		return nil, fmt.Errorf("sealing request: %w", err)
	}
	plaintext, err := r.marshal()
	if err != nil {
		return nil, fmt.Errorf("sealing request: %w", err)
	}
	return sealBody(requestKey(psk), id, iv, plaintext), nil
}

func (r *EUKeyAssignmentRequest) marshal() ([]byte, error) {
	if r.PNEHello == nil {
		return encode(&requestArray{*r, nil}), nil
	}
	hello, err := r.PNEHello.Marshal()
	if err != nil {
		return nil, err
	}
	return encode(&requestArray{*r, hello}), nil
}

// SealedRequest is a request that has been decoded but not opened: Identity says
// which PSK1 opens it, and is not to be believed before one has.
type SealedRequest struct {
	Identity PSKIdentity
	body     *sealedBody
}

// ParseRequest decodes the body of an EUKey Assignment Request, at most 4096
// bytes. Errors wrap [ErrMalformed]. CPNS Server: 7.4.2.1.1.2.
func ParseRequest(body []byte) (*SealedRequest, error) {
	sealed, err := parseBody(body, MaxRequestBody)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	return &SealedRequest{Identity: sealed.identity(), body: sealed}, nil
}

// Open decrypts the request. Errors wrap [ErrNotAuthentic] where psk is not what
// it was sealed with, and [ErrMalformed] where it is but the contents are none.
func (s *SealedRequest) Open(psk PSK1) (*EUKeyAssignmentRequest, error) {
	plaintext, err := s.body.open(requestKey(psk))
	if err != nil {
		return nil, fmt.Errorf("opening request: %w", err)
	}
	r, err := parseRequestPlaintext(plaintext)
	if err != nil {
		return nil, fmt.Errorf("opening request: %w", err)
	}
	return r, nil
}

func parseRequestPlaintext(plaintext []byte) (*EUKeyAssignmentRequest, error) {
	var w requestArray
	if err := decode(plaintext, MaxRequestBody, &w); err != nil {
		return nil, err
	}
	if w.hello != nil {
		hello, err := parsePNEHello(w.hello, w.EntityID)
		if err != nil {
			return nil, err
		}
		w.PNEHello = hello
	}
	return w.checked()
}

func (r *EUKeyAssignmentRequest) checked() (*EUKeyAssignmentRequest, error) {
	if err := r.check(); err != nil {
		return nil, malformed(err)
	}
	return r, nil
}

func (r *EUKeyAssignmentRequest) check() error {
	return cmp.Or(r.EntityID.check(), r.UserID.check())
}

func requestKey(psk PSK1) *[32]byte { return deriveKey(psk, nil, labelRequest) }
