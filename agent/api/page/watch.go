package page

import (
	"encoding/json"
	"net/http"
	"slices"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/agent/api"
)

// Times of the stream of events.
const (
	lookEvery = 2 * time.Second  // at what has no news of its own: links, devices that say hello
	beatEvery = 15 * time.Second // a phone that hears nothing for longer connects anew
)

// snapshot is what the page shows of the gateway.
type snapshot struct {
	api.Status
	Found []agent.Discovered `json:"found"`
	Jobs  []string           `json:"jobs"` // that there are
}

// watch answers with server-sent events: "gateway" with a snapshot where that is another
// than the last, "job" with what is new of a job, "over" where the session is.
func (p *Page) watch(w http.ResponseWriter, r *http.Request, s *session) {
	w.Header().Set("Content-Type", "text/event-stream")
	out := stream{w: w, control: http.NewResponseController(w)}
	told := map[string]int{} // jobs, and their seq
	last := ""
	var looked time.Time
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for beat := time.Now(); ; {
		if p.sessions.ended(s) {
			out.send("over", []byte("{}"))
			return
		}
		views, changed := p.news(told)
		for _, v := range views {
			text, err := json.Marshal(v)
			if err != nil {
				return
			}
			out.send("job", text)
			beat = time.Now()
		}
		if time.Since(looked) >= lookEvery {
			looked = time.Now()
			if text := p.snapshot(r); text != nil && string(text) != last {
				last = string(text)
				out.send("gateway", text)
				beat = time.Now()
			}
		}
		if time.Since(beat) >= beatEvery {
			out.send("beat", []byte("{}"))
			beat = time.Now()
		}
		if out.err != nil {
			return
		}
		select {
		case <-changed:
		case <-tick.C:
		case <-r.Context().Done():
			return
		}
	}
}

// news is what is new of all jobs since told, which it updates, and a channel that is
// closed when there is more.
func (p *Page) news(told map[string]int) (views []jobView, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, j := range p.jobs {
		if j.seq > told[id] {
			views = append(views, j.since(told[id]))
			told[id] = j.seq
		}
	}
	for id := range told {
		if p.jobs[id] == nil {
			delete(told, id)
		}
	}
	return views, p.changed
}

// snapshot is nil where the agent cannot say.
func (p *Page) snapshot(r *http.Request) []byte {
	st, err := p.api.Status(r.Context())
	if err != nil {
		return nil
	}
	st.Uptime, st.Time = 0, "" // they differ each time
	s := snapshot{Status: st, Found: []agent.Discovered{}, Jobs: []string{}}
	if p.agent != nil {
		if found, err := p.agent.Discovered(r.Context()); err == nil && found != nil {
			s.Found = found
		}
	}
	p.mu.Lock()
	for id := range p.jobs {
		s.Jobs = append(s.Jobs, id)
	}
	p.mu.Unlock()
	slices.Sort(s.Jobs)
	text, err := json.Marshal(s)
	if err != nil {
		return nil
	}
	return text
}

// stream writes events, each of which has its own time to be written.
type stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	err     error
}

func (s *stream) send(event string, data []byte) {
	if s.err != nil {
		return
	}
	s.control.SetWriteDeadline(time.Now().Add(writeTimeout))
	text := make([]byte, 0, len(data)+len(event)+16)
	text = append(text, "event: "...)
	text = append(text, event...)
	text = append(text, "\ndata: "...)
	text = append(text, data...)
	text = append(text, "\n\n"...)
	if _, s.err = s.w.Write(text); s.err == nil {
		s.err = s.control.Flush()
	}
}
