package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns/server"
)

// A call is one request of somebody who may make it.
type call struct {
	ctx context.Context
	s   *Server
	r   *http.Request
	who server.Credential // without an ID where the endpoint is for everyone
	op  *server.Operator  // under the caller's name
}

// idempotencyKey is the header by which a caller says that a request is one that it has
// sent before, if it has.
const idempotencyKey = "Idempotency-Key"

// admit says who asks, and that it may. Strangers pay by their address, callers by their
// credential; a token that was right a moment ago is looked at whatever its address owes.
func (s *Server) admit(r *http.Request, e *endpoint) (*call, error) {
	from := addrOf(r)
	source := server.SourceOf(from)
	if err := s.origin.Check(r); err != nil {
		s.logNoise("admin request of a page of another origin", "remote", from, "origin", r.Header.Get("Origin"), "method", r.Method, "path", r.URL.Path)
		return nil, &problem{status: http.StatusForbidden, kind: kindForbidden, detail: "a page of another origin asks for this"}
	}
	if e.role == "" {
		if wait := s.strangers.Take(source, s.now()); wait > 0 {
			return nil, tooMany("this address asks too often", wait)
		}
		return &call{ctx: r.Context(), s: s, r: r}, nil
	}
	who, by, err := s.authenticate(r, source)
	switch {
	case errors.Is(err, server.ErrNotFound):
		if wait := s.strangers.Take(source, s.now()); wait > 0 {
			return nil, tooMany("too many requests from this address had no credential that holds", wait)
		}
		s.logNoise("admin request without a credential that holds", append([]any{"remote", from, "method", r.Method, "path", r.URL.Path}, shown(r)...)...)
		return nil, errUnauthorized
	case err != nil:
		return nil, err
	}
	if wait := s.callers.Take(who.ID, s.now()); wait > 0 {
		return nil, tooMany("this credential asks too often", wait)
	}
	if !who.Role.Includes(e.role) {
		s.logNoise("admin request that takes another role", "remote", from, "method", r.Method, "path", r.URL.Path, string(by), who.Name, "id", who.ID, "role", who.Role, "takes", e.role)
		return nil, &problem{status: http.StatusForbidden, kind: kindForbidden, detail: fmt.Sprintf("this takes the role %s, and the credential has %s", e.role, who.Role)}
	}
	return &call{ctx: r.Context(), s: s, r: r, who: who, op: s.op.As(fmt.Sprintf("%s by %s from %s", who.Name, by, from))}, nil
}

// authenticate finds the credential of a request: a token where one is sent, else the
// client certificate, which TLS has verified. It fails with ErrNotFound where there is
// none, or none that holds.
func (s *Server) authenticate(r *http.Request, source netip.Prefix) (server.Credential, server.CredentialKind, error) {
	headers := r.Header.Values("Authorization")
	if len(headers) == 0 {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return server.Credential{}, "", server.ErrNotFound
		}
		who, err := s.keeper.Certificate(r.Context(), r.TLS.VerifiedChains[0][0].Subject.CommonName)
		return who, server.KindCertificate, err
	}
	scheme, token, _ := strings.Cut(headers[0], " ")
	if len(headers) > 1 || !strings.EqualFold(scheme, "Bearer") {
		return server.Credential{}, "", server.ErrNotFound
	}
	// Who owes gets no hash: the next one may be wrong, too.
	if wait := s.strangers.Owes(source, s.now()); wait > 0 && !s.keeper.IsKnown(token) {
		return server.Credential{}, "", tooMany("too many requests from this address had no credential that holds", wait)
	}
	who, err := s.keeper.Token(r.Context(), token)
	if errors.Is(err, server.ErrBusy) {
		return who, "", &problem{status: http.StatusServiceUnavailable, kind: kindUnavailable, detail: err.Error(), retryAfter: time.Second}
	}
	return who, server.KindToken, err
}

// shown is what a request shows of the credential that does not hold, for the log: never
// the secret in it.
func shown(r *http.Request) []any {
	if headers := r.Header.Values("Authorization"); len(headers) > 0 {
		_, token, _ := strings.Cut(headers[0], " ")
		if id := server.TokenID(token); id != "" {
			return []any{"token", id}
		}
		return []any{"token", "none of a server's"}
	}
	if r.TLS != nil && len(r.TLS.VerifiedChains) > 0 {
		return []any{"certificate", r.TLS.VerifiedChains[0][0].Subject.CommonName}
	}
	return nil
}

func addrOf(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return ap.Addr().Unmap().WithZone("")
}

// checkRequest refuses what the endpoint does not know, before the body is read.
func checkRequest(r *http.Request, e *endpoint) error {
	query, err := parseQuery(r.URL.RawQuery)
	if err != nil {
		return err
	}
	for name, values := range query {
		known := false
		for _, p := range e.query {
			known = known || p.name == name
		}
		switch {
		case !known:
			return malformed("there is no parameter %q here", name)
		case len(values) > 1:
			return malformed("the parameter %q is there twice", name)
		}
	}
	if keys := r.Header.Values(idempotencyKey); len(keys) > 0 {
		switch {
		case !e.once:
			return malformed("no %s is taken here", idempotencyKey)
		case len(keys) > 1:
			return malformed("%s is there twice", idempotencyKey)
		}
		if err := checkKey(keys[0]); err != nil {
			return err
		}
	}
	if e.body == nil {
		if r.ContentLength != 0 {
			return malformed("no body is taken here")
		}
		return nil
	}
	mediaType, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	charset := strings.ToLower(params["charset"])
	if err != nil || mediaType != "application/json" || charset != "" && charset != "utf-8" || r.Header.Get("Content-Encoding") != "" {
		return &problem{status: http.StatusUnsupportedMediaType, kind: kindMediaType, detail: "a body has the type application/json and no encoding"}
	}
	return nil
}

func checkKey(key string) error {
	if key == "" || len(key) > 128 || strings.ContainsFunc(key, func(r rune) bool { return r < 0x21 || r > 0x7e }) {
		return malformed("%s: 1 to 128 printable ASCII characters without space", idempotencyKey)
	}
	return nil
}

// A preparer has something to do that takes time and changes nothing, before the
// transaction begins.
type preparer interface{ prepare(*call) error }

// do decodes what is asked for and does it, once where the caller has chosen a key for it.
func (c *call) do(ctx context.Context, e *endpoint, body []byte) (status int, out []byte, err error) {
	in, err := e.decode(body)
	if err != nil {
		return 0, nil, err
	}
	if in, ok := in.(preparer); ok {
		if err := in.prepare(c); err != nil {
			return 0, nil, err
		}
	}
	perform := func(op *server.Operator) ([]byte, error) {
		within := *c
		within.op = op
		answer, err := e.do(&within, in)
		if err != nil || answer == nil {
			return nil, err
		}
		return json.Marshal(answer)
	}
	key := c.r.Header.Get(idempotencyKey)
	if key == "" {
		out, err = perform(c.op)
	} else {
		request := e.method + " " + c.r.URL.EscapedPath() + "?" + c.r.URL.RawQuery + "\n" + string(body)
		out, _, err = c.op.Once(ctx, c.who.ID, key, []byte(request), perform)
	}
	if err == nil && len(out) == 0 {
		return e.success, nil, nil
	}
	return e.success, out, err
}
