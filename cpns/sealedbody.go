package cpns

import "cmp"

// sealedBody is the body of an EUKey Assignment Request or Response, a
// COSE_Encrypt0 under a key of PSK1, so that keys stay secret past any proxy that
// ends TLS, and each side proves that it holds PSK1:
//
//	body = [<< {1: 24} >>, {4: PSK1 identity as bstr, 5: IV (12 bytes)}, ciphertext]
//
//	request key  = HKDF(PSK1, salt = empty,           "CPNS EUKey Assignment Request",  32)
//	response key = HKDF(PSK1, salt = H(request body), "CPNS EUKey Assignment Response", 32)
//	external_aad = the PSK1 identity's bytes
type sealedBody struct {
	protected  []byte
	keyID      []byte
	iv         [IVSize]byte
	ciphertext []byte
}

func (s *sealedBody) code(c *coder) {
	c.array(3)
	octets(c, &s.protected)
	c.entries(2)
	c.is(headerKeyID)
	octets(c, &s.keyID)
	c.is(headerIV)
	c.fixed(s.iv[:])
	octets(c, &s.ciphertext)
}

// bodyOverhead is what a body has more than its plaintext, besides the identity, and at
// most: the heads of its parts, the IV, the tag.
const bodyOverhead = 48

// sealBody seals plaintext, which is overwritten.
func sealBody(key *[32]byte, id PSKIdentity, iv [IVSize]byte, plaintext []byte) []byte {
	return encodeInto(len(plaintext)+len(id)+bodyOverhead, &sealedBody{
		protected:  protectedEncrypt0,
		keyID:      []byte(id),
		iv:         iv,
		ciphertext: sealContent(plaintext[:0], key, &iv, []byte(id), plaintext),
	})
}

// parseBody decodes a body of at most limit bytes without any key.
func parseBody(b []byte, limit int) (*sealedBody, error) {
	var body sealedBody
	if err := decode(b, limit, &body); err != nil {
		return nil, err
	}
	if err := cmp.Or(body.identity().check(), checkEncrypt0(body.protected, body.ciphertext)); err != nil {
		return nil, malformed(err)
	}
	return &body, nil
}

func (s *sealedBody) identity() PSKIdentity { return PSKIdentity(s.keyID) }

func (s *sealedBody) open(key *[32]byte) ([]byte, error) {
	return openContent(key, &s.iv, s.keyID, s.ciphertext)
}
