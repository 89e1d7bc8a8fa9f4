package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

// What programs tell problems by: URNs, with this in front.
const kindPrefix = "urn:cpns:admin:"

// The kinds of problems.
const (
	kindMalformed    = "malformed"
	kindUnauthorized = "unauthorized"
	kindForbidden    = "forbidden"
	kindNoEndpoint   = "no-endpoint"
	kindMethod       = "method-not-allowed"
	kindMediaType    = "media-type"
	kindTooLarge     = "too-large"
	kindTooMany      = "too-many-requests"
	kindUnavailable  = "unavailable"
	kindInternal     = "internal"
	kindKeyReused    = "key-reused"

	kindNotFound = "not-found"
	kindExists   = "exists"
	kindOwns     = "owns-pnes"
	kindSamePSK1 = "same-psk1"
	kindConflict = "conflict"
	kindKnownKey = "known-key"
	kindSeveral  = "several"
	kindNoUser   = "no-user"
	kindRefused  = "refused"
	kindNoHost   = "no-host"
)

// A problem is an answer that says why not: problem details as JSON (RFC 9457).
type problem struct {
	status     int
	kind       string
	detail     string
	retryAfter time.Duration
	allow      string
	about      about
}

// about are the members that say more, for programs.
type about struct {
	User      cpns.UserID    `json:"user,omitempty"`
	Gateway   cpns.GatewayID `json:"gateway,omitempty"`
	PNEs      int            `json:"pnes,omitempty"`
	Conflicts []conflict     `json:"conflicts,omitempty"`
}

// problemBody is how a problem is written.
type problemBody struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail"`
	about
}

func (p *problem) Error() string { return p.detail }

func malformed(format string, args ...any) error {
	return &problem{status: http.StatusBadRequest, kind: kindMalformed, detail: fmt.Sprintf(format, args...)}
}

func tooMany(detail string, wait time.Duration) error {
	return &problem{status: http.StatusTooManyRequests, kind: kindTooMany, detail: detail, retryAfter: wait}
}

func methodNotAllowed(methods map[string]*endpoint) error {
	return &problem{status: http.StatusMethodNotAllowed, kind: kindMethod, detail: "this path has other methods", allow: strings.Join(slices.Sorted(maps.Keys(methods)), ", ")}
}

var errUnauthorized = &problem{status: http.StatusUnauthorized, kind: kindUnauthorized, detail: "a token or a client certificate that holds is needed"}

// fail answers with what went wrong. What is the server's own fault is logged, and told
// as that only.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	switch p.status {
	case http.StatusInternalServerError:
		s.log.Error("admin request failed", "error", err, "method", r.Method, "path", r.URL.Path)
	case http.StatusServiceUnavailable:
		s.logNoise("admin request failed", "error", err, "method", r.Method, "path", r.URL.Path)
	}
	h := w.Header()
	h.Set("Content-Type", "application/problem+json")
	if p.status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	if p.allow != "" {
		h.Set("Allow", p.allow)
	}
	if p.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(p.retryAfter.Seconds()))))
	}
	w.WriteHeader(p.status)
	json.NewEncoder(w).Encode(problemBody{kindPrefix + p.kind, http.StatusText(p.status), p.status, p.detail, p.about})
}

// problemOf is how an error of the operator's is told.
func problemOf(err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if owns, ok := errors.AsType[*server.OwnsError](err); ok {
		return &problem{status: http.StatusConflict, kind: kindOwns, detail: err.Error(), about: about{User: owns.User, PNEs: owns.PNEs}}
	}
	if same, ok := errors.AsType[*server.SamePSK1Error](err); ok {
		return &problem{status: http.StatusConflict, kind: kindSamePSK1, detail: err.Error(), about: about{Gateway: same.Gateway}}
	}
	if c, ok := errors.AsType[*server.ConflictError](err); ok {
		return &problem{status: http.StatusConflict, kind: kindConflict, detail: err.Error(), about: about{Conflicts: conflictsOf(c.Conflicts)}}
	}
	if known, ok := errors.AsType[*server.KnownKeyError](err); ok {
		return &problem{status: http.StatusConflict, kind: kindKnownKey, detail: err.Error(), about: about{Gateway: known.Gateway}}
	}
	if none, ok := errors.AsType[*server.NoUserError](err); ok {
		return &problem{status: http.StatusUnprocessableEntity, kind: kindNoUser, detail: err.Error(), about: about{User: none.User}}
	}
	if no, ok := errors.AsType[*server.RefusalError](err); ok {
		return &problem{status: http.StatusUnprocessableEntity, kind: kindRefused, detail: no.Reason}
	}
	switch {
	case errors.Is(err, server.ErrKeyReused):
		return &problem{status: http.StatusUnprocessableEntity, kind: kindKeyReused, detail: err.Error()}
	case errors.Is(err, server.ErrNoHost):
		return &problem{status: http.StatusUnprocessableEntity, kind: kindNoHost, detail: err.Error()}
	case errors.Is(err, server.ErrSeveral):
		return &problem{status: http.StatusConflict, kind: kindSeveral, detail: err.Error()}
	case errors.Is(err, server.ErrExists):
		return &problem{status: http.StatusConflict, kind: kindExists, detail: "one of that name is there already"}
	case errors.Is(err, server.ErrNotFound):
		return &problem{status: http.StatusNotFound, kind: kindNotFound, detail: "there is none of that name"}
	case errors.Is(err, server.ErrUnavailable), errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return &problem{status: http.StatusServiceUnavailable, kind: kindUnavailable, detail: "the server cannot answer at the moment: send the same request again", retryAfter: 5 * time.Second}
	}
	return &problem{status: http.StatusInternalServerError, kind: kindInternal, detail: "the server failed; its log says why"}
}

// errorOf is the error that a problem tells of, as server.Operator has it.
func (p *problemBody) errorOf() error {
	switch strings.TrimPrefix(p.Type, kindPrefix) {
	case kindNotFound:
		return server.ErrNotFound
	case kindExists:
		return server.ErrExists
	case kindOwns:
		return &server.OwnsError{User: p.User, PNEs: p.PNEs}
	case kindSamePSK1:
		return &server.SamePSK1Error{Gateway: p.Gateway}
	case kindConflict:
		e := new(server.ConflictError)
		for _, c := range p.Conflicts {
			e.Conflicts = append(e.Conflicts, server.Conflict{Gateway: c.Gateway, Reason: c.Reason})
		}
		return e
	case kindKnownKey:
		return &server.KnownKeyError{Gateway: p.Gateway}
	case kindSeveral:
		return server.ErrSeveral
	case kindNoHost:
		return server.ErrNoHost
	case kindNoUser:
		return &server.NoUserError{User: p.User}
	case kindRefused:
		return &server.RefusalError{Reason: p.Detail}
	}
	return nil
}
