package mqtt

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// DefaultPrefix heads every topic unless configured.
const DefaultPrefix = "cpns"

const (
	maxPrefix = 128 // bytes
	maxEntity = 64  // bytes; an Entity ID is 1 to 64 bytes 0x21 to 0x7e
)

// topics names the topics of docs/protocol.md, section 5:
//
//	PREFIX/E/down      the gateway to the PNE with Entity ID E
//	PREFIX/identify    the gateway to everybody
//	PREFIX/E/up        a PNE to the gateway
//
// and one more that is no part of the protocol, for people and monitoring: the
// gateway's retained "online", which its last will turns into "offline":
//
//	PREFIX/@gateway/G/status
//
// No Entity ID is ever written "@gateway", because @ is percent-encoded in one, and
// no topic of a PNE has so many levels: this topic can be nobody's.
type topics struct{ prefix string }

func (t topics) down(entity string) string { return t.prefix + "/" + escape(entity) + "/down" }
func (t topics) up(entity string) string   { return t.prefix + "/" + escape(entity) + "/up" }
func (t topics) identify() string          { return t.prefix + "/identify" }
func (t topics) everyUp() string           { return t.prefix + "/+/up" }
func (t topics) status(gateway string) string {
	return t.prefix + "/@gateway/" + escape(gateway) + "/status"
}

// parseUp returns the Entity ID in a PNE's topic. It takes only the one spelling
// that up gives it, so that one PNE is never seen as two.
func (t topics) parseUp(topic string) (entity string, ok bool) {
	rest, ok := strings.CutPrefix(topic, t.prefix+"/")
	if !ok {
		return "", false
	}
	level, ok := strings.CutSuffix(rest, "/up")
	if !ok {
		return "", false
	}
	entity, ok = unescape(level)
	return entity, ok && checkEntity(entity) == nil && t.up(entity) == topic
}

// plain reports whether c stands for itself in a topic.
func plain(c byte) bool {
	return 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || strings.IndexByte("-_~:", c) >= 0
}

const upperHex = "0123456789ABCDEF"

// escape percent-encodes every byte that is not plain, with upper-case digits.
func escape(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.Write([]byte{'%', upperHex[c>>4], upperHex[c&15]})
		}
	}
	return b.String()
}

// unescape undoes escape. It checks only what it must: parseUp compares.
func unescape(s string) (string, bool) {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b.WriteByte(s[i])
			continue
		}
		if len(s)-i < 3 {
			return "", false
		}
		high, low := strings.IndexByte(upperHex, s[i+1]), strings.IndexByte(upperHex, s[i+2])
		if high < 0 || low < 0 {
			return "", false
		}
		b.WriteByte(byte(high<<4 | low))
		i += 2
	}
	return b.String(), true
}

// checkEntity says whether s can be an Entity ID or a gateway ID.
func checkEntity(s string) error {
	if len(s) < 1 || len(s) > maxEntity {
		return fmt.Errorf("an ID of %d bytes: it has 1 to %d", len(s), maxEntity)
	}
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return errors.New("an ID holds printable ASCII without space only")
		}
	}
	return nil
}

// checkPrefix says whether s can head a topic.
func checkPrefix(s string) error {
	switch {
	case s == "" || len(s) > maxPrefix:
		return fmt.Errorf("%d bytes: it has 1 to %d", len(s), maxPrefix)
	case strings.ContainsAny(s, "+#\x00") || !utf8.ValidString(s):
		return fmt.Errorf("%q: no +, # or NUL in it", s)
	case s[0] == '$' || s[0] == '/' || s[len(s)-1] == '/':
		return fmt.Errorf("%q: it neither begins with $ or / nor ends with /", s)
	}
	return nil
}
