package cpns

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"

	"golang.org/x/crypto/chacha20poly1305"
)

// EUKeyAssignmentResponse, CPNS Server -> PN GW (CR "EUKey Assignment"
// 7.4.2.1.1.2 step 7).
//
//	eukey-assignment-response = [ status: uint, server-time: uint, epoch: uint, temporary-key: bstr,
//	                              eukeys: [* bstr .size 32] ]
//
// With a status other than Success the epoch is 0 and TK and EUKeys are empty.
type EUKeyAssignmentResponse struct {
	Status     AssignmentStatus
	ServerTime uint64 // seconds since 1970 UTC
	Epoch      Epoch
	TK         TK
	EUKeys     []EUKey // the whole set, EUKey_1 first
}

// AssignmentStatus is the outcome of a request at the CPNS Server.
type AssignmentStatus uint8

// Another status than these is refused.
const (
	Success                  AssignmentStatus = 0
	UserAuthenticationFailed AssignmentStatus = 1 // user unknown or password wrong, indistinguishably
	TimeOutOfWindow          AssignmentStatus = 2 // correct by ServerTime and try once more
	UnknownPNE               AssignmentStatus = 3 // no TK for this Entity ID
	PNEOwnedByAnotherUser    AssignmentStatus = 4 // until the server's operator releases it
	UserLocked               AssignmentStatus = 5 // too many failures; HTTP's Retry-After says for how long
	RandomReused             AssignmentStatus = 6 // RAND_PNGW seen before with a different request
)

// String is the status' name in the protocol.
func (s AssignmentStatus) String() string {
	switch s {
	case Success:
		return "Success"
	case UserAuthenticationFailed:
		return "UserAuthenticationFailed"
	case TimeOutOfWindow:
		return "TimeOutOfWindow"
	case UnknownPNE:
		return "UnknownPNE"
	case PNEOwnedByAnotherUser:
		return "PNEOwnedByAnotherUser"
	case UserLocked:
		return "UserLocked"
	case RandomReused:
		return "RandomReused"
	}
	return fmt.Sprintf("assignment status %d", uint8(s))
}

func (r *EUKeyAssignmentResponse) code(c *coder) {
	c.array(5)
	number(c, &r.Status)
	number(c, &r.ServerTime)
	number(c, &r.Epoch)
	octets(c, &r.TK)
	if c.in != nil {
		r.EUKeys = make([]EUKey, c.in.ArrayLen(MaxSetLength))
	} else {
		c.out.Array(len(r.EUKeys))
	}
	for i := range r.EUKeys {
		c.fixed(r.EUKeys[i][:])
	}
}

// SealResponse makes the body of the answer to requestBody, the exact bytes that
// came: the response opens only for who sent them. iv is random. That the set is a
// chain is the caller's word. CPNS Server: 7.4.2.1.1.2 step 7.
func SealResponse(psk PSK1, id PSKIdentity, requestBody []byte, iv [IVSize]byte, r *EUKeyAssignmentResponse) ([]byte, error) {
	if err := cmp.Or(psk.check(), id.check(), r.check()); err != nil {
		return nil, fmt.Errorf("sealing response: %w", err)
	}
	plaintext := encodeInto(responseOverhead+len(r.TK)+len(r.EUKeys)*(2+EUKeySize), r)
	return sealBody(responseKey(psk, requestBody), id, iv, plaintext), nil
}

// OpenResponse decodes, opens and checks the answer to requestBody, at most
// 65536 bytes: sizes, ranges and every link of the set. Errors wrap
// [ErrNotAuthentic] where it is not the answer of who holds psk to this very
// request, and [ErrMalformed] otherwise. PN GW: 7.4.2.1.1.3.
func OpenResponse(psk PSK1, id PSKIdentity, requestBody, body []byte) (*EUKeyAssignmentResponse, error) {
	r, err := openResponse(psk, id, requestBody, body)
	if err != nil {
		return nil, fmt.Errorf("opening response: %w", err)
	}
	return r, nil
}

func openResponse(psk PSK1, id PSKIdentity, requestBody, body []byte) (*EUKeyAssignmentResponse, error) {
	sealed, err := parseBody(body, MaxResponseBody)
	if err != nil {
		return nil, err
	}
	if sealed.identity() != id {
		return nil, fmt.Errorf("%w: it names another PSK1", ErrNotAuthentic)
	}
	plaintext, err := sealed.open(responseKey(psk, requestBody))
	if err != nil {
		return nil, err
	}
	return parseResponsePlaintext(plaintext)
}

func parseResponsePlaintext(plaintext []byte) (*EUKeyAssignmentResponse, error) {
	var r EUKeyAssignmentResponse
	if err := decode(plaintext, MaxResponseBody, &r); err != nil {
		return nil, err
	}
	if err := r.check(); err != nil {
		return nil, malformed(err)
	}
	if r.Status == Success {
		if err := CheckSet(r.EUKeys); err != nil {
			return nil, err
		}
	}
	return &r, nil
}

// responseOverhead is what a response has besides its keys, at most: the heads of its
// parts, status, time, epoch, and the tag once it is sealed.
const responseOverhead = 24 + chacha20poly1305.Overhead

// check checks sizes and ranges.
func (r *EUKeyAssignmentResponse) check() error {
	switch {
	case r.Status > RandomReused:
		return fmt.Errorf("status %d, must be 0 to %d", r.Status, RandomReused)
	case r.Status == Success && r.Epoch == 0:
		return errors.New("success with epoch 0")
	case r.Status == Success:
		return cmp.Or(r.TK.check(), checkSetLength(r.EUKeys))
	case r.Epoch != 0 || len(r.TK) != 0 || len(r.EUKeys) != 0:
		return errors.New("a failure with an epoch, a TK or EUKeys")
	}
	return nil
}

func responseKey(psk PSK1, requestBody []byte) *[32]byte {
	salt := sha256.Sum256(requestBody)
	return deriveKey(psk, salt[:], labelResponse)
}
