package cpns

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base32"
	"encoding/base64"
	"fmt"
	"strings"
)

// Step 0 by mutual TLS: PSK1 is what both ends of one TLS 1.3 connection export
// (RFC 8446 section 7.5). The gateway shows a certificate of a key pair of its own,
// and the server knows it by the fingerprint of that.

// Paths under the server's address, both POST.
const (
	PSK1Path      = "/cpns/v1/psk1"
	EnrolmentPath = "/cpns/v1/enrolments"
)

// Types of the problem details that a gateway tells apart: 403 from PSK1Path and from
// EnrolmentPath.
const (
	ProblemGatewayUnknown = "urn:cpns:gateway-unknown"
	ProblemGatewayPending = "urn:cpns:gateway-pending"
	ProblemGatewayRemoved = "urn:cpns:gateway-removed"

	ProblemCodeUsed         = "urn:cpns:code-used"
	ProblemCodeExpired      = "urn:cpns:code-expired"
	ProblemEnrolmentRefused = "urn:cpns:enrolment-refused"
)

// MaxEnrolmentBody is how long the body of an enrolment may be, in bytes.
const MaxEnrolmentBody = 4096

// Labels of the TLS exporter, and how much is exported, in bytes.
const (
	ExporterPSK1      = "EXPERIMENTAL CPNS PSK1"
	ExporterEnrolment = "EXPERIMENTAL CPNS enrolment"
	ExporterSize      = 32
)

// SPKIHash is SHA-256 of a gateway's SubjectPublicKeyInfo: what the server knows
// it by.
type SPKIHash [sha256.Size]byte

// HashSPKI is the hash of an encoded SubjectPublicKeyInfo.
func HashSPKI(spki []byte) SPKIHash { return sha256.Sum256(spki) }

// PinOf is the pin of an encoded SubjectPublicKeyInfo.
func PinOf(spki []byte) Pin {
	sum := sha256.Sum256(spki)
	return Pin(sum[:len(Pin{})])
}

const fingerprintBytes, fingerprintGroup = 20, 4

// Fingerprint is the hash as people compare it: its first 20 bytes in base32,
// eight groups of four letters.
func (h SPKIHash) Fingerprint() string {
	letters := base32.StdEncoding.EncodeToString(h[:fingerprintBytes])
	groups := make([]string, 0, len(letters)/fingerprintGroup)
	for i := 0; i < len(letters); i += fingerprintGroup {
		groups = append(groups, letters[i:i+fingerprintGroup])
	}
	return strings.Join(groups, "-")
}

// ParseFingerprint is the fingerprint that a person typed, in the form that
// Fingerprint gives: case, "-" and spaces mean nothing. Errors wrap ErrMalformed.
func ParseFingerprint(typed string) (string, error) {
	letters := strings.ToUpper(strings.NewReplacer("-", "", " ", "").Replace(typed))
	b, err := base32.StdEncoding.DecodeString(letters)
	if err != nil || len(b) != fingerprintBytes {
		return "", malformed(fmt.Errorf("a fingerprint is eight groups of four letters and digits 2 to 7"))
	}
	return SPKIHash(append(b, make([]byte, sha256.Size-fingerprintBytes)...)).Fingerprint(), nil
}

// KeysOf are the first and the last of the key hashes that have a fingerprint.
func KeysOf(fingerprint string) (first, last SPKIHash, err error) {
	b, err := base32.StdEncoding.DecodeString(strings.ReplaceAll(fingerprint, "-", ""))
	if err != nil || len(b) != fingerprintBytes {
		return first, last, malformed(fmt.Errorf("not a fingerprint"))
	}
	for n := range last {
		last[n] = 0xff
	}
	copy(first[:], b)
	copy(last[:], b)
	return first, last, nil
}

// PSK1Context is the context under which PSK1 is exported:
//
//	"cpns1" | 0x00 | fp | identity
func PSK1Context(fp SPKIHash, id PSKIdentity) []byte {
	return append(append([]byte("cpns1\x00"), fp[:]...), id...)
}

// Confirmation is what the server shows of PSK1, so that a gateway notices that
// it has another:
//
//	HMAC-SHA-256(PSK1, "CPNS PSK1 server" | 0x00 | identity)
func Confirmation(psk PSK1, id PSKIdentity) (c [sha256.Size]byte) {
	mac := hmac.New(sha256.New, psk)
	mac.Write([]byte("CPNS PSK1 server\x00"))
	mac.Write([]byte(id))
	mac.Sum(c[:0])
	return c
}

// EnrolmentProof shows that a gateway knows the secret of its code, on one
// connection only; exported is that connection's, with an empty context:
//
//	HMAC-SHA-256(secret, "CPNS enrolment" | 0x00 | fp | exported)
func EnrolmentProof(secret *EnrolmentSecret, fp SPKIHash, exported *[ExporterSize]byte) (p [sha256.Size]byte) {
	mac := hmac.New(sha256.New, secret[:])
	mac.Write([]byte("CPNS enrolment\x00"))
	mac.Write(fp[:])
	mac.Write(exported[:])
	mac.Sum(p[:0])
	return p
}

// Base64 is how the JSON of step 0 has bytes: base64url without padding.
var Base64 = base64.RawURLEncoding.Strict()
