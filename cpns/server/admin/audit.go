package admin

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func auditEndpoints() []*endpoint {
	filters := paged(parameter{name: "since", about: "only from this time on (RFC 3339)"}, parameter{name: "user", about: "only those of a user"},
		parameter{name: "pne", about: "only those of a PNE"}, parameter{name: "gateway", about: "only those of a gateway"},
		parameter{name: "numbers", about: "only those of some numbers (seq), up to 500 with commas between them, as many as there are, and no other parameter: who follows the log asks so for those that came after others with higher numbers"})
	return []*endpoint{
		asks(endpoint{id: "audit", method: http.MethodGet, path: "/audit", role: server.RoleAuditor, summary: "The audit log, the oldest event first. A page may have fewer than it could, or none, and a next one all the same", query: filters}, audit),
		asks(endpoint{id: "auditSettled", method: http.MethodGet, path: "/audit/settled", role: server.RoleAuditor, summary: "How far the audit log is settled: who reads on from there by after, and asks for the missing numbers, and for those that are passed over later, misses none"}, auditSettled),
	}
}

// event is a line of the audit log.
type event struct {
	Seq int64 `json:"seq"`
	eventFields
}

// eventFields are those that the command line shows, too.
type eventFields struct {
	Time    time.Time        `json:"time"`
	Kind    server.EventKind `json:"event"`
	User    cpns.UserID      `json:"user,omitempty"`
	Entity  cpns.EntityID    `json:"entity_id,omitempty"`
	Gateway cpns.GatewayID   `json:"gateway,omitempty"`
	Epoch   cpns.Epoch       `json:"epoch,omitempty"`
	Source  string           `json:"source"`
	Detail  string           `json:"detail,omitempty"`
}

func eventOf(e server.Event) event {
	return event{e.Seq, eventFields{e.Time, e.Kind, e.User, e.Entity, e.Gateway, e.Epoch, e.Source, e.Detail}}
}

func (e *event) event() server.Event {
	return server.Event{Seq: e.Seq, Time: e.Time, Kind: e.Kind, User: e.User, Entity: e.Entity, Gateway: e.Gateway, Epoch: e.Epoch, Source: e.Source, Detail: e.Detail}
}

// settled is what the log is for good.
type settled struct {
	Upto    int64   `json:"upto" doc:"all events up to this number are there, or never come"`
	Missing []int64 `json:"missing" doc:"but for these, which may still come"`
}

func auditSettled(c *call, _ *nothing) (*settled, error) {
	s, err := c.op.Settled(c.ctx)
	if s.Missing == nil {
		s.Missing = []int64{}
	}
	out := settled(s)
	return &out, err
}

// numbersMost is how many numbers one request names: they fit into its headers.
const numbersMost = 500

// auditAt are the events of some numbers.
func auditAt(c *call, numbers string) (*list[event], error) {
	words := strings.Split(numbers, ",")
	if len(words) > numbersMost || len(c.r.URL.Query()) > 1 {
		return nil, malformed("numbers: at most %d, and no other parameter", numbersMost)
	}
	seqs := make([]int64, len(words))
	for n, word := range words {
		var err error
		if seqs[n], err = strconv.ParseInt(word, 10, 64); err != nil || seqs[n] < 1 {
			return nil, malformed("numbers: those of events, with commas between them")
		}
	}
	rows, err := c.op.EventsAt(c.ctx, seqs)
	out := &list[event]{Items: []event{}}
	for _, e := range rows {
		out.Items = append(out.Items, eventOf(e))
	}
	return out, err
}

// searched is how many events one request looks at for those that it wants.
const searched = 10_000

func audit(c *call, _ *nothing) (*list[event], error) {
	if numbers := c.param("numbers"); numbers != "" {
		return auditAt(c, numbers)
	}
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	var seq int64
	if s := c.param("after"); s != "" {
		if seq, err = strconv.ParseInt(s, 10, 64); err != nil || seq < 0 {
			return nil, malformed("after: the number of an event")
		}
	}
	var since time.Time
	if s := c.param("since"); s != "" {
		if since, err = time.Parse(time.RFC3339, s); err != nil {
			return nil, malformed("since: an RFC 3339 time")
		}
	}
	user, entity, gw := c.param("user"), c.param("pne"), c.param("gateway")
	out := &list[event]{Items: []event{}}
	for looked := 0; looked < searched; looked += pageMost {
		rows, err := c.op.EventsAfter(c.ctx, seq, since, pageMost)
		if err != nil {
			return nil, err
		}
		for _, e := range rows {
			if len(out.Items) == most {
				out.Next = strconv.FormatInt(seq, 10)
				return out, nil
			}
			seq = e.Seq
			if (user == "" || user == string(e.User)) && (entity == "" || entity == string(e.Entity)) && (gw == "" || gw == string(e.Gateway)) {
				out.Items = append(out.Items, eventOf(e))
			}
		}
		if len(rows) < pageMost {
			return out, nil
		}
	}
	out.Next = strconv.FormatInt(seq, 10)
	return out, nil
}
