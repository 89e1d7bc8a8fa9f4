package admin

import (
	"net/http"
	"strconv"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func auditEndpoints() []*endpoint {
	filters := paged(parameter{name: "since", about: "only from this time on (RFC 3339)"}, parameter{name: "user", about: "only those of a user"},
		parameter{name: "pne", about: "only those of a PNE"}, parameter{name: "gateway", about: "only those of a gateway"})
	return []*endpoint{
		asks(endpoint{id: "audit", method: http.MethodGet, path: "/audit", role: server.RoleAuditor, summary: "The audit log, the oldest event first. A page may have fewer than it could, or none, and a next one all the same", query: filters}, audit),
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

// searched is how many events one request looks at for those that it wants.
const searched = 10_000

func audit(c *call, _ *nothing) (*list[event], error) {
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
