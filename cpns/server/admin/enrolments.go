package admin

import (
	"encoding/hex"
	"net/http"
	"time"

	"cpns.example.net/pngw/cpns"
	"cpns.example.net/pngw/cpns/server"
)

func enrolmentEndpoints() []*endpoint {
	return []*endpoint{
		asks(endpoint{id: "listPending", method: http.MethodGet, path: "/enrolments", role: server.RoleAuditor, summary: "Gateways that wait for a person, those that came first in front", query: paged()}, listPending),
		asks(endpoint{id: "approve", method: http.MethodPost, path: "/enrolments/approve", role: server.RoleOperator, once: true, summary: "Take a gateway in, by its whole fingerprint", problems: []int{404, 409}}, approve),
		asks(endpoint{id: "refuse", method: http.MethodPost, path: "/enrolments/refuse", role: server.RoleOperator, once: true, summary: "Tell a gateway that waits that it is not taken in", problems: []int{404, 409}}, refuse),
	}
}

// enrolment is a gateway that waits.
type enrolment struct {
	Key         string         `json:"key" doc:"SHA-256 of its public key as hex"`
	Fingerprint string         `json:"fingerprint" doc:"of that key: compare it with what the gateway shows"`
	Gateway     cpns.GatewayID `json:"gateway" doc:"what it wants to be called, empty for nothing"`
	Was         cpns.GatewayID `json:"was" doc:"the gateway whose key it was until that was removed, empty for none"`
	Invitation  string         `json:"invitation" doc:"the code whose secret it has, empty for none"`
	Model       string         `json:"model" doc:"what its board says of itself"`
	Serial      string         `json:"serial" doc:"what its board says of itself"`
	MACs        []string       `json:"macs" doc:"what its board says of itself"`
	From        string         `json:"from" doc:"the network that it came from"`
	First       time.Time      `json:"first"`
	Last        time.Time      `json:"last"`
	Conflicts   []conflict     `json:"conflicts" doc:"why only a person takes it in"`
}

// conflict is what is at odds with a gateway that waits.
type conflict struct {
	Gateway cpns.GatewayID `json:"gateway"`
	Reason  string         `json:"reason"`
}

func conflictsOf(all []server.Conflict) []conflict {
	out := make([]conflict, 0, len(all))
	for _, c := range all {
		out = append(out, conflict{c.Gateway, c.Reason})
	}
	return out
}

func enrolmentOf(e server.Enrolment, conflicts []server.Conflict) enrolment {
	macs := e.MACs
	if macs == nil {
		macs = []string{}
	}
	return enrolment{hex.EncodeToString(e.Key[:]), e.Key.Fingerprint(), e.Gateway, e.Was, e.Invitation, e.Model, e.Serial, macs, e.Source, e.First, e.Last, conflictsOf(conflicts)}
}

// enrolment is what it says, as the server has it.
func (e *enrolment) enrolment() (server.Enrolment, []server.Conflict, error) {
	out := server.Enrolment{State: server.EnrolmentPending, Gateway: e.Gateway, Was: e.Was, Invitation: e.Invitation, Model: e.Model, Serial: e.Serial, MACs: e.MACs, Source: e.From, First: e.First, Last: e.Last}
	if err := keyInto(&out.Key, e.Key); err != nil {
		return out, nil, err
	}
	var conflicts []server.Conflict
	for _, c := range e.Conflicts {
		conflicts = append(conflicts, server.Conflict{Gateway: c.Gateway, Reason: c.Reason})
	}
	return out, conflicts, nil
}

// placeOf is where an enrolment stands in the listing.
func placeOf(e *enrolment) string {
	return e.First.UTC().Format("20060102T150405.000") + "-" + e.Key
}

// listPending reads all that wait each time: the server keeps few of them.
func listPending(c *call, _ *nothing) (*list[enrolment], error) {
	most, err := c.limit()
	if err != nil {
		return nil, err
	}
	out := &list[enrolment]{Items: []enrolment{}}
	from := c.param("after")
	err = c.op.Pending(c.ctx, func(e server.Enrolment, conflicts []server.Conflict) error {
		item := enrolmentOf(e, conflicts)
		place := placeOf(&item)
		switch {
		case place <= from:
		case len(out.Items) == most:
			out.Next = placeOf(&out.Items[most-1])
		default:
			out.Items = append(out.Items, item)
		}
		return nil
	})
	return out, err
}

type approval struct {
	Fingerprint string         `json:"fingerprint,omitempty" doc:"whole; or else"`
	Serial      string         `json:"serial,omitempty" doc:"of the only pending gateway that says it, which anybody can say; with a fingerprint: what it has to say"`
	Gateway     cpns.GatewayID `json:"gateway,omitempty" doc:"what it is called, whatever it wants"`
	Replace     bool           `json:"replace,omitempty" doc:"it takes the place of a gateway that is known with another key"`
}

// approved is what came of an approval.
type approved struct {
	Gateway     cpns.GatewayID `json:"gateway"`
	Fingerprint string         `json:"fingerprint"`
	Replaced    bool           `json:"replaced"`
	WasRefused  bool           `json:"was_refused" doc:"it was told so, and may not ask again by itself"`
}

func approve(c *call, in *approval) (*approved, error) {
	a := server.Approval{Serial: in.Serial, Replace: in.Replace}
	var err error
	if in.Fingerprint != "" {
		if a.Fingerprint, err = named(in.Fingerprint, cpns.ParseFingerprint); err != nil {
			return nil, err
		}
	} else if in.Serial == "" {
		return nil, malformed("a fingerprint or a serial number is needed")
	}
	if in.Gateway != "" {
		if a.ID, err = named(string(in.Gateway), cpns.ParseGatewayID); err != nil {
			return nil, err
		}
	}
	got, err := c.op.Approve(c.ctx, a)
	return &approved{got.Gateway, got.Fingerprint, got.Replaced, got.WasRefused}, err
}

type refusal struct {
	Fingerprint string `json:"fingerprint"`
}

func refuse(c *call, in *refusal) (*nothing, error) {
	f, err := named(in.Fingerprint, cpns.ParseFingerprint)
	if err != nil {
		return nil, err
	}
	return nil, c.op.Refuse(c.ctx, f)
}
