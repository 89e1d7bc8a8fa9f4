package api

import (
	"bytes"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/transport"
)

// kinds are all kinds of event.
var kinds = [...]agent.EventKind{agent.EventAssigned, agent.EventDelivered, agent.EventAuthenticated, agent.EventUsedUp, agent.EventAlarm, agent.EventGone}

// Events counts the agent's events since the start. The zero value is at 0.
type Events struct{ n [len(kinds)]atomic.Int64 }

// Count counts one event.
func (e *Events) Count(kind agent.EventKind) {
	for i, k := range kinds {
		if k == kind {
			e.n[i].Add(1)
		}
	}
}

func (e *Events) counts() map[agent.EventKind]int64 {
	counts := map[agent.EventKind]int64{}
	for i, k := range kinds {
		counts[k] = e.n[i].Load()
	}
	return counts
}

// metrics answers in Prometheus' text format, version 0.0.4. Labels are from the
// configuration or this program: nothing that a device says is in them.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	st, err := s.Agent.Status(r.Context())
	if err != nil {
		s.fail(w, err)
		return
	}
	var m exposition
	m.one("pngw_uptime_seconds", int64(time.Since(s.start)/time.Second))
	m.one("pngw_clock_set", truth(st.ClockSet))
	m.one("pngw_store_writable", truth(len(st.Unwritten) == 0))
	m.one("pngw_store_faults", int64(len(st.Faults)))
	m.one("pngw_discovered_devices", int64(st.Discovered))
	m.family("pngw_devices")
	// Of each state, 0 too: a series that comes and goes cannot be watched.
	for _, state := range states {
		m.sample("state", string(state), int64(st.PNEs[state]))
	}
	m.family("pngw_events_total")
	for i, k := range kinds {
		m.sample("event", string(k), s.Events.n[i].Load())
	}
	m.family("pngw_dropped_messages_total")
	m.sample("reason", "malformed", st.Dropped.Malformed)
	m.sample("reason", "misplaced", st.Dropped.Misplaced)
	m.sample("reason", "unproved", st.Dropped.Unproved)

	h := s.Hooks.Counts()
	m.family("pngw_hooks_total")
	m.sample("result", "ok", h.OK)
	m.sample("result", "failed", h.Failed)
	m.sample("result", "timed_out", h.TimedOut)
	m.one("pngw_hook_events_dropped_total", h.Dropped)
	m.one("pngw_hook_events_waiting", int64(h.Waiting))
	m.links(s.Agent.Links())

	w.Header().Set("Content-Type", "text/plain; version=0.0.4")
	w.Write(m.Bytes()) // an error is the client's going away
}

// exposition is a text in Prometheus' format.
type exposition struct {
	bytes.Buffer
	name string // of the family under way
}

// family begins the samples of one name. Those that only grow end in _total.
func (m *exposition) family(name string) {
	kind := " gauge\n"
	if strings.HasSuffix(name, "_total") {
		kind = " counter\n"
	}
	m.name = name
	m.WriteString("# TYPE " + name + kind)
}

func (m *exposition) sample(label, value string, n int64) {
	m.WriteString(m.name)
	if label != "" {
		m.WriteString("{" + label + "=" + strconv.Quote(value) + "}")
	}
	m.WriteString(" " + strconv.FormatInt(n, 10) + "\n")
}

// one is a family of one sample.
func (m *exposition) one(name string, n int64) {
	m.family(name)
	m.sample("", "", n)
}

func (m *exposition) links(links []agent.LinkStatus) {
	for i, name := range []string{"up", "received_total", "sent_total", "dropped_total"} {
		m.family("pngw_link_" + name)
		for _, l := range links {
			m.sample("link", l.Name, [...]int64{truth(l.State == transport.Up), l.Received, l.Sent, l.Dropped}[i])
		}
	}
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
