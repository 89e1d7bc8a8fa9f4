package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/step0"
	"cpns.example.net/pngw/cpns"
)

// Enrolment is how the gateway's enrolment stands. Serving says that the agent that
// answers was made with it; one that is enrolled is made anew.
type Enrolment struct {
	step0.Status
	Serving bool `json:"serving"`
}

// enrolRequest is the body of POST /v1/enrol.
type enrolRequest struct {
	Code string `json:"code"`
	Move bool   `json:"move,omitempty"`
}

// withoutAgent are the paths that answer where there is no agent yet.
var withoutAgent = map[string]bool{"/v1/status": true, "/v1/links": true, "/v1/enrolment": true, "/v1/metrics": true, "/v1/audit": true, "/v1/enrol": true, "/v1/page/pin": true}

func (s *Server) enrolmentNow() Enrolment {
	e := Enrolment{Status: s.Enroller.Status()}
	e.Serving = s.Enrolled != nil && s.Enrolled.Gateway == e.Gateway && s.Enrolled.Server == e.Enrolled
	return e
}

func (s *Server) enrolment(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, s.enrolmentNow())
}

func (s *Server) enrol(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r)
	if !ok {
		return
	}
	var b enrolRequest
	if !decode(text, &b) {
		answer(w, http.StatusBadRequest, problem{"the body is not an enrol request"})
		return
	}
	code, err := cpns.ParseEnrolmentCode(b.Code)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	err = s.Enroller.Begin(code, b.Move)
	s.audit(r, "enrol", "", "", "begun at "+code.Server, err)
	if err != nil {
		status := http.StatusInternalServerError
		if errors.As(err, new(*step0.ContradictionError)) {
			status = http.StatusConflict
		}
		answer(w, status, problem{err.Error()})
		return
	}
	answer(w, http.StatusOK, s.enrolmentNow())
}

// idle is the status of a gateway that has no name yet.
func (s *Server) idle() agent.Status {
	st := agent.Status{PSK1: agent.PSKStatus{Source: s.Source, Waiting: s.Waits}}
	if s.Clock != nil {
		now, set := s.Clock.Now()
		st.Time, st.ClockSet = now.UTC().Format(time.RFC3339), set
	}
	return st
}

// Enrolment asks how the enrolment stands.
func (c *Client) Enrolment(ctx context.Context) (Enrolment, error) {
	return get[Enrolment](ctx, c, "/v1/enrolment")
}

// Enrol hands the agent a code to enrol by.
func (c *Client) Enrol(ctx context.Context, code string, move bool) (e Enrolment, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	text, err := json.Marshal(enrolRequest{code, move})
	if err != nil {
		return e, err
	}
	defer clear(text)
	resp, err := c.do(ctx, http.MethodPost, "/v1/enrol", text)
	if err != nil {
		return e, err
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(io.LimitReader(resp.Body, maxAnswer)).Decode(&e); err != nil {
		return e, fmt.Errorf("reading the agent's answer: %w", err)
	}
	return e, nil
}
