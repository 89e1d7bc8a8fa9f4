package againstserver

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"time"

	"cpns.example.net/pngw/cmd/cpns-conform/internal/conform"
	"cpns.example.net/pngw/cmd/cpns-conform/internal/wire"
	"cpns.example.net/pngw/internal/sleep"
)

const (
	contentType = `application/cose; cose-type="cose-encrypt0"`
	maxRequest  = 4096 // bytes
	window      = 300  // seconds that a request may be away
)

// Statuses of an EUKey Assignment Response.
const (
	statusSuccess = iota
	statusUser
	statusTime
	statusUnknownPNE
	statusOwned
	statusLocked
	statusReused
)

var statusNames = [...]string{"Success", "UserAuthenticationFailed", "TimeOutOfWindow", "UnknownPNE", "PNEOwnedByAnotherUser", "UserLocked", "RandomReused"}

func statusName(n uint64) string {
	if n < uint64(len(statusNames)) {
		return fmt.Sprintf("status %d, %s", n, statusNames[n])
	}
	return fmt.Sprintf("status %d", n)
}

// request is an EUKey Assignment Request.
type request struct {
	entity, user string
	rand         []byte
	time         uint64
	hash         []byte // Hash(Password), which the user authentication data is made from
	hello        []byte // nil for none
}

// request is a right one, with a new RAND_PNGW.
func (s *Server) request() request {
	return request{entity: s.Entity, user: s.User, rand: random(32), time: s.now(), hash: s.hash}
}

// wrongPassword is one whose password is wrong.
func (s *Server) wrongPassword() request {
	r := s.request()
	r.hash = random(32)
	return r
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b)
	return b
}

// stranger is a name that nobody has.
func stranger(kind string) string { return "conform-" + kind + "-" + strings.ToLower(rand.Text()[:12]) }

func (r *request) fields() [][]byte {
	fields := [][]byte{
		wire.Text(r.entity), wire.Text(r.user), wire.Bytes(r.rand), wire.Uint(r.time),
		wire.Bytes(wire.AuthData(r.hash, r.rand, r.time)),
	}
	if r.hello != nil {
		fields = append(fields, wire.Bytes(r.hello))
	}
	return fields
}

// seal makes the body of a request.
func (s *Server) seal(p *PSK1, r request) []byte { return p.seal(wire.Array(r.fields()...)) }

func (p *PSK1) seal(plaintext []byte) []byte {
	b := p.body(plaintext)
	return b.Bytes()
}

func (p *PSK1) body(plaintext []byte) wire.Body {
	return wire.SealBody(wire.Key(p.Key, nil, wire.InfoRequest), []byte(p.Identity), random(12), plaintext)
}

// post sends a body as a gateway does. Where the server asks for a little patience, it has it.
func (s *Server) post(ctx context.Context, t *conform.T, body []byte) (*answer, error) {
	for tries := 0; ; tries++ {
		a, err := s.once(ctx, t, "request", s.message("POST", assignmentPath, body))
		if err != nil {
			return nil, err
		}
		a.sent = body
		wait, asked := a.retryAfter()
		if a.status != 429 && a.status != 503 || !asked || wait > patience || tries == 3 {
			return a, nil
		}
		t.Note("HTTP %d: waiting for %v, as the server asks", a.status, wait)
		if err := sleep.For(ctx, wait); err != nil {
			return nil, err
		}
	}
}

const patience = 15 * time.Second

// response is an EUKey Assignment Response, and how it came.
type response struct {
	status, serverTime, epoch uint64
	tk                        []byte
	keys                      [][]byte
	canonical                 bool   // body and plaintext
	identity, iv              []byte // in the body's header
	answer                    *answer
}

// open opens an answer under the request that it answers. It takes what is not
// canonical, and another identity than the request's: cases of their own see to that.
func (a *answer) open(p *PSK1) (*response, error) {
	if a.status != 200 {
		return nil, errors.New(a.String())
	}
	body, canonical, err := wire.ReadBody(a.body)
	if err != nil {
		return nil, fmt.Errorf("HTTP 200 with a body that is no COSE_Encrypt0: %w", err)
	}
	key := wire.Key(p.Key, wire.Hash(a.sent), wire.InfoResponse)
	plaintext, ok := body.Open(key, []byte(p.Identity))
	if !ok {
		return nil, errors.New("HTTP 200 with a body that does not open under the response key of this request")
	}
	item, rest, err := wire.Decode(plaintext)
	if err != nil {
		return nil, fmt.Errorf("a response that is no CBOR: %w", err)
	}
	fields, _ := item.([]any)
	if len(fields) != 5 || len(rest) > 0 {
		return nil, errors.New("a response that is no array of 5")
	}
	r := &response{canonical: canonical && bytes.Equal(wire.Encode(item), plaintext), identity: body.Identity, iv: body.IV, answer: a}
	var numbers [3]uint64
	for n := range numbers {
		if numbers[n], ok = fields[n].(uint64); !ok {
			return nil, fmt.Errorf("a response whose element %d is no unsigned number", n+1)
		}
	}
	r.status, r.serverTime, r.epoch = numbers[0], numbers[1], numbers[2]
	tk, isTK := fields[3].([]byte)
	keys, isArray := fields[4].([]any)
	if !isTK || !isArray {
		return nil, errors.New("a response whose temporary-key is no byte string, or whose eukeys are no array")
	}
	r.tk = tk
	for n, k := range keys {
		key, ok := k.([]byte)
		if !ok || len(key) != 32 {
			return nil, fmt.Errorf("EUKey_%d is no byte string of 32", n+1)
		}
		r.keys = append(r.keys, key)
	}
	return r, nil
}

// ask sends a request and opens its answer; the case ends where there is none.
func (s *Server) ask(ctx context.Context, t *conform.T, r request) *response {
	return s.askBody(ctx, t, s.gateway(t), s.seal(s.gateway(t), r))
}

func (s *Server) askBody(ctx context.Context, t *conform.T, p *PSK1, body []byte) *response {
	a, err := s.post(ctx, t, body)
	var got *response
	if err == nil {
		got, err = a.open(p)
	}
	if err != nil {
		t.Fail("an EUKey Assignment Response, HTTP 200", err.Error())
	}
	t.Note("opened: %s, epoch %d, %d keys", statusName(got.status), got.epoch, len(got.keys))
	return got
}

// want is ask, where the status is known.
func (s *Server) want(ctx context.Context, t *conform.T, status uint64, r request) *response {
	got := s.ask(ctx, t, r)
	if got.status != status {
		t.Fail(statusName(status), statusName(got.status))
	}
	return got
}

// gateway is the PSK1 that the case asks under.
func (s *Server) gateway(t *conform.T) *PSK1 {
	if s.psk == nil {
		t.NotApplicable("needs a PSK1: --psk-file, or --code")
	}
	return s.psk
}

// same reports whether two responses give the same set.
func (r *response) same(other *response) bool {
	if r.epoch != other.epoch || string(r.tk) != string(other.tk) || len(r.keys) != len(other.keys) {
		return false
	}
	for n := range r.keys {
		if string(r.keys[n]) != string(other.keys[n]) {
			return false
		}
	}
	return true
}

// String says what set it is, without its keys.
func (r *response) String() string {
	if r.status != statusSuccess {
		return statusName(r.status)
	}
	if len(r.keys) == 0 {
		return fmt.Sprintf("epoch %d, no keys", r.epoch)
	}
	return fmt.Sprintf("epoch %d, %d keys, H(EUKey_1) = %x", r.epoch, len(r.keys), wire.Hash(r.keys[0]))
}
