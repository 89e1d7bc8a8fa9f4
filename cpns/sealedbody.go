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
	_           struct{} `cbor:",toarray"`
	Protected   []byte
	Unprotected struct {
		KeyID []byte       `cbor:"4,keyasint"`
		IV    [IVSize]byte `cbor:"5,keyasint"`
	}
	Ciphertext []byte
}

func sealBody(key *[32]byte, id PSKIdentity, iv [IVSize]byte, plaintext []byte) []byte {
	body := sealedBody{
		Protected:  protectedEncrypt0,
		Ciphertext: sealContent(key, &iv, []byte(id), plaintext),
	}
	body.Unprotected.KeyID = []byte(id)
	body.Unprotected.IV = iv
	return encode(&body)
}

// parseBody decodes a body of at most limit bytes without any key.
func parseBody(b []byte, limit int) (*sealedBody, error) {
	var body sealedBody
	if err := decode(b, limit, &body); err != nil {
		return nil, err
	}
	if err := cmp.Or(body.identity().check(), checkEncrypt0(body.Protected, body.Ciphertext)); err != nil {
		return nil, malformed(err)
	}
	return &body, nil
}

func (s *sealedBody) identity() PSKIdentity { return PSKIdentity(s.Unprotected.KeyID) }

func (s *sealedBody) open(key *[32]byte) ([]byte, error) {
	return openContent(key, &s.Unprotected.IV, s.Unprotected.KeyID, s.Ciphertext)
}
