package gba

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
)

// HTTP Digest with AKAv1-MD5 (RFC 3310, RFC 2617), qop auth-int: the password is
// the SIM's RES, as it is, in bytes.

// challenge is a WWW-Authenticate of the BSF.
type challenge struct {
	realm, nonce, opaque string
	rand, autn           [16]byte
}

const minNonce = 32 // bytes: RAND and AUTN

func parseChallenge(header string) (*challenge, error) {
	p, err := parseParams(header)
	if err != nil {
		return nil, fmt.Errorf("the BSF's challenge: %w", err)
	}
	c := &challenge{realm: p["realm"], nonce: p["nonce"], opaque: p["opaque"]}
	if !strings.EqualFold(p["algorithm"], "AKAv1-MD5") {
		return nil, fmt.Errorf("the BSF's challenge has algorithm %q, must be AKAv1-MD5", clip(p["algorithm"]))
	}
	if !offers(p["qop"], "auth-int") {
		return nil, fmt.Errorf("the BSF's challenge has qop %q, auth-int must be among them", clip(p["qop"]))
	}
	nonce, err := base64.StdEncoding.DecodeString(c.nonce)
	if err != nil {
		nonce, err = base64.RawStdEncoding.DecodeString(c.nonce)
	}
	if err != nil || len(nonce) < minNonce {
		return nil, fmt.Errorf("the BSF's challenge has a nonce of %d bytes, must be %d or more in base64", len(nonce), minNonce)
	}
	c.rand, c.autn = [16]byte(nonce[:16]), [16]byte(nonce[16:32])
	return c, nil
}

func offers(list, want string) bool {
	for q := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(q), want) {
			return true
		}
	}
	return false
}

// exchange is one answer to a challenge, and what the BSF's answer to it must prove.
type exchange struct {
	*challenge
	impi, method, uri, cnonce string
}

const nonceCount = "00000001"

// a1 is H(A1), with the password as it is.
func (x *exchange) a1(password []byte) string {
	b := append([]byte(x.impi+":"+x.realm+":"), password...)
	defer clear(b)
	return md5hex(b)
}

// response answers the challenge; the request has no body.
func (x *exchange) response(a1 string) string {
	return x.digest(a1, x.method+":"+x.uri+":"+md5hex(nil))
}

// rspauth is what the answer with this body has to show.
func (x *exchange) rspauth(a1 string, body []byte) string {
	return x.digest(a1, ":"+x.uri+":"+md5hex(body))
}

func (x *exchange) digest(a1, a2 string) string {
	return md5hex([]byte(a1 + ":" + x.nonce + ":" + nonceCount + ":" + x.cnonce + ":auth-int:" + md5hex([]byte(a2))))
}

func md5hex(b []byte) string {
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}

// authorization is the header of the answer; auts is empty but for a
// resynchronisation.
func (x *exchange) authorization(a1, auts string) (string, error) {
	fields := [][2]string{
		{"username", x.impi}, {"realm", x.realm}, {"nonce", x.nonce}, {"uri", x.uri}, {"cnonce", x.cnonce}, {"response", x.response(a1)},
	}
	if x.opaque != "" {
		fields = append(fields, [2]string{"opaque", x.opaque})
	}
	if auts != "" {
		fields = append(fields, [2]string{"auts", auts})
	}
	header, err := writeParams(fields)
	return header + ", qop=auth-int, nc=" + nonceCount + ", algorithm=AKAv1-MD5", err
}

// announcement is the header of the first request, which only says who asks.
func announcement(impi, realm, uri string) (string, error) {
	return writeParams([][2]string{{"username", impi}, {"realm", realm}, {"nonce", ""}, {"uri", uri}, {"response", ""}})
}

func writeParams(fields [][2]string) (string, error) {
	var b strings.Builder
	b.WriteString("Digest ")
	for i, f := range fields {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(f[0] + `="`)
		for _, r := range []byte(f[1]) {
			if r < 0x20 || r > 0x7e {
				return "", fmt.Errorf("%s has a byte 0x%02x, which no header can carry", f[0], r)
			}
			if r == '"' || r == '\\' {
				b.WriteByte('\\')
			}
			b.WriteByte(r)
		}
		b.WriteByte('"')
	}
	return b.String(), nil
}

const (
	maxHeader = 4096
	maxParams = 32
)

// parseParams reads a Digest header. Names are in lower case; a name that comes
// twice is refused: two readers would take two values.
func parseParams(header string) (map[string]string, error) {
	if len(header) > maxHeader {
		return nil, fmt.Errorf("a header of %d bytes, at most %d", len(header), maxHeader)
	}
	scheme, rest, ok := strings.Cut(strings.TrimSpace(header), " ")
	if !ok || !strings.EqualFold(scheme, "Digest") {
		return nil, errors.New("it is not Digest")
	}
	return parseList(rest)
}

func parseList(rest string) (map[string]string, error) {
	params := map[string]string{}
	for rest = strings.TrimLeft(rest, " \t,"); rest != ""; rest = strings.TrimLeft(rest, " \t,") {
		name, after, ok := strings.Cut(rest, "=")
		if !ok {
			return nil, errors.New("a parameter without a value")
		}
		name = strings.ToLower(strings.TrimSpace(name))
		value, after, err := parseValue(strings.TrimLeft(after, " \t"))
		if err != nil {
			return nil, err
		}
		if _, twice := params[name]; twice || name == "" || len(params) == maxParams {
			return nil, fmt.Errorf("parameter %q comes twice, or there are too many", clip(name))
		}
		params[name], rest = value, after
	}
	return params, nil
}

// parseValue reads a token or a quoted string, and returns what follows.
func parseValue(s string) (value, rest string, err error) {
	if !strings.HasPrefix(s, `"`) {
		i := strings.IndexAny(s, " \t,")
		if i < 0 {
			i = len(s)
		}
		return s[:i], s[i:], nil
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			if rest := strings.TrimLeft(s[i+1:], " \t"); rest != "" && rest[0] != ',' {
				return "", "", errors.New("no comma between parameters")
			}
			return b.String(), s[i+1:], nil
		case c == '\\' && i+1 < len(s):
			i++
			b.WriteByte(s[i])
		default:
			b.WriteByte(c)
		}
	}
	return "", "", errors.New("a quoted value without an end")
}

// clip makes something from outside fit for an error.
func clip(s string) string {
	const most = 64
	clipped := make([]rune, 0, most+1)
	for _, r := range s {
		switch {
		case len(clipped) == most:
			return string(append(clipped, '…'))
		case r < 0x20 || r == 0x7f || r == 0xfffd:
			r = '?'
		}
		clipped = append(clipped, r)
	}
	return string(clipped)
}
