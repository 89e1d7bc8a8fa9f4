package cpns

import (
	"fmt"
	"strings"
)

// Labels of application keys: each is for one way in which PNE and application
// speak (docs/protocol.md, keys for applications).
const (
	ApplicationTLS13 = "tls13-psk" // TLS 1.3, SHA-256, psk_dhe_ke only
	ApplicationTLS12 = "tls12-psk" // TLS 1.2, ECDHE_PSK suites only
)

// DeriveApplicationKey is what an application gets of a session key, 32 bytes for
// each label:
//
//	HKDF(session key, salt = empty, "CPNS Application" | 0x00 | label, 32)
func DeriveApplicationKey(session *SessionKey, label string) ApplicationKey {
	return ApplicationKey(*deriveKey(session[:], nil, labelApplication+"\x00"+label))
}

// maxApplicationIdentity is the longest identity of a pre-shared key that every
// TLS library takes, in bytes.
const maxApplicationIdentity = 128

// ApplicationIdentity is e as the identity of its application keys: every byte
// other than A-Z a-z 0-9 - _ ~ percent-encoded with upper-case digits. ok is false
// where it would be longer than 128 bytes; such a PNE has no application keys.
func ApplicationIdentity(e EntityID) (identity string, ok bool) {
	var b strings.Builder
	for i := range len(e) {
		switch c := e[i]; {
		case 'A' <= c && c <= 'Z', 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_', c == '~':
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String(), b.Len() <= maxApplicationIdentity
}
