package step0

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/transport"
)

// Export exports keying material of one connection (RFC 8446 section 7.5).
type Export func(label string, context []byte, length int) ([]byte, error)

// A Question is one POST of step 0, on a TLS 1.3 connection of its own.
type Question struct {
	Server      string // host:port
	Pins        []cpns.Pin
	Certificate tls.Certificate
	Path        string
	Body        func(Export) ([]byte, error) // nil: an empty body
}

// An Answer is what came of it, whatever its status.
type Answer struct {
	Status     int
	Type       string // of the body, as it was sent
	Body       []byte
	RetryAfter time.Duration
	Export     Export // of the connection that carried it
}

// Exchange carries a question to the server. Its error says why there is no answer: it
// tells nothing of what the server has done.
type Exchange func(ctx context.Context, q Question) (*Answer, error)

const (
	maxAnswer  = 64 << 10
	maxDetail  = 300 // bytes of what a server says that are shown
	exchanging = 60 * time.Second
)

// decode reads the JSON of a good answer.
func (a *Answer) decode(v any) error {
	kind, _, err := mime.ParseMediaType(a.Type)
	switch {
	case err != nil || kind != "application/json":
		return fmt.Errorf("an answer of type %q, want application/json", clean(a.Type))
	case len(a.Body) > maxAnswer:
		return fmt.Errorf("an answer of more than %d bytes", maxAnswer)
	}
	if json.Unmarshal(a.Body, v) != nil { // unknown members are ignored
		return fmt.Errorf("an answer that is not the JSON of step 0")
	}
	return nil
}

// problem is what an answer other than 2xx says (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Detail string `json:"detail"`
}

func (a *Answer) problem() (p problem) {
	kind, _, err := mime.ParseMediaType(a.Type)
	if err != nil || kind != "application/problem+json" || len(a.Body) > maxAnswer || json.Unmarshal(a.Body, &p) != nil {
		return problem{}
	}
	p.Detail = clean(p.Detail)
	return p
}

// clean makes what another machine says fit to be shown.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 {
			return '?'
		}
		return r
	}, s)
	return s[:min(len(s), maxDetail)]
}

// noAnswer is why there is none, and what to do about it.
func noAnswer(err error) string {
	if u, ok := errors.AsType[*transport.UnreachableError](err); ok && u.Advice != "" {
		return u.Error() + "; " + u.Advice
	}
	return err.Error()
}

// middle says that the two ends of a connection are not the gateway and the server.
func middle(server string, found string) *agent.PSKWaitError {
	return &agent.PSKWaitError{Reason: "something between this gateway and " + server + " ends TLS: " + found}
}

// unusual is an answer that is neither good nor one of those that step 0 has. What has
// answered has shown a key that is pinned: where it is no CPNS Server, or has another
// connection before it than this one, something that has the server's key is in between.
func (a *Answer) unusual(server string) error {
	p := a.problem()
	if p.Detail == "" {
		return middle(server, fmt.Sprintf("it answered HTTP %d, which is not how a CPNS Server answers", a.Status))
	}
	if a.Status == http.StatusBadRequest {
		for _, not := range []string{"client certificate", "TLS 1.3", "resumed"} {
			if strings.Contains(p.Detail, not) {
				return middle(server, p.Detail)
			}
		}
	}
	return &agent.PSKWaitError{Reason: fmt.Sprintf("%s answered HTTP %d: %s", server, a.Status, p.Detail)}
}
