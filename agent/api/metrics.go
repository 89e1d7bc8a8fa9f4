package api

import (
	"bytes"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/agent"
	"cpns.example.net/pngw/transport"
)

// metrics answers in Prometheus' text format, version 0.0.4. Labels are from the
// configuration or this program: nothing that a device says is in them, unless the
// configuration asks for devices.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	st := s.idle()
	var links []agent.LinkStatus
	if s.Agent != nil {
		var err error
		if st, err = s.Agent.Status(r.Context()); err != nil {
			s.fail(w, err)
			return
		}
		links = s.Agent.Links()
	}
	var m exposition
	m.family("pngw_build_info")
	m.sample("version", s.Version, 1)
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
	m.links(links)
	m.requests(&st.Requests)
	m.family("pngw_psk1_present")
	m.sample("source", st.PSK1.Source, truth(st.PSK1.Waiting == ""))
	if until, err := time.Parse(time.RFC3339, st.PSK1.Until); err == nil {
		m.one("pngw_psk1_expiry_timestamp_seconds", until.Unix())
	}
	_, _, audited := s.Audit.Head()
	m.family("pngw_flash_written_bytes_total")
	m.sample("by", "audit", audited)
	if s.Written != nil {
		m.sample("by", "store", s.Written())
	}
	if s.DeviceMetrics && s.Agent != nil {
		if err := m.devices(r, s.Agent); err != nil {
			s.fail(w, err)
			return
		}
	}
	if len(s.Applications) > 0 {
		m.family("pngw_application_keys")
		for _, name := range slices.Sorted(maps.Keys(s.Applications)) {
			m.sample("application", name, int64(s.Applications[name]()))
		}
	}
	faults, _ := s.Health(r.Context())
	m.one("pngw_healthy", truth(len(faults) == 0))

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

// requests are what became of requests to the server, and how long it took to answer.
func (m *exposition) requests(r *agent.Requests) {
	m.family("pngw_requests_total")
	for _, reason := range agent.RequestReasons {
		m.sample("result", reason, r.Ended[reason])
	}
	const name = "pngw_server_request_seconds"
	m.WriteString("# TYPE " + name + " histogram\n")
	m.name = name + "_bucket"
	all := int64(0)
	for i, n := range r.Trips {
		all += n
		le := "+Inf"
		if i < len(agent.TripBounds) {
			le = strconv.FormatFloat(agent.TripBounds[i], 'g', -1, 64)
		}
		m.sample("le", le, all)
	}
	if len(r.Trips) == 0 {
		m.sample("le", "+Inf", 0)
	}
	m.WriteString(name + "_sum " + strconv.FormatFloat(r.Took.Seconds(), 'g', -1, 64) + "\n" + name + "_count " + strconv.FormatInt(all, 10) + "\n")
}

// devices tells of each device by its name.
func (m *exposition) devices(r *http.Request, a *agent.Agent) error {
	list, err := a.List(r.Context())
	if err != nil {
		return err
	}
	m.family("pngw_device_state")
	for _, p := range list {
		m.WriteString(m.name + "{entity_id=" + strconv.Quote(string(p.Entity)) + ",state=" + strconv.Quote(string(p.State)) + "} 1\n")
	}
	m.family("pngw_device_keys_left")
	for _, p := range list {
		m.sample("entity_id", string(p.Entity), int64(p.Length)-int64(p.Index))
	}
	m.family("pngw_device_last_seen_timestamp_seconds")
	for _, p := range list {
		if seen, err := time.Parse(time.RFC3339, p.LastSeen); err == nil {
			m.sample("entity_id", string(p.Entity), seen.Unix())
		}
	}
	return nil
}

func truth(b bool) int64 {
	if b {
		return 1
	}
	return 0
}
