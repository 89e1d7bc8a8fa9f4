package api

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/audit"
	"cpns.example.net/pngw/cpns"
)

// whoKey is under which a connection's context has who is at its other end.
type whoKey struct{}

// withWho notes the user whom the kernel names at the other end of a unix socket.
func withWho(ctx context.Context, c net.Conn) context.Context {
	if l, ok := c.(*limitedConn); ok {
		c = l.Conn
	}
	unix, ok := c.(*net.UnixConn)
	if !ok {
		return ctx
	}
	raw, err := unix.SyscallConn()
	if err != nil {
		return ctx
	}
	who := "somebody"
	_ = raw.Control(func(fd uintptr) { // fails once the connection is closed
		if cred, err := syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED); err == nil {
			who = fmt.Sprintf("uid %d", cred.Uid)
		}
	})
	return context.WithValue(ctx, whoKey{}, who)
}

func who(r *http.Request) string {
	if who, ok := r.Context().Value(whoKey{}).(string); ok {
		return who
	}
	return "somebody"
}

func (s *Server) audit(r *http.Request, what string, e cpns.EntityID, user cpns.UserID, result string, err error) {
	s.Note(who(r), what, e, user, result, err)
}

// Note notes what a person asked for, and what came of it.
func (s *Server) Note(who, what string, e cpns.EntityID, user cpns.UserID, result string, err error) {
	detail := ""
	if err != nil {
		result, detail = "failed", err.Error()
	}
	s.Audit.Add(audit.Entry{Who: who, What: what, Entity: string(e), User: string(user), Result: result, Detail: detail})
}

func (s *Server) auditProvision(r *http.Request, req *agent.ProvisionRequest, outcomes []agent.Outcome, err error) {
	s.NoteProvision(who(r), req, outcomes, err)
}

// NoteProvision notes each device of a request. Of one that was cut short, those that
// are left have no result.
func (s *Server) NoteProvision(who string, req *agent.ProvisionRequest, outcomes []agent.Outcome, err error) {
	what := "provision"
	if req.Reassign {
		what = "resolve --reassign"
	}
	for i, e := range req.Entities {
		entry := audit.Entry{Who: who, What: what, Entity: string(e), User: string(req.User), Result: "interrupted"}
		if i < len(outcomes) && outcomes[i].Result != "" {
			entry.Result, entry.Detail = string(outcomes[i].Result), outcomes[i].Detail
		} else if err != nil {
			entry.Detail = err.Error()
		}
		s.Audit.Add(entry)
	}
}

// auditLog answers with the audit log as it is, application/x-ndjson.
func (s *Server) auditLog(w http.ResponseWriter, r *http.Request) {
	text, err := s.Audit.Text()
	if err != nil {
		answer(w, http.StatusInternalServerError, problem{err.Error()})
		return
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Write(text) // an error is the client's going away
}

// AuditLog is the audit log's text, for audit.Check.
func (c *Client) AuditLog(ctx context.Context) ([]byte, error) { return c.text(ctx, "/v1/audit") }

// text is an answer as it is.
func (c *Client) text(ctx context.Context, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	resp, err := c.do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
}

// Metrics are the counters' text.
func (c *Client) Metrics(ctx context.Context) ([]byte, error) { return c.text(ctx, "/v1/metrics") }

// probe has the agent prove PSK1.
func (s *Server) probe(w http.ResponseWriter, r *http.Request) {
	var answered Probe
	p, err := s.Agent.Probe(r.Context())
	answered.Probe = p
	if err != nil {
		answered.Fault = err.Error()
		if e, ok := err.(*agent.ProbeError); ok {
			answered.Advice = e.Advice
		}
	}
	answer(w, http.StatusOK, answered)
}

// Probe is the answer to POST /v1/probe.
type Probe struct {
	agent.Probe
	Fault  string `json:"fault,omitempty"` // why PSK1 could not be proved
	Advice string `json:"advice,omitempty"`
}

// Probe has the agent prove PSK1 to the server.
func (c *Client) Probe(ctx context.Context) (p Probe, err error) {
	resp, err := c.do(ctx, http.MethodPost, "/v1/probe", nil)
	if err != nil {
		return p, err
	}
	defer resp.Body.Close()
	err = json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&p)
	return p, err
}
