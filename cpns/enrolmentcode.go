package cpns

import (
	"bytes"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// EnrolmentCode is what an operator hands to whoever sets a gateway up: which
// server, how to know it, and a secret that approves the gateway, or none.
//
//	code    = "CPNS1" "-" base32(payload | first 4 bytes of H(payload)), in groups of five joined by "-"
//	payload = cbor([server: tstr, server-pin: bstr .size 16, secret: bstr .size 16 / null, ? id: gateway ID])
//
// Case, "-" and spaces mean nothing on reading; the alphabet is RFC 4648's,
// without padding.
type EnrolmentCode struct {
	Server string // host:port, at most 80 bytes, an IPv6 address in brackets
	Pin    Pin
	Secret *EnrolmentSecret // nil: the code only introduces the server
	ID     GatewayID        // what the gateway will be called, empty for not said
}

type (
	// Pin is the first 16 bytes of SHA-256 of a SubjectPublicKeyInfo.
	Pin [16]byte
	// EnrolmentSecret approves who has it as a gateway: 16 bytes.
	EnrolmentSecret [16]byte
)

const (
	codePrefix    = "CPNS1"
	codeCheckSize = 4
	codeGroup     = 5 // characters between two "-"
	maxCodeServer = 80
	// maxCode is how long a code may be typed, with all that means nothing.
	maxCode = 1024
)

var codeAlphabet = base32.StdEncoding.WithPadding(base32.NoPadding)

func (c *EnrolmentCode) code(with *coder) {
	withID := with.arrayOr(3, c.ID != "")
	text(with, &c.Server)
	with.fixed(c.Pin[:])
	if !with.null(c.Secret == nil) {
		if with.in != nil {
			c.Secret = new(EnrolmentSecret)
		}
		with.fixed(c.Secret[:])
	}
	if withID {
		text(with, &c.ID)
		if with.in != nil && c.ID == "" {
			with.in.Fail(c.ID.check())
		}
	}
}

// Text is the code as people read and type it. Errors wrap ErrMalformed.
func (c *EnrolmentCode) Text() (string, error) {
	if err := c.check(); err != nil {
		return "", fmt.Errorf("enrolment code: %w", malformed(err))
	}
	payload := encode(c)
	check := sha256.Sum256(payload)
	letters := codeAlphabet.EncodeToString(append(payload, check[:codeCheckSize]...))
	var b strings.Builder
	b.WriteString(codePrefix)
	for len(letters) > 0 {
		n := min(codeGroup, len(letters))
		b.WriteString("-" + letters[:n])
		letters = letters[n:]
	}
	return b.String(), nil
}

// ParseEnrolmentCode reads a code as it was typed. Errors wrap ErrMalformed and
// say, where that can be known, which group is mistyped.
func ParseEnrolmentCode(typed string) (*EnrolmentCode, error) {
	c, err := parseEnrolmentCode(typed)
	if err != nil {
		return nil, fmt.Errorf("enrolment code: %w", malformed(err))
	}
	return c, nil
}

func parseEnrolmentCode(typed string) (*EnrolmentCode, error) {
	if len(typed) > maxCode {
		return nil, fmt.Errorf("%d characters are too many", len(typed))
	}
	letters := strings.Map(func(r rune) rune {
		switch {
		case r == '-' || r == ' ' || r == '\t' || r == '\r' || r == '\n':
			return -1
		case 'a' <= r && r <= 'z':
			return r - 'a' + 'A'
		}
		return r
	}, typed)
	rest, ok := strings.CutPrefix(letters, codePrefix)
	if !ok {
		if strings.HasPrefix(letters, codePrefix[:4]) {
			return nil, fmt.Errorf("it begins with %q, and this program reads %s: it is of another version", firstRunes(letters, len(codePrefix)), codePrefix)
		}
		return nil, fmt.Errorf("it does not begin with %s", codePrefix)
	}
	for i, r := range []rune(rest) {
		if !('A' <= r && r <= 'Z' || '2' <= r && r <= '7') {
			return nil, fmt.Errorf("group %d (%s) has %q in it, which no code has%s", i/codeGroup+1, groupAround(rest, i), r, lookalike(r))
		}
	}
	payload, ok := codePayload(rest)
	if !ok {
		return nil, errors.New(mistyped(rest))
	}
	return decodeCode(payload)
}

func firstRunes(s string, n int) string {
	r := []rune(s)
	return string(r[:min(n, len(r))])
}

// groupAround is the group that a letter stands in.
func groupAround(letters string, i int) string {
	r := []rune(letters)
	first := i / codeGroup * codeGroup
	return string(r[first:min(first+codeGroup, len(r))])
}

func lookalike(r rune) string {
	switch r {
	case '0':
		return ": is it the letter O?"
	case '1':
		return ": is it the letter I or L?"
	case '8':
		return ": is it the letter B?"
	}
	return ""
}

// codePayload takes the check bytes off; ok is false where they do not fit.
func codePayload(letters string) (payload []byte, ok bool) {
	b, err := codeAlphabet.DecodeString(letters)
	if err != nil || len(b) <= codeCheckSize || codeAlphabet.EncodeToString(b) != letters {
		return nil, false
	}
	payload, check := b[:len(b)-codeCheckSize], b[len(b)-codeCheckSize:]
	sum := sha256.Sum256(payload)
	return payload, bytes.Equal(sum[:codeCheckSize], check)
}

const codeLetters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// mistyped says where a code is likely wrong: it looks for the one letter, or the
// two neighbours exchanged, that make it right. A code has at most some two hundred letters, so
// these are a few thousand sums; four check bytes leave no room for chance.
func mistyped(letters string) string {
	const unknown = "its check does not fit: a letter is wrong or missing"
	if len(letters) > 2*maxCode/codeGroup {
		return unknown
	}
	try := []byte(letters)
	for i, is := range try {
		for _, other := range []byte(codeLetters) {
			try[i] = other
			if _, ok := codePayload(string(try)); ok {
				return fmt.Sprintf("group %d (%s) is mistyped: look at its letter %d", i/codeGroup+1, groupAround(letters, i), i%codeGroup+1)
			}
		}
		try[i] = is
		if i+1 < len(try) {
			try[i], try[i+1] = try[i+1], try[i]
			if _, ok := codePayload(string(try)); ok {
				return fmt.Sprintf("group %d (%s) is mistyped: two letters are exchanged", i/codeGroup+1, groupAround(letters, i))
			}
			try[i], try[i+1] = try[i+1], try[i]
		}
	}
	return unknown
}

func decodeCode(payload []byte) (*EnrolmentCode, error) {
	var c EnrolmentCode
	if err := decode(payload, maxCode, &c); err != nil {
		return nil, err
	}
	return &c, c.check()
}

func (c *EnrolmentCode) check() error {
	if c.ID != "" {
		if err := c.ID.check(); err != nil {
			return err
		}
	}
	return checkServer(c.Server)
}

// checkServer takes host:port with a name, an IPv4 address, or an IPv6 address
// in brackets.
func checkServer(s string) error {
	if len(s) > maxCodeServer {
		return fmt.Errorf("server of %d bytes, at most %d", len(s), maxCodeServer)
	}
	i := strings.LastIndexByte(s, ':')
	if i < 1 {
		return errors.New("the server is not HOST:PORT")
	}
	host, port := s[:i], s[i+1:]
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 || strconv.FormatUint(n, 10) != port {
		return fmt.Errorf("the server's port is not 1 to 65535")
	}
	if inner, ok := strings.CutPrefix(host, "["); ok {
		inner, ok = strings.CutSuffix(inner, "]")
		addr, err := netip.ParseAddr(inner)
		if !ok || err != nil || !addr.Is6() || addr.Zone() != "" {
			return errors.New("the server has brackets around what is no IPv6 address")
		}
		return nil
	}
	return checkHost(host)
}

// checkHost takes the characters of host names and IPv4 addresses.
func checkHost(host string) error {
	for _, label := range strings.Split(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return errors.New("the server's host is no host name")
		}
		for i := range len(label) {
			switch c := label[i]; {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-':
			default:
				return errors.New("the server's host is no host name")
			}
		}
	}
	return nil
}
