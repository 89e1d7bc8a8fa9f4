package cpns

import "time"

// Version is the protocol's version, sent in identify and hello. A receiver
// refuses any other.
const Version = 1

// Sizes in bytes.
const (
	RandSize  = 32 // RAND_PNGW, RAND_SVR and SeedPNE
	NonceSize = 16 // a hello's nonce; rand-gw and rand-pne of a mutual authentication
	IVSize    = 12 // the initialisation vector of ChaCha20-Poly1305 (RFC 8439)
	EUKeySize = 32 // an EUKey is an output of SHA-256
	MinTKSize = 16 // the Temporary Key, set by the manufacturer
	MaxTKSize = 64
)

// Lengths of an EUKey set, in keys.
const (
	MinSetLength     = 2
	MaxSetLength     = 1024
	DefaultSetLength = 64 // unless the server says otherwise
)

// Sizes of messages, in bytes. Longer ones are refused unread.
const (
	MaxLinkMessage  = 512   // any CPNS-1 message, between PN GW and PNE
	MaxRequestBody  = 4096  // EUKey Assignment Request
	MaxResponseBody = 65536 // EUKey Assignment Response
)

// TimeWindow is how far a request's time may lie from the server's, either way.
const TimeWindow = 300 * time.Second

// The EUKey Assignment Request is an HTTPS POST to AssignmentPath under the
// server's address. Both bodies have the type ContentType (RFC 9052 section 11.3.3).
const (
	AssignmentPath = "/cpns/v1/eukey-assignments"
	ContentType    = `application/cose; cose-type="cose-encrypt0"`
)

// Lengths of names, in bytes of printable ASCII (0x21 to 0x7e).
const (
	maxNameLength        = 64  // Entity ID, CPNS User ID, gateway ID
	maxPSKIdentityLength = 128 // a B-TID is longer than a name
)

// Argon2id parameters of Hash(Password): they fit a router of 64 MB.
const (
	argonTime    = 5
	argonMemory  = 7168 // KiB
	argonThreads = 1
	argonSalt    = 16 // bytes of the salt
)

// Labels: each binds a derived key, or a salt, to the one purpose it has.
const (
	labelUser            = "CPNS User"
	labelRequest         = "CPNS EUKey Assignment Request"
	labelResponse        = "CPNS EUKey Assignment Response"
	labelHello           = "CPNS Hello"
	labelNotification    = "CPNS EUKey Assignment Notification"
	labelAcknowledgement = "CPNS EUKey Acknowledgement"
	labelAuthentication  = "CPNS Mutual Authentication"
	labelUpdate          = "CPNS EUKey Update"
	labelSessionKey      = "CPNS Session Key"
	labelApplication     = "CPNS Application"
	labelPNERandom       = "CPNS PNE Random"
)
