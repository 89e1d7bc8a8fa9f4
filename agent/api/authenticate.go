package api

import (
	"context"
	"net/http"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/cpns"
)

func (s *Server) authenticate(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r)
	if !ok {
		return
	}
	var b authenticateRequest
	if !decode(text, &b) || b.All == (len(b.Entities) > 0) {
		answer(w, http.StatusBadRequest, problem{"the body is not an authenticate request"})
		return
	}
	var entities []cpns.EntityID // none are all of them
	if !b.All {
		var err error
		if entities, err = ParseEntities(b.Entities); err != nil {
			answer(w, http.StatusBadRequest, problem{err.Error()})
			return
		}
	}
	wait, err := parseWait(b.WaitMS)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	lines := newStream(w, cancel)
	err = s.Agent.Authenticate(ctx, agent.AuthenticateRequest{Entities: entities, Wait: wait}, func(p agent.Proof) {
		if !b.All {
			s.audit(r, "authenticate", p.Entity, "", string(p.Result), nil)
		}
		lines.write(p)
	})
	if b.All {
		s.audit(r, "authenticate --all", "", "", "done", err)
	}
	if err != nil && !lines.begun && r.Context().Err() == nil {
		s.fail(w, err) // such as a PNE that is not known: nothing was sent
		return
	}
	lines.end(r, err)
}

func (s *Server) readmit(w http.ResponseWriter, r *http.Request) {
	text, ok := body(w, r)
	if !ok {
		return
	}
	var b readmitRequest
	if !decode(text, &b) {
		answer(w, http.StatusBadRequest, problem{"the body is not a readmit request"})
		return
	}
	e, err := cpns.ParseEntityID(b.Entity)
	if err != nil {
		answer(w, http.StatusBadRequest, problem{err.Error()})
		return
	}
	err = s.Agent.Readmit(r.Context(), e)
	s.audit(r, "resolve --readmit", e, "", "done", err)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
