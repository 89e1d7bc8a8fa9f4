package api

import (
	"context"
	"net/http"
	"time"

	"cpns.example.net/pngw/agent"
)

func (s *Server) status(w http.ResponseWriter, r *http.Request) {
	st, err := s.Status(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, http.StatusOK, st)
}

// Status is the answer to GET /v1/status.
func (s *Server) Status(ctx context.Context) (Status, error) {
	st := s.idle()
	if s.Agent != nil {
		var err error
		if st, err = s.Agent.Status(ctx); err != nil {
			return Status{}, err
		}
	}
	// Of each state, 0 too: whoever reads it need not know which may be missing.
	pnes := map[agent.State]int{}
	for _, state := range states {
		pnes[state] = st.PNEs[state]
	}
	st.PNEs = pnes
	all := Status{
		Version:   s.Version,
		Uptime:    int64(time.Since(s.start) / time.Second),
		Server:    s.Config.Server,
		Read:      s.Config.Read,
		Status:    st,
		Events:    s.Events.counts(),
		Hooks:     s.Hooks.Counts(),
		Links:     s.allLinks(),
		Enrolment: s.enrolmentNow(),
	}
	if s.Page != nil {
		page := s.Page.Page()
		all.Page = &page
	}
	if s.Signs != nil {
		all.Signs = s.Signs()
	}
	return all, nil
}

// states are all states of a PNE.
var states = [...]agent.State{agent.StateRequested, agent.StateAssigned, agent.StateDelivered, agent.StateUsedUp, agent.StateAlarm}

func (s *Server) links(w http.ResponseWriter, r *http.Request) {
	answer(w, http.StatusOK, s.allLinks())
}

func (s *Server) allLinks() []Link {
	links := []Link{} // null is no array
	if s.Agent == nil {
		return links
	}
	for _, l := range s.Agent.Links() {
		links = append(links, Link{
			Name:     l.Name,
			Type:     s.LinkTypes[l.Name],
			State:    l.State.String(),
			Detail:   l.Detail,
			Received: l.Received,
			Sent:     l.Sent,
			Dropped:  l.Dropped,
		})
	}
	return links
}

func (s *Server) list(w http.ResponseWriter, r *http.Request) {
	pnes, err := s.Agent.List(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	if pnes == nil {
		pnes = []agent.PNE{} // null is no array
	}
	answer(w, http.StatusOK, pnes)
}

func (s *Server) show(w http.ResponseWriter, r *http.Request) {
	e, ok := entity(w, r)
	if !ok {
		return
	}
	pne, err := s.Agent.Show(r.Context(), e)
	if err != nil {
		s.fail(w, err)
		return
	}
	answer(w, http.StatusOK, pne)
}

func (s *Server) discovered(w http.ResponseWriter, r *http.Request) {
	found, err := s.Agent.Discovered(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	if found == nil {
		found = []agent.Discovered{}
	}
	answer(w, http.StatusOK, found)
}

func (s *Server) forget(w http.ResponseWriter, r *http.Request) {
	e, ok := entity(w, r)
	if !ok {
		return
	}
	err := s.Agent.Forget(r.Context(), e)
	s.audit(r, "forget", e, "", "done", err)
	if err != nil {
		s.fail(w, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}
